import { HakoError } from "../errors";
import type { Hook, Hooks } from "../oci/config";
import type { State } from "../oci/state";

export type HookKind = keyof Hooks;

export interface HookContext {
  state: State;
  /** Where hooks run. */
  cwd: string;
  /** The caller's soft limit of open files, which hooks get. */
  openFiles: number | undefined;
}

/**
 * Runs the hooks of one kind in their order (runtime-spec, config.md "POSIX-platform Hooks"): the state on standard input,
 * their own environment, or the caller's if they name none, and nothing else of ours. The first that fails ends it with an error that holds its output.
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

/** Loaded when there is a hook: most containers have none. */
function runHook(what: string, hook: Hook, context: HookContext): void {
  const { runHook } = require("./hook-process") as typeof import("./hook-process");
  runHook(what, hook, context);
}
