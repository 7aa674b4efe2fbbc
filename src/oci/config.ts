import * as v from "valibot";
import { HakoError } from "../base/errors";
import { printable, shortened } from "../base/printable";
import { RLIMITS } from "../linux/process/rlimit";
import { exactJson, parseDocument, pointer } from "./json";
import {
  between,
  environmentLines,
  flag,
  id,
  int32,
  list,
  nameOf,
  object,
  optional,
  text,
  textMap,
  texts,
  uint64,
} from "./schema";
import { type device, idMapping, linux } from "./schema-linux";
import { execCPUAffinity, ioPriority, scheduler } from "./schema-process";
import type { deviceRule, resources } from "./schema-resources";
import type { seccomp } from "./schema-seccomp";

/** The schema of config.json for Linux (runtime-spec config.md, version 1.3). Unknown fields are ignored, as the spec says. */

const user = object({
  uid: v.nullish(id, 0),
  gid: v.nullish(id, 0),
  umask: optional(between(0, 0o777)),
  additionalGids: list(id),
  username: optional(text),
});

const capabilities = object({
  bounding: texts,
  effective: texts,
  permitted: texts,
  inheritable: texts,
  ambient: texts,
});

const rlimit = object({ type: nameOf(RLIMITS), soft: uint64, hard: uint64 });

const process = object({
  terminal: flag,
  consoleSize: optional(object({ width: between(0, 0xffff), height: between(0, 0xffff) })),
  user: v.nullish(user, { uid: 0, gid: 0 }),
  args: texts,
  env: environmentLines,
  cwd: text,
  capabilities: optional(capabilities),
  rlimits: list(rlimit),
  noNewPrivileges: flag,
  apparmorProfile: optional(text),
  oomScoreAdj: optional(between(-1000, 1000)),
  selinuxLabel: optional(text),
  scheduler: optional(scheduler),
  ioPriority: optional(ioPriority),
  execCPUAffinity: optional(execCPUAffinity),
});

const mount = object({
  destination: text,
  type: optional(text),
  source: optional(text),
  options: texts,
  uidMappings: list(idMapping),
  gidMappings: list(idMapping),
});

const hook = object({ path: text, args: texts, env: texts, timeout: optional(int32) });

const hooks = object({
  prestart: list(hook),
  createRuntime: list(hook),
  createContainer: list(hook),
  startContainer: list(hook),
  poststart: list(hook),
  poststop: list(hook),
});

/** A version by SemVer 2.0.0 whose major number is 1, with or without a pre-release and a build. */
const VERSION = (() => {
  const number = "(?:0|[1-9]\\d*)";
  const word = "[\\dA-Za-z-]+";
  // a number in a pre-release has no leading 0
  const part = `(?:${number}|\\d*[A-Za-z-][\\dA-Za-z-]*)`;
  return new RegExp(`^1\\.${number}\\.${number}(?:-${part}(?:\\.${part})*)?(?:\\+${word}(?:\\.${word})*)?$`);
})();

export const configSchema = object({
  ociVersion: v.pipe(text, v.regex(VERSION, "expected a version 1.x.y")),
  process: optional(process),
  root: optional(object({ path: text, readonly: flag })),
  hostname: optional(text),
  domainname: optional(text),
  mounts: list(mount),
  hooks: optional(hooks),
  annotations: textMap,
  linux: optional(linux),
  /** The section for virtual machines (config-vm.md). hako refuses what it asks for. */
  vm: optional(v.record(text, v.unknown())),
});

export type Config = v.InferOutput<typeof configSchema>;
export type Process = v.InferOutput<typeof process>;
export type User = v.InferOutput<typeof user>;
export type Capabilities = v.InferOutput<typeof capabilities>;
export type Mount = v.InferOutput<typeof mount>;
export type Hook = v.InferOutput<typeof hook>;
export type Hooks = v.InferOutput<typeof hooks>;
export type Resources = v.InferOutput<typeof resources>;
export type LinuxDevice = v.InferOutput<typeof device>;
export type DeviceRule = v.InferOutput<typeof deviceRule>;
export type Linux = v.InferOutput<typeof linux>;
export type Seccomp = v.InferOutput<typeof seccomp>;
export type IdMapping = v.InferOutput<typeof idMapping>;

/** A fault of one field. */
export interface Problem {
  /** JSON pointer of the field; "" is the whole document. */
  pointer: string;
  message: string;
}

/** Parses a text and checks it by the schema. Returns the document, and either the config or all faults of its fields. */
export function readConfig(
  source: string,
  file: string,
): ({ config: Config } | { problems: Problem[] }) & { document: unknown } {
  const document = parseDocument(source, file);
  return { ...configOf(document), document };
}

/** Checks a parsed document by the schema. Returns the config, or all faults of its fields. */
export function configOf(document: unknown): { config: Config } | { problems: Problem[] } {
  const result = v.safeParse(configSchema, document);
  return result.success ? { config: result.output } : { problems: result.issues.map(problemOf) };
}

/** Parses the document of one process, as `exec --process` takes it. */
export function parseProcess(source: string, file: string): Process {
  const result = v.safeParse(process, parseDocument(source, file));
  if (result.success) return result.output;
  throw problemsError(result.issues.map(problemOf), file);
}

/** One error for all problems. */
export function problemsError(problems: readonly Problem[], file: string): HakoError {
  const lines = problems.map(problemLine);
  return new HakoError({ code: "config", message: `${file}: ${lines.join("; ")}`, path: file });
}

/** How many characters of a field's name, and of a message, are shown: a document may have any number. */
const MOST_POINTER = 200;
const MOST_MESSAGE = 500;

/** A problem as one line for people. It is printable: what a document says can't command the terminal or begin a second line. */
export function problemLine({ pointer: where, message }: Problem): string {
  const field = where === "" ? "the document" : shortened(where, MOST_POINTER);
  return printable(`${field}: ${shortened(message, MOST_MESSAGE)}`.replaceAll("\n", "\\n"));
}

const MAX_SHOWN = 60;

/** A problem from one of valibot's issues: "Invalid type: Expected string but received 5" becomes "expected a string, got 5". */
export function problemOf(issue: v.BaseIssue<unknown>): Problem {
  const keys = (issue.path ?? []).map(({ key }) => key as string | number);
  const where = pointer(keys);
  if (issue.type === "object" && issue.received === "undefined")
    return { pointer: where, message: "missing" };
  if (issue.kind === "schema" && issue.received === "undefined")
    return { pointer: where, message: "missing" };
  const received = shown(issue.input);
  const generic = issue.message.startsWith("Invalid ");
  const expected = generic ? `expected ${article(issue.expected ?? "something else")}` : issue.message;
  return { pointer: where, message: `${expected}, got ${received}` };
}

/** valibot's name of a type with its article: "an object" for "Object". */
function article(expected: string): string {
  const word = expected.toLowerCase();
  return /^[aeio]/.test(word) ? `an ${word}` : `a ${word}`;
}

function shown(input: unknown): string {
  const whole = exactJson(input) ?? "nothing";
  return whole.length > MAX_SHOWN ? `${whole.slice(0, MAX_SHOWN)}...` : whole;
}
