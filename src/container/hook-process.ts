import { spawnSync } from "node:child_process";
import { HakoError } from "../errors";
import { textOf } from "../linux/bytes";
import { errnoName, errnoText } from "../linux/errno";
import { explainExecution, lookAtProgram } from "../linux/execution-error";
import { getLimit, openFilesLimit, setLimit } from "../linux/rlimit";
import { logDebug } from "../log";
import type { Hook } from "../oci/config";
import type { HookContext } from "./hooks";
import type { CallEnd } from "./inside-hook";

const SHOWN_OUTPUT = 2000;

/** Runs one hook, which errors call `what`, and waits for its end. */
export function runHook(what: string, hook: Hook, context: HookContext): void {
  logDebug(what);
  const done =
    context.inside === undefined
      ? withOpenFiles(context.openFiles, () => call(hook, context))
      : call(hook, context);
  const fail = (why: string, hint?: string): never => {
    const said = lastLines(done.stderr) || lastLines(done.stdout);
    const message = `${what}: ${why}${said === "" ? "" : `: ${said}`}`;
    throw new HakoError({ code: "system", message, hint, path: hook.path });
  };
  const { error } = done;
  if (error?.code === "ETIMEDOUT")
    fail(`ended after its timeout of ${hook.timeout} s`, "what it wrote last may say what it waits for");
  // a hook need not read its standard input
  if (error !== undefined && error.code !== "EPIPE") {
    const errno = Math.abs(error.errno ?? 0);
    const { why, hint } = explainExecution(lookAtProgram(hook.path), errnoName(errno));
    fail(why === undefined ? errnoText(errno) : `${errnoText(errno)}: ${why}`, hint);
  }
  if (done.signal !== null) fail(`was killed by ${done.signal}`);
  if (done.status !== 0) fail(`exited with status ${done.status}`);
}

function call(hook: Hook, { state, cwd, inside, openFiles }: HookContext): CallEnd {
  const { path, args = [] } = hook;
  const input = JSON.stringify(state);
  const timeout = hook.timeout === undefined ? undefined : hook.timeout * 1000;
  if (inside !== undefined) {
    const { callInside } = require("./inside-hook") as typeof import("./inside-hook");
    const argv = args.length === 0 ? [path] : args;
    const lines = hook.env ?? inside.environment;
    return callInside({ path, argv, environment: lines, cwd, openFiles, input, timeout }, inside.filtered);
  }
  const lines = hook.env;
  const [name, ...rest] = args;
  const { error, ...end } = spawnSync(path, rest, {
    ...(name === undefined ? {} : { argv0: name }),
    env: lines === undefined ? process.env : environment(lines),
    cwd,
    input,
    maxBuffer: Number.POSITIVE_INFINITY,
    killSignal: "SIGKILL",
    ...(timeout === undefined ? {} : { timeout }),
  });
  return { ...end, error: error as CallEnd["error"] };
}

/** The end of what a hook wrote, without cutting a line in two, in one line. */
function lastLines(output: Uint8Array | null): string {
  const text = textOf(output ?? new Uint8Array()).trim();
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
  setLimit(0, "RLIMIT_NOFILE", openFilesLimit(soft));
  try {
    return action();
  } finally {
    setLimit(0, "RLIMIT_NOFILE", before);
  }
}
