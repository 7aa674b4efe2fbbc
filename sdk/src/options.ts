import { SandboxError } from "./errors.js";
import { EXEC_FLAGS, type FlagTable, RUN_FLAGS } from "./generated.js";

/** What an option's value has to be, in words and as a check. */
type Kind = readonly [what: string, holds: (value: unknown) => boolean];

const isText = (value: unknown): boolean => typeof value === "string" || typeof value === "number";
const isList = (value: unknown): boolean => Array.isArray(value) && value.every(isText);
const isObject = (value: unknown): value is object =>
  typeof value === "object" && value !== null && !Array.isArray(value);

const TEXT: Kind = ["a text or a number", isText];
const SWITCH: Kind = ["true or false", (value) => typeof value === "boolean"];

/** Those of flags, as the tables of flags name them. */
const KINDS: Readonly<Record<FlagTable[string][1], Kind>> = {
  switch: SWITCH,
  text: TEXT,
  time: TEXT,
  list: ["a text or a list of texts", (value) => isText(value) || isList(value)],
  variables: [
    "an object of texts",
    (value) =>
      isObject(value) && Object.values(value).every((each) => each === undefined || typeof each === "string"),
  ],
};

type Kinds = Readonly<Record<string, Kind>>;

function flagKinds(table: FlagTable): Kinds {
  return Object.fromEntries(Object.entries(table).map(([name, [, kind]]) => [name, KINDS[kind]]));
}

const OPTIONS: Kind = ["an object of options", isObject];
const COMMAND: Kind = ['a list of words, as ["ls", "-l"]', isList];
const SIGNAL: Kind = [
  "an AbortSignal",
  (value) => isObject(value) && typeof (value as AbortSignal).throwIfAborted === "function",
];
const isStream = (value: object): boolean => Symbol.asyncIterator in value || Symbol.iterator in value;
const HAKO: Kinds = { executable: TEXT, root: TEXT, cwd: TEXT };
const SANDBOX: Kinds = {
  ...flagKinds(RUN_FLAGS),
  ...HAKO,
  rootfs: TEXT,
  id: ["a text that is not empty", (value) => isText(value) && value !== ""],
  policy: ["a text or an object", (value) => typeof value === "string" || isObject(value)],
};
const CAPTURE: Kinds = {
  input: [
    "a text, bytes, or a stream of these",
    (value) => typeof value === "string" || ArrayBuffer.isView(value) || (isObject(value) && isStream(value)),
  ],
  maxOutputBytes: ["a number of bytes", (value) => typeof value === "number" && value >= 0],
  check: SWITCH,
  signal: SIGNAL,
  encoding: ['"buffer"', (value) => value === "buffer"],
};
const SPAWN: Kinds = {
  stdio: ['"pipe" or "inherit"', (value) => value === "pipe" || value === "inherit"],
  signal: SIGNAL,
};
const CHOSEN: Kinds = { paths: ['a list of paths, as ["src"]', isList] };

/** The options of each call. */
const CALLS = {
  run: { ...SANDBOX, ...CAPTURE, command: COMMAND },
  spawn: { ...SANDBOX, ...SPAWN, command: COMMAND },
  "Sandbox.start": { ...SANDBOX, signal: SIGNAL },
  exec: { ...flagKinds(EXEC_FLAGS), ...CAPTURE },
  "a sandbox's spawn": { ...flagKinds(EXEC_FLAGS), ...SPAWN },
  container: HAKO,
  state: {},
  wait: { signal: SIGNAL },
  kill: { all: SWITCH },
  delete: { force: SWITCH },
  stats: {},
  events: {
    intervalMs: ["a number of milliseconds above 0", (value) => typeof value === "number" && value > 0],
    signal: SIGNAL,
  },
  changes: HAKO,
  list: CHOSEN,
  diff: CHOSEN,
  apply: { ...CHOSEN, force: SWITCH },
  discard: {},
} satisfies Readonly<Record<string, Kinds>>;

/**
 * Refuses an option that a call hasn't, and a value that an option can't have, by a `SandboxError` with code "usage": what TypeScript would have said. None
 * is dropped: it may have been a limit, or a choice. So an object of a class is refused, too, whose getters are not its own.
 */
export function checkOptions(call: keyof typeof CALLS, options: object): void {
  const kinds: Kinds = CALLS[call];
  checkValue(`${call}: options`, options, OPTIONS);
  refuseInherited(`${call}: its options are`, options);
  if ("policy" in options && isObject(options.policy)) refuseInherited(`${call}: policy is`, options.policy);
  for (const [name, value] of Object.entries(options)) {
    if (!Object.hasOwn(kinds, name)) throw new SandboxError("usage", `${call} has no option "${name}"`);
    if (value !== undefined) checkValue(`${call}: ${name}`, value, kinds[name]);
  }
}

function refuseInherited(what: string, given: object): void {
  const prototype: unknown = Object.getPrototypeOf(given);
  // Object.prototype, perhaps that of another realm: test runners give each test one
  if (prototype === null || Object.getPrototypeOf(prototype) === null) return;
  throw new SandboxError("usage", `${what} no plain object: what it inherits would be dropped`);
}

/** Refuses what is no command: a line for a shell is one to `sh -c`. */
export function checkCommand(call: keyof typeof CALLS, command: unknown): void {
  checkValue(`${call}: command`, command, COMMAND);
}

function checkValue(name: string, value: unknown, [what, holds]: Kind = TEXT): void {
  if (holds(value)) return;
  const given = typeof value === "string" ? JSON.stringify(value) : value === null ? "null" : typeof value;
  throw new SandboxError("usage", `${name} is ${given}, not ${what}`);
}
