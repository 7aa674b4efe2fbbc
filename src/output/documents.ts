import * as v from "valibot";
import type { ErrorCode } from "../base/errors";
import { told } from "./told";

// The JSON documents that commands print. Commands take types from here, and load none of it; what is made of the schemas are the
// types of the TypeScript library (scripts/sdk-types.ts).

const text = v.nullable(v.string());
const number = v.nullable(v.number());

const ERROR_CODES = [
  ...(["usage", "config", "unsupported", "not-found", "exists", "state"] as const),
  ...(["command-not-found", "command-not-executable", "system"] as const),
] as const satisfies readonly ErrorCode[];

const ENDING = {
  exitCode: told(number, "The first process's exit status, or 128 + N where signal N ended it."),
  signal: told(text, 'What ended it, as "SIGKILL"; null if it ended by itself.'),
  oomKilled: told(
    v.nullable(v.boolean()),
    "The kernel has killed a process of the container, not the first one perhaps, for lack of memory.",
  ),
};

/** How a program has ended; null is what nobody knows. */
export const endingDocument = v.object(ENDING);

const ENDED = {
  ...ENDING,
  finished: told(text, "RFC 3339; known where a command of hako's saw the end."),
};

/** How a container has ended, as `wait --json` tells it. */
export const endedDocument = v.object(ENDED);

const ISOLATION = {
  weaker: told(
    v.array(v.picklist(["proc", "namespaces", "attributes", "signals"])),
    "What isolates it less than elsewhere, as `--weaker` has allowed.",
  ),
  landlock: told(number, "The ABI of Landlock that keeps its program in; null where none does."),
};

const refusedDestination = v.object({
  host: told(v.string(), "A name or an address."),
  port: told(number, "null of a name that was asked for, whose port nobody knows."),
  protocol: v.nullable(v.picklist(["tcp", "udp"])),
  why: v.string(),
  address: told(
    text,
    "The address of the name for which it was refused; null where it was for the name itself.",
  ),
  count: v.number(),
});

/** What `run --report` and `exec --report` say; null is what nobody knows. */
export const reportDocument = v.object({
  id: told(text, "The container's."),
  ...ENDING,
  timedOut: told(v.boolean(), "The time limit was reached."),
  started: told(text, "When the program began, by RFC 3339."),
  wallMs: told(number, "How many milliseconds it took."),
  cpuUserMs: told(number, "Processor time of all its processes, in milliseconds."),
  cpuSystemMs: told(number, "The same in the kernel."),
  memoryPeakBytes: told(number, "The most memory at one time, with what the kernel caches for it."),
  pidsPeak: told(number, "The most processes and threads at one time."),
  ...ISOLATION,
  policy: told(text, "Which it was run by."),
  unprotected: told(
    v.array(v.string()),
    "What the policy protects, and could not be held: it was not there when the program began.",
  ),
  unheld: told(
    v.array(v.string()),
    "To be looked at: what the policy protects and was made meanwhile; what is hidden or protected and was replaced or removed outside; repositories that git finds by an index that was changed.",
  ),
  refused: told(
    v.nullable(v.array(refusedDestination)),
    "What rules of `--network` have refused; null where there are none.",
  ),
  hakoError: told(
    v.nullable(v.object({ code: v.picklist(ERROR_CODES), message: v.string(), hint: text })),
    "Why hako itself has failed; null where it hasn't.",
  ),
});

/** The state of a container (runtime.md "State"), as `state` prints it; how it ended once it has stopped. */
export const stateDocument = v.object({
  ociVersion: v.string(),
  id: v.string(),
  status: told(
    v.picklist(["creating", "created", "running", "paused", "stopped"]),
    "As in the spec; or paused.",
  ),
  pid: told(v.number(), "0 when there is no process."),
  bundle: v.string(),
  annotations: v.record(v.string(), v.string()),
  rootfs: v.string(),
  created: told(v.string(), "RFC 3339."),
  ...v.partial(v.object(ISOLATION)).entries,
  ...v.partial(endedDocument).entries,
});

const shown = v.nullable(
  v.object({
    type: v.string(),
    mode: told(v.string(), 'Octal, as "0644".'),
    owner: told(v.string(), 'As "0:0".'),
    target: told(text, "Where a symbolic link leads."),
  }),
);

/** One file or directory that is not as it is on the host, as `changes --json` tells it. */
export const changeDocument = v.object({
  path: v.string(),
  change: v.picklist(["added", "changed", "removed"]),
  type: told(
    v.picklist(["file", "directory", "symlink", "character", "block", "fifo", "socket"]),
    "What it is now; of what is removed, what it was.",
  ),
  what: told(
    v.array(v.picklist(["type", "content", "target", "mode", "owner", "attributes"])),
    "What is different.",
  ),
  from: told(shown, "What the host has there."),
  to: told(shown, "null of what is removed."),
  noteworthy: told(text, "What reads or executes such a file without being asked to, or what rights it has."),
  rights: told(text, "Rights that a file gets only if that is forced."),
  conflict: told(text, "Why it is not applied: the host's file is another one than the program had."),
  leftOut: told(text, "Why it is never applied."),
});
