import type { DescEnum, DescEnumValue, DescField, DescMessage, DescMethod, DescService } from "@bufbuild/protobuf";
import { getComments } from "@bufbuild/protoplugin";

type Described = DescService | DescMethod | DescMessage | DescField | DescEnum | DescEnumValue;

/** The packages whose comments describe the API to its callers. */
const packages: ReadonlySet<string> = new Set(["lf.a2a.v1", "taskmanager.v1"]);

/** The comment in the proto, as a member of the document; nothing for other packages, and without source positions. */
export function descriptionOf(desc: Described): { readonly description?: string } {
  const file = "file" in desc ? desc.file : desc.parent.file;
  if (!packages.has(file.proto.package)) return {};
  const description = paragraphs(getComments(desc).leading ?? "");
  return description === "" ? {} : { description };
}

/** The breaks of lines in a comment mean nothing; an empty line begins a paragraph. */
function paragraphs(comment: string): string {
  return comment
    .split(/\n\s*\n/)
    .map((each) => each.replaceAll(/\s+/g, " ").trim())
    .filter((each) => each !== "")
    .join("\n\n");
}
