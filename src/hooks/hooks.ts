import { HakoError } from "../base/errors";
import type { Hooks } from "../oci/config";
import { logWarning } from "../output/log";
import type { HookContext } from "./hook-process";

/** Loaded on first use: most containers have no hooks. */
const rare = {
  get hookProcess() {
    return require("./hook-process") as typeof import("./hook-process");
  },
};

export type HookKind = keyof Hooks;

/**
 * Runs the hooks of one kind in their order (runtime-spec, config.md "POSIX-platform Hooks"): the state on standard input,
 * their own environment, or that of who is there if they name none: the caller, or in the container its program. The first that
 * fails ends it with an error that holds its output.
 */
export function runHooks(kind: HookKind, hooks: Hooks | undefined, context: HookContext): void {
  (hooks?.[kind] ?? []).forEach((hook, index) => {
    rare.hookProcess.runHook(`config /hooks/${kind}/${index}: hook ${hook.path}`, hook, context);
  });
}

/** Runs the hooks of a kind whose failures are warnings (poststop): each runs, whatever became of the one before. */
export function runLenientHooks(kind: HookKind, hooks: Hooks | undefined, context: HookContext): void {
  (hooks?.[kind] ?? []).forEach((hook, index) => {
    try {
      rare.hookProcess.runHook(`config /hooks/${kind}/${index}: hook ${hook.path}`, hook, context);
    } catch (error) {
      if (!(error instanceof HakoError)) throw error;
      logWarning(error.oneLine);
    }
  });
}
