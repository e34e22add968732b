import { readFileSync } from "node:fs";
import { join } from "node:path";
import { clone, create, createFileRegistry, type DescFile, setExtension } from "@bufbuild/protobuf";
import {
  type DescriptorProto,
  DescriptorProto_ReservedRangeSchema,
  DescriptorProtoSchema,
  EnumOptionsSchema,
  EnumValueDescriptorProtoSchema,
  type FileDescriptorProto,
  FileDescriptorProtoSchema,
  FileOptions_OptimizeMode,
  MessageOptionsSchema,
  MethodOptions_IdempotencyLevel,
  MethodOptionsSchema,
  ServiceOptionsSchema,
} from "@bufbuild/protobuf/wkt";
import { describe, expect, it } from "vitest";
import { http } from "../../gen/google/api/annotations_pb.ts";
import { default_host } from "../../gen/google/api/client_pb.ts";
import { HttpRuleSchema } from "../../gen/google/api/http_pb.ts";
import { file_lf_a2a_v1_a2a } from "../../gen/lf/a2a/v1/a2a_pb.ts";
import { contractDifferences } from "./contract-differences.ts";

const contract = readFileSync(join(import.meta.dirname, "contract.tsv"), "utf8");
const source = readFileSync(join(import.meta.dirname, "../../proto/lf/a2a/v1/a2a.proto"), "utf8");

describe("the A2A contract", () => {
  it("is what the compiled descriptor declares, nothing less and nothing more", () => {
    expect(contractDifferences(contract, file_lf_a2a_v1_a2a)).toEqual([]);
  });

  const lines = contract
    .split("\n")
    .map((line) => line.split("\t"))
    .filter(([kind]) => kind === "file")
    .flatMap(([, key = "", value = ""]) => {
      const quoted = value === "true" || value === "false" ? value : `"${value}"`;
      if (key === "package") return [`package ${value};`];
      if (key === "import") return [`import "${value}";`];
      return key === "syntax" || key.startsWith("option ") ? [`${key} = ${quoted};`] : [];
    });

  it("names the lines that head the proto file", () => {
    expect(lines).toHaveLength(13);
  });

  it.each(lines)("has the line %s in the proto file", (line) => {
    expect(source.split("\n")).toContain(line);
  });

  it("has no other import, option or package line in the proto file", () => {
    const heads = source.split("\n").filter((line) => /^(syntax|package|import|option)\b/.test(line));
    expect(heads.toSorted()).toEqual(lines.toSorted());
  });
});

describe("a changed fact is found", () => {
  const cases: readonly { name: string; from: string; to: string; found: string }[] = [
    {
      name: "field number",
      from: "Task\t2\tcontext_id",
      to: "Task\t7\tcontext_id",
      found: 'fields Task.context_id: number is "2", the contract says "7"',
    },
    {
      name: "field name",
      from: "Message\t3\ttask_id",
      to: "Message\t3\ttask",
      found: "fields Message.task: missing in the descriptor",
    },
    {
      name: "field type",
      from: "page_size\tint32\toptional",
      to: "page_size\tint64\toptional",
      found: 'fields ListTasksRequest.page_size: type is "int32", the contract says "int64"',
    },
    {
      name: "type of a map's values",
      from: "map<string, StringList>",
      to: "map<string, string>",
      found:
        'fields SecurityRequirement.schemes: type is "map<string, StringList>", the contract says "map<string, string>"',
    },
    {
      name: "optional keyword",
      from: "icon_url\tstring\toptional",
      to: "icon_url\tstring\tsingular",
      found: 'fields AgentCard.icon_url: label is "optional", the contract says "singular"',
    },
    {
      name: "repeated",
      from: "examples\tstring\trepeated",
      to: "examples\tstring\tsingular",
      found: 'fields AgentSkill.examples: label is "repeated", the contract says "singular"',
    },
    {
      name: "name of a oneof",
      from: "Part\t1\ttext\tstring\toneof content",
      to: "Part\t1\ttext\tstring\toneof body",
      found: 'fields Part.text: label is "oneof content", the contract says "oneof body"',
    },
    {
      name: "REQUIRED added",
      from: "AgentExtension\t1\turi\tstring\tsingular\t-",
      to: "AgentExtension\t1\turi\tstring\tsingular\tREQUIRED",
      found: 'fields AgentExtension.uri: required is "-", the contract says "REQUIRED"',
    },
    {
      name: "REQUIRED removed",
      from: "Message\t5\tparts\tPart\trepeated\tREQUIRED",
      to: "Message\t5\tparts\tPart\trepeated\t-",
      found: 'fields Message.parts: required is "REQUIRED", the contract says "-"',
    },
    {
      name: "JSON name",
      from: "\toauth2MetadataUrl\t",
      to: "\toauth2_metadata_url\t",
      found:
        'fields OAuth2SecurityScheme.oauth2_metadata_url: JSON name is "oauth2MetadataUrl", the contract says "oauth2_metadata_url"',
    },
    {
      name: "presence",
      from: "extendedAgentCard\tyes",
      to: "extendedAgentCard\tno (implicit default)",
      found:
        'fields AgentCapabilities.extended_agent_card: presence is "yes", the contract says "no (implicit default)"',
    },
    {
      name: "deprecated removed",
      from: "implicit\tyes\tdeprecated",
      to: "implicit\tyes\t-",
      found: 'fields OAuthFlows.implicit: deprecated is "deprecated", the contract says "-"',
    },
    {
      name: "field removed",
      from: "StringList\t1\tlist\tstring\trepeated\t-\tlist\tno (empty = absent)\t-\n",
      to: "",
      found: "fields StringList.list: not in the contract",
    },
    {
      name: "field added",
      from: "# SECTION enums",
      to: "Task\t9\tkind\tstring\tsingular\t-\tkind\tno (implicit default)\t-\n# SECTION enums",
      found: "fields Task.kind: missing in the descriptor",
    },
    {
      name: "field stated twice",
      from: "# SECTION enums",
      to: "Task\t1\tid\tstring\tsingular\tREQUIRED\tid\tno (implicit default)\t-\n# SECTION enums",
      found: "fields Task.id: stated twice",
    },
    {
      name: "order of fields",
      from: "GetTaskRequest\t1\ttenant\tstring\tsingular\t-\ttenant\tno (implicit default)\t-\nGetTaskRequest\t2\tid\tstring\tsingular\tREQUIRED\tid\tno (implicit default)\t-\n",
      to: "GetTaskRequest\t2\tid\tstring\tsingular\tREQUIRED\tid\tno (implicit default)\t-\nGetTaskRequest\t1\ttenant\tstring\tsingular\t-\ttenant\tno (implicit default)\t-\n",
      found: "fields GetTaskRequest.tenant: declared out of the contract's order",
    },
    {
      name: "order of messages",
      from: "GetExtendedAgentCardRequest\t1\ttenant\tstring\tsingular\t-\ttenant\tno (implicit default)\t-\nSendMessageResponse\t1\ttask\tTask\toneof payload\t-\ttask\tyes\t-\nSendMessageResponse\t2\tmessage\tMessage\toneof payload\t-\tmessage\tyes\t-\n",
      to: "SendMessageResponse\t1\ttask\tTask\toneof payload\t-\ttask\tyes\t-\nSendMessageResponse\t2\tmessage\tMessage\toneof payload\t-\tmessage\tyes\t-\nGetExtendedAgentCardRequest\t1\ttenant\tstring\tsingular\t-\ttenant\tno (implicit default)\t-\n",
      found: "fields GetExtendedAgentCardRequest.tenant: declared out of the contract's order",
    },
    {
      name: "enum number",
      from: "TaskState\t5\tTASK_STATE_CANCELED",
      to: "TaskState\t9\tTASK_STATE_CANCELED",
      found: 'enums TaskState.TASK_STATE_CANCELED: number is "5", the contract says "9"',
    },
    {
      name: "enum value renamed",
      from: "TASK_STATE_CANCELED",
      to: "TASK_STATE_CANCELLED",
      found: "enums TaskState.TASK_STATE_CANCELED: not in the contract",
    },
    {
      name: "deprecated enum value",
      from: "ROLE_AGENT\t-",
      to: "ROLE_AGENT\tdeprecated",
      found: 'enums Role.ROLE_AGENT: deprecated is "-", the contract says "deprecated"',
    },
    {
      name: "request type",
      from: "CreateTaskPushNotificationConfig\tTaskPushNotificationConfig\t",
      to: "CreateTaskPushNotificationConfig\tCreateTaskPushNotificationConfigRequest\t",
      found:
        'rpcs A2AService.CreateTaskPushNotificationConfig: request type is "TaskPushNotificationConfig", the contract says "CreateTaskPushNotificationConfigRequest"',
    },
    {
      name: "response type",
      from: "google.protobuf.Empty",
      to: "Empty",
      found:
        'rpcs A2AService.DeleteTaskPushNotificationConfig: response type is "google.protobuf.Empty", the contract says "Empty"',
    },
    {
      name: "streaming",
      from: "SubscribeToTaskRequest\tStreamResponse\tserver stream",
      to: "SubscribeToTaskRequest\tStreamResponse\tunary",
      found: 'rpcs A2AService.SubscribeToTask: streaming is "server stream", the contract says "unary"',
    },
    {
      name: "full path",
      from: "/lf.a2a.v1.A2AService/ListTasks",
      to: "/a2a.v1.A2AService/ListTasks",
      found:
        'rpcs A2AService.ListTasks: path is "/lf.a2a.v1.A2AService/ListTasks", the contract says "/a2a.v1.A2AService/ListTasks"',
    },
    {
      name: "HTTP verb",
      from: "\tGET /tasks/{id=*}:subscribe",
      to: "\tPOST /tasks/{id=*}:subscribe",
      found:
        'rpcs A2AService.SubscribeToTask: http binding is "GET /tasks/{id=*}:subscribe", the contract says "POST /tasks/{id=*}:subscribe"',
    },
    {
      name: "HTTP body",
      from: "POST /message:send\t*",
      to: "POST /message:send\tmessage",
      found: 'rpcs A2AService.SendMessage: body is "*", the contract says "message"',
    },
    {
      name: "additional binding",
      from: "GET /{tenant}/extendedAgentCard (body -)",
      to: "-",
      found:
        'rpcs A2AService.GetExtendedAgentCard: additional bindings is "GET /{tenant}/extendedAgentCard (body -)", the contract says "-"',
    },
    {
      name: "body of an additional binding",
      from: ":cancel (body *)",
      to: ":cancel (body -)",
      found:
        'rpcs A2AService.CancelTask: additional bindings is "POST /{tenant}/tasks/{id=*}:cancel (body *)", the contract says "POST /{tenant}/tasks/{id=*}:cancel (body -)"',
    },
    {
      name: "method signature",
      from: "task_id,config",
      to: "-",
      found:
        'rpcs A2AService.CreateTaskPushNotificationConfig: method signature is "task_id,config", the contract says "-"',
    },
    {
      name: "package",
      from: "file\tpackage\tlf.a2a.v1",
      to: "file\tpackage\ta2a.v1",
      found: 'file-options package: value is "lf.a2a.v1", the contract says "a2a.v1"',
    },
    {
      name: "syntax",
      from: "proto3",
      to: "proto2",
      found: 'file-options syntax: value is "proto3", the contract says "proto2"',
    },
    {
      name: "service name",
      from: "gRPC service name\tlf.a2a.v1.A2AService",
      to: "gRPC service name\tlf.a2a.v1.A2A",
      found:
        'file-options fully qualified gRPC service name: value is "lf.a2a.v1.A2AService", the contract says "lf.a2a.v1.A2A"',
    },
    {
      name: "file option changed",
      from: "java_multiple_files\ttrue",
      to: "java_multiple_files\tfalse",
      found: 'file-options option java_multiple_files: value is "true", the contract says "false"',
    },
    {
      name: "file option removed",
      from: "file\toption csharp_namespace\tLf.A2a.V1\n",
      to: "",
      found: "file-options option csharp_namespace: not in the contract",
    },
    {
      name: "import changed",
      from: "google/protobuf/struct.proto",
      to: "google/protobuf/any.proto",
      found: "file-options import google/protobuf/any.proto: missing in the descriptor",
    },
    {
      name: "import removed",
      from: "file\timport\tgoogle/protobuf/empty.proto\n",
      to: "",
      found: "file-options import google/protobuf/empty.proto: not in the contract",
    },
    {
      name: "reserved number",
      from: "# SECTION numbering-facts",
      to: "reserved\tTask\treserved numbers 7 to 8\n# SECTION numbering-facts",
      found: "reserved Task.reserved numbers 7 to 8: missing in the descriptor",
    },
    {
      name: "declaration order",
      from: "[(4, 'tenant'), (1, 'task_id'),",
      to: "[(1, 'task_id'), (4, 'tenant'),",
      found:
        "numbering-facts ListTaskPushNotificationConfigsRequest: fact is \"declared out of numeric order: [(4, 'tenant'), (1, 'task_id'), (2, 'page_size'), (3, 'page_token')]\", the contract says \"declared out of numeric order: [(1, 'task_id'), (4, 'tenant'), (2, 'page_size'), (3, 'page_token')]\"",
    },
    {
      name: "total",
      from: "REQUIRED fields=61",
      to: "REQUIRED fields=62",
      found: 'totals REQUIRED fields: count is "61", the contract says "62"',
    },
  ];

  it.each(cases)("$name", ({ from, to, found }) => {
    const parts = contract.split(from);
    expect(parts, "the text to change stands in the contract once").toHaveLength(2);
    expect(contractDifferences(parts.join(to), file_lf_a2a_v1_a2a)).toContain(found);
  });

  it("throws on a row that has lost a column", () => {
    expect(() => contractDifferences(contract.replace("Task\t1\tid\t", "Task\t1\t"), file_lf_a2a_v1_a2a)).toThrow(
      'Cannot read a row of the section "fields"',
    );
  });

  it("throws on a section that it does not know", () => {
    expect(() => contractDifferences(`${contract}# SECTION oneofs\tname\n`, file_lf_a2a_v1_a2a)).toThrow(
      "Unknown sections in the contract: oneofs",
    );
  });
});

describe("a changed descriptor is found", () => {
  const cases: readonly { name: string; change: (file: FileDescriptorProto) => void; found: string }[] = [
    {
      name: "removed field",
      change: (file) => void message(file, "Task").field.pop(),
      found: "fields Task.metadata: missing in the descriptor",
    },
    {
      name: "renumbered field",
      change: (file) => assign(message(file, "Task").field.at(-1), { number: 60 }),
      found: 'fields Task.metadata: number is "60", the contract says "6"',
    },
    {
      name: "moved message",
      change: (file) => void file.messageType.push(...file.messageType.splice(1, 1)),
      found: "fields TaskStatus.state: declared out of the contract's order",
    },
    {
      name: "additional message",
      change: (file) => void file.messageType.push(renamed(message(file, "StringList"), "NumberList")),
      found: "fields NumberList.list: not in the contract",
    },
    {
      name: "additional nested message",
      change: (file) => void message(file, "Task").nestedType.push(renamed(message(file, "StringList"), "Inner")),
      found: "fields Task.Inner.list: not in the contract",
    },
    {
      name: "additional message without fields",
      change: (file) => void file.messageType.push(create(DescriptorProtoSchema, { name: "Nothing" })),
      found: "surplus Nothing.message without fields: not in the contract",
    },
    {
      name: "additional enum value",
      change: (file) =>
        void file.enumType[1]?.value.push(create(EnumValueDescriptorProtoSchema, { name: "ROLE_SYSTEM", number: 3 })),
      found: "enums Role.ROLE_SYSTEM: not in the contract",
    },
    {
      name: "reserved numbers",
      change: (file) =>
        void message(file, "Task").reservedRange.push(
          create(DescriptorProto_ReservedRangeSchema, { start: 7, end: 8 }),
        ),
      found: "reserved Task.reserved numbers 7 to 8: not in the contract",
    },
    {
      name: "reserved name",
      change: (file) => void file.enumType[0]?.reservedName.push("TASK_STATE_PAUSED"),
      found: "reserved TaskState.reserved name TASK_STATE_PAUSED: not in the contract",
    },
    {
      name: "file option",
      change: (file) => assign(file.options, { optimizeFor: FileOptions_OptimizeMode.CODE_SIZE }),
      found: "file-options option optimize_for: not in the contract",
    },
    {
      name: "message option",
      change: (file) => assign(message(file, "Task"), { options: create(MessageOptionsSchema, { deprecated: true }) }),
      found: "surplus Task.option deprecated: not in the contract",
    },
    {
      name: "field option",
      change: (file) => assign(message(file, "Task").field[0]?.options, { debugRedact: true }),
      found: "surplus Task.id.option debug_redact: not in the contract",
    },
    {
      name: "enum option",
      change: (file) => assign(file.enumType[0], { options: create(EnumOptionsSchema, { allowAlias: true }) }),
      found: "surplus TaskState.option allow_alias: not in the contract",
    },
    {
      name: "method option",
      change: (file) =>
        assign(file.service[0]?.method[0]?.options, { idempotencyLevel: MethodOptions_IdempotencyLevel.IDEMPOTENT }),
      found: "surplus A2AService.SendMessage.option idempotency_level: not in the contract",
    },
    {
      name: "custom service option",
      change: (file) => {
        const options = create(ServiceOptionsSchema);
        setExtension(options, default_host, "a2a.example");
        assign(file.service[0], { options });
      },
      found: `surplus A2AService.custom option ${default_host.number}: not in the contract`,
    },
    {
      name: "response body of an HTTP rule",
      change: (file) => {
        const options = file.service[0]?.method[3]?.options;
        const rule = create(HttpRuleSchema, { pattern: { case: "get", value: "/tasks" }, responseBody: "tasks" });
        setExtension(defined(options), http, rule);
      },
      found: "surplus A2AService.ListTasks.response body tasks: not in the contract",
    },
    {
      name: "removed HTTP rule",
      change: (file) => assign(file.service[0]?.method[3], { options: create(MethodOptionsSchema) }),
      found: 'rpcs A2AService.ListTasks: http binding is "-", the contract says "GET /tasks"',
    },
  ];

  it("finds none in an unchanged copy", () => {
    expect(
      contractDifferences(
        contract,
        changed(() => {}),
      ),
    ).toEqual([]);
  });

  it.each(cases)("$name", ({ change, found }) => {
    expect(contractDifferences(contract, changed(change))).toContain(found);
  });
});

/** Compiles a changed copy of the descriptor. */
function changed(change: (file: FileDescriptorProto) => void): DescFile {
  const proto = clone(FileDescriptorProtoSchema, file_lf_a2a_v1_a2a.proto);
  change(proto);
  const imported = new Map(withImports(file_lf_a2a_v1_a2a).map((file) => [file.proto.name, file.proto]));
  return defined(createFileRegistry(proto, (name) => imported.get(name)).getFile(proto.name));
}

function withImports(file: DescFile): DescFile[] {
  return [file, ...file.dependencies.flatMap(withImports)];
}

function message(file: FileDescriptorProto, name: string): DescriptorProto {
  return defined(file.messageType.find((candidate) => candidate.name === name));
}

function renamed(original: DescriptorProto, name: string): DescriptorProto {
  return assign(clone(DescriptorProtoSchema, original), { name });
}

function assign<T extends object>(target: T | undefined, values: Partial<T>): T {
  return Object.assign(defined(target), values);
}

function defined<T>(value: T | undefined): T {
  if (value === undefined) {
    throw new Error("The descriptor has not what the test is about to change");
  }
  return value;
}
