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
 * Runs the hooks of one kind in their order (runtime-spec, config.md "POSIX-platform Hooks"), with the state on standard input. A hook that
 * names no environment gets the caller's, or in the container the program's. The first hook that fails ends the series with an error that
 * holds its output.
 */
export function runHooks(kind: HookKind, hooks: Hooks | undefined, context: HookContext): void {
  (hooks?.[kind] ?? []).forEach((hook, index) => {
    rare.hookProcess.runHook(`config /hooks/${kind}/${index}: hook ${hook.path}`, hook, context);
  });
}

/** Runs the hooks of a kind whose failures are warnings (poststop): every hook runs, also after one that failed. */
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
