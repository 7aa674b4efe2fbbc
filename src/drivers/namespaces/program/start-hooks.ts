import { runHooks } from "../../../hooks/hooks";
import { syscall } from "../../../linux/call/syscall";
import { permittedCapabilities } from "../../../linux/process/capabilities";
import { type SeccompFilter, withoutListener } from "../../../linux/process/filter-steps";
import type { RemoteProcess } from "../../../linux/remote/remote-process";
import type { Config } from "../../../oci/config";
import type { State } from "../../../oci/state";
import { homeOf, lastCapabilityStep } from "./identity";
import { keptForFilter } from "./prepared-program";
import { environmentOf } from "./program-file";

export interface StartHooks {
  state: State;
  filter: SeccompFilter | undefined;
}

/**
 * Runs startContainer hooks as children of the container's process, which waits for its end: they have its namespaces, root
 * directory and identity, and are under its filter. Its listener is made for the program alone, so what the filter would notify
 * of a hook is not there for it.
 */
export function runStartHooks(remote: RemoteProcess, config: Config, { state, filter }: StartHooks): void {
  const { process, hooks } = config;
  if (process === undefined) return;
  remote.act(() => {
    runHooks("startContainer", hooks, {
      state: { ...state, pid: syscall("getpid") },
      cwd: ".",
      inside: {
        environment: environmentOf(process, homeOf),
        filtered:
          filter === undefined
            ? undefined
            : { filter: withoutListener(filter), last: lastStep(config, filter) },
      },
    });
  });
}

/** Takes the capability away that the container's process has kept for its filter. */
function lastStep(config: Config, filter: SeccompFilter) {
  const { process } = config;
  if (process === undefined) return undefined;
  const kept = keptForFilter(process, filter);
  if (kept === 0n) return undefined;
  return lastCapabilityStep(process, permittedCapabilities(), kept);
}
