import { during, HakoError } from "../base/errors";
import { nearestName } from "../base/nearest";
import { textOf } from "../linux/call/bytes";
import { callerDescriptor } from "../linux/file/caller-descriptor";
import { readTextWithin, statusAt } from "../linux/file/file";
import { dirname, resolve } from "../linux/file/path-text";
import { readAllWaiting } from "../linux/file/stream";
import { BUILT_IN, isBuiltIn } from "./built-in";
import { LIMIT_NAMES, LIST_NAMES, type Policy, type PolicyDocument } from "./policy";

/** Loaded for a policy of a file. */
const rare = {
  get policyDocument() {
    return require("./policy-document") as typeof import("./policy-document");
  },
  get srtSettings() {
    return require("./srt-settings") as typeof import("./srt-settings");
  },
};

/** As deep as policies may extend each other. */
const MOST_EXTENDED = 8;

/** The word before a settings file of sandbox-runtime's. */
const SRT = "srt:";

/** How long a policy may be. */
const MOST_BYTES = 1 << 20;

/**
 * The policy that `--policy` names: a built-in one's name, a file in TOML or JSON, `srt:FILE`, or the number of a descriptor that the caller has
 * opened, which is read to its end: no command can change what it runs by.
 */
export function readPolicy(name: string): Policy {
  if (name === "") throw HakoError.usage("--policy: empty", `a file, ${builtInNames()}`);
  if (/^\d+$/.test(name)) return given(name);
  return { ...mergedPolicy(name, "", []), name };
}

function given(digits: string): Policy {
  const flag = `--policy ${digits}`;
  const text = during(flag, () => {
    using descriptor = callerDescriptor(digits, "read");
    const read = textOf(readAllWaiting(descriptor, MOST_BYTES));
    // of a caller that has failed to write it
    if (read.trim() === "")
      throw new HakoError({ code: "config", message: "nothing comes from the descriptor" });
    return read;
  });
  return extended(rare.policyDocument.parsePolicy(text, flag), `descriptor ${digits}`, undefined, []);
}

function builtInNames(): string {
  const names = Object.keys(BUILT_IN);
  return `${names.slice(0, -1).join(", ")} or ${names.at(-1)}`;
}

/** `beside`: the directory of the file that extends it. */
function mergedPolicy(name: string, beside: string, below: readonly string[]): Policy {
  if (below.length > MOST_EXTENDED)
    throw new HakoError({ code: "config", message: `${below[0]}: policies extend each other in a circle` });
  if (isBuiltIn(name)) return extended(BUILT_IN[name], name, undefined, below);
  const isSrt = name.startsWith(SRT);
  const file = resolve(beside, isSrt ? name.slice(SRT.length) : name);
  const read = () => {
    if (statusAt(file) === undefined) throw noPolicy(name, file);
    return readTextWithin(file, MOST_BYTES);
  };
  const from = below.at(-1);
  const text = from === undefined ? read() : during(`${from}: /extends`, read);
  const document = isSrt
    ? rare.srtSettings.policyOfSrt(text, file)
    : rare.policyDocument.parsePolicy(text, file);
  return extended(document, name, file, below);
}

function extended(
  document: PolicyDocument,
  name: string,
  file: string | undefined,
  below: readonly string[],
): Policy {
  const { extends: other } = document;
  const base =
    other === undefined
      ? undefined
      : mergedPolicy(other, file === undefined ? "" : dirname(file), [...below, file ?? name]);
  const lists = LIST_NAMES.map((key) => [
    key,
    [...new Set([...(base?.[key] ?? []), ...(document[key] ?? [])])],
  ]);
  const limits = LIMIT_NAMES.map((key) => [key, document[key]?.toString() ?? base?.[key]]);
  const { network = base?.network ?? [] } = document;
  const { hide = [], read = [], volume = [], tmpfs = [] } = document;
  return {
    ...(Object.fromEntries([...lists, ...limits]) as Omit<Policy, "name" | "layers" | "files" | "network">),
    name,
    layers: [...(base?.layers ?? []), { hide, read, volume, tmpfs }],
    files: [...(file === undefined ? [] : [file]), ...(base?.files ?? [])],
    network: typeof network === "string" ? [network] : network,
  };
}

function noPolicy(name: string, file: string): HakoError {
  const near = name.includes("/") ? undefined : nearestName(name, Object.keys(BUILT_IN));
  return new HakoError({
    code: "config",
    message: `policy ${JSON.stringify(name)}: ${file} does not exist`,
    hint: near === undefined ? `a file, ${builtInNames()}` : `did you mean ${near}?`,
    path: file,
  });
}
