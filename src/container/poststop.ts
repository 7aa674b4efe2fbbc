import { runLenientHooks } from "../hooks/hooks";
import { type ContainerRecord, stateOf } from "../state/record";

/** Runs the hooks that come when all of a container is gone (runtime.md "Lifecycle", step 13); a failing one is a warning. */
export function runPoststopHooks(record: ContainerRecord): void {
  const context = { state: stateOf(record, "stopped"), cwd: record.bundle };
  runLenientHooks("poststop", record.hooks, context);
}
