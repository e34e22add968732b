#!/usr/bin/env node
// The command. A Node that is too old must be able to read this file, so that it can say so: no newer syntax here.
var fs = require("fs");
var path = require("path");
var url = require("url");

var needed = require("../package.json").engines.node.replace(/\D/g, "");
if (Number(process.versions.node.split(".")[0]) < Number(needed)) {
  process.stderr.write("a2a-task-manager needs Node " + needed + " or later, and this is " + process.version + "\n");
  process.exit(1);
}
// The first is that of a checkout, the second that of the package.
var main = ["../src/cli/main.ts", "../dist/src/cli/main.js"]
  .map(function (file) {
    return path.join(__dirname, file);
  })
  .find(fs.existsSync);
void import(url.pathToFileURL(main).href);
