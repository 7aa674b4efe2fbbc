import { UndoStack } from "../base/undo";
import { driverOf } from "../drivers";
import { runHooks } from "../hooks/hooks";
import { logWarning } from "../output/log";
import { type Container, stateOf } from "../state/record";

/** Runs poststart hooks, behind the start of the program. One that fails stops the container, as the spec says since 1.3. */
export function runPoststartHooks(container: Container): void {
  const { record } = container;
  using undo = new UndoStack((error) => logWarning(error.oneLine));
  undo.defer(`processes of ${record.id}`, () => driverOf(record).end(container));
  // by then a quick program may have ended; what the hook is told is what it is called after
  const state = stateOf(record, "running");
  runHooks("poststart", record.hooks, { state, cwd: record.bundle });
  undo.commit();
}
