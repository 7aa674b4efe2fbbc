import { errnoName, errnoText } from "../base/errno";
import { HakoError } from "../base/errors";
import { explainExecution, lookAtProgram } from "../explain/execution";
import { textOf } from "../linux/call/bytes";
import { callerEnvironment } from "../linux/file/caller-environment";
import type { Hook } from "../oci/config";
import type { State } from "../oci/state";
import { logDebug } from "../output/log";
import { type CallEnd, callProgram, type Filtered } from "./call-program";

const SHOWN_OUTPUT = 2000;

/** How hooks run in the container, where the container's process executes them. */
export interface HookPlace {
  /** What a hook without an environment of its own gets. */
  environment: readonly string[];
  /** The filter of the program that comes after the hooks, which holds for hooks too. A filter with a listener is the program's alone. */
  filtered?: Filtered | undefined;
}

export interface HookContext {
  state: State;
  /** The working directory of hooks. */
  cwd: string;
  /** For hooks in the container. */
  inside?: HookPlace;
}

/** Runs one hook and waits for its end. Errors name it by `what`. */
export function runHook(what: string, hook: Hook, context: HookContext): void {
  logDebug(what);
  const done = call(hook, context);
  const fail = (why: string, hint?: string): never => {
    const said = lastLines(done.stderr) || lastLines(done.stdout);
    const message = `${what}: ${why}${said === "" ? "" : `: ${said}`}`;
    throw new HakoError({ code: "system", message, hint, path: hook.path });
  };
  if (done.late)
    fail(`ended after its timeout of ${hook.timeout} s`, "what it wrote last may say what it waits for");
  if (done.errno !== undefined) {
    const { why, hint } = explainExecution(lookAtProgram(hook.path), errnoName(done.errno));
    fail(why === undefined ? errnoText(done.errno) : `${errnoText(done.errno)}: ${why}`, hint);
  }
  if (done.signal !== undefined) fail(`was killed by ${done.signal}`);
  if (done.status !== 0) fail(`exited with status ${done.status}`);
}

/** Calls the hook's program. A hook that names no environment gets the caller's, or in the container the program's. */
function call({ path, args = [], env, timeout }: Hook, context: HookContext): CallEnd {
  const { state, cwd, inside } = context;
  return callProgram({
    path,
    argv: args.length === 0 ? [path] : args,
    cwd,
    environment: env ?? inside?.environment ?? callerEnvironment(),
    input: JSON.stringify(state),
    timeout: timeout === undefined ? undefined : timeout * 1000,
    filtered: inside?.filtered,
  });
}

/** The last whole lines of what a hook wrote, joined to one line. */
function lastLines(output: Uint8Array): string {
  const text = textOf(output).trim();
  const shown = text.length <= SHOWN_OUTPUT ? text : text.slice(-SHOWN_OUTPUT).replace(/^[^\n]*\n/, "");
  return shown.replaceAll(/\s*\n\s*/g, "; ");
}
