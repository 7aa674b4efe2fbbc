import { HakoError } from "../errors";
import { errnoName, errnoText } from "../linux/errno";
import { explainExecution, lookAtProgram } from "../linux/execution-error";
import { getLimit, setLimit } from "../linux/rlimit";
import { logDebug } from "../log";
import type { Hook, Hooks } from "../oci/config";
import type { State } from "../oci/state";

export type HookKind = keyof Hooks;

const MAX_OUTPUT = 1 << 20;
const SHOWN_OUTPUT = 2000;

export interface HookContext {
  state: State;
  /** Where hooks run. */
  cwd: string;
  /** The caller's soft limit of open files, which hooks get. */
  openFiles: number | undefined;
}

/**
 * Runs the hooks of one kind in their order (runtime-spec, config.md "POSIX-platform Hooks"): the state on standard input,
 * their own environment and nothing else of ours. The first that fails ends it with an error that holds its output.
 */
export function runHooks(kind: HookKind, hooks: Hooks | undefined, context: HookContext): void {
  (hooks?.[kind] ?? []).forEach((hook, index) => {
    runHook(`config /hooks/${kind}/${index}: hook ${hook.path}`, hook, context);
  });
}

/** As `runHooks` for kinds whose failures only matter as warnings: the others run all the same. */
export function runLenientHooks(
  kind: HookKind,
  hooks: Hooks | undefined,
  context: HookContext,
  warn: (message: string) => void,
): void {
  (hooks?.[kind] ?? []).forEach((hook, index) => {
    try {
      runHook(`config /hooks/${kind}/${index}: hook ${hook.path}`, hook, context);
    } catch (error) {
      if (!(error instanceof HakoError)) throw error;
      warn(error.oneLine);
    }
  });
}

function runHook(what: string, hook: Hook, context: HookContext): void {
  logDebug(what);
  const [name, ...args] = hook.args ?? [];
  // loaded when there is a hook: most containers have none, and it costs a millisecond
  const { spawnSync } = require("node:child_process") as typeof import("node:child_process");
  const done = withOpenFiles(context.openFiles, () =>
    spawnSync(hook.path, args, {
      ...(name === undefined ? {} : { argv0: name }),
      env: environment(hook.env ?? []),
      cwd: context.cwd,
      input: JSON.stringify(context.state),
      maxBuffer: MAX_OUTPUT,
      killSignal: "SIGKILL",
      ...(hook.timeout === undefined ? {} : { timeout: hook.timeout * 1000 }),
    }),
  );
  const fail = (why: string, hint?: string): never => {
    const said = lastLines(done.stderr) || lastLines(done.stdout);
    const message = `${what}: ${why}${said === "" ? "" : `: ${said}`}`;
    throw new HakoError({ code: "system", message, hint, path: hook.path });
  };
  const error = done.error as (Error & { code?: string; errno?: number }) | undefined;
  if (error?.code === "ETIMEDOUT")
    fail(`ended after its timeout of ${hook.timeout} s`, "what it wrote last may say what it waits for");
  if (error?.code === "ENOBUFS") fail(`wrote more than ${MAX_OUTPUT} bytes`);
  // a hook need not read its standard input
  if (error !== undefined && error.code !== "EPIPE") {
    const errno = Math.abs(error.errno ?? 0);
    const { why, hint } = explainExecution(lookAtProgram(hook.path), errnoName(errno));
    fail(why === undefined ? errnoText(errno) : `${errnoText(errno)}: ${why}`, hint);
  }
  if (done.signal !== null) fail(`was killed by ${done.signal}`);
  if (done.status !== 0) fail(`exited with status ${done.status}`);
}

/** The end of what a hook wrote, without cutting a line in two, in one line. */
function lastLines(output: Buffer | null): string {
  const text = (output?.toString() ?? "").trim();
  const shown = text.length <= SHOWN_OUTPUT ? text : text.slice(-SHOWN_OUTPUT).replace(/^[^\n]*\n/, "");
  return shown.replaceAll(/\s*\n\s*/g, "; ");
}

function environment(lines: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    lines.map((line) => {
      const equals = line.indexOf("=");
      return equals < 0 ? [line, ""] : [line.slice(0, equals), line.slice(equals + 1)];
    }),
  );
}

/** Bun raises its soft limit of open files, and what it spawns inherits that. */
function withOpenFiles<T>(soft: number | undefined, action: () => T): T {
  if (soft === undefined) return action();
  const before = getLimit(0, "RLIMIT_NOFILE");
  const wanted = BigInt(soft) < before.hard ? BigInt(soft) : before.hard;
  setLimit(0, "RLIMIT_NOFILE", { soft: wanted, hard: before.hard });
  try {
    return action();
  } finally {
    setLimit(0, "RLIMIT_NOFILE", before);
  }
}
