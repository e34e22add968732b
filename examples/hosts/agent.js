import { artifact, completed, text, textOf } from "a2a-task-manager";

/** @type {import("a2a-task-manager").MessageProcessor} */
const processor = {
  async *processMessage({ message }) {
    for (const word of textOf(message).split(" ")) yield artifact(word, text(word.toUpperCase()));
    yield completed();
  },
};
export default processor;
