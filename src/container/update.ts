import { HakoError } from "../base/errors";
import { UndoStack } from "../base/undo";
import { driverOf, need } from "../drivers";
import type { Update } from "../drivers/interface/driver";
import type { ContainerId } from "../oci/id";
import { logWarning } from "../output/log";
import { lockContainer } from "../state/lock";
import { readContainer, writeRecord } from "../state/record";
import { statusOf } from "./status";

/** Changes limits of a container; those that are not given stay. All of them are taken back when one is refused. */
export function updateContainer(root: string, id: ContainerId, changes: Update): void {
  using _lock = lockContainer(root, id);
  const container = readContainer(root, id);
  const status = statusOf(container);
  if (status === "stopped" || status === "creating") {
    throw new HakoError({ code: "state", message: `container "${id}": container not running: ${status}` });
  }
  const { record } = container;
  const driver = driverOf(record);
  const [schema] = Object.keys(changes.schemas);
  if (schema !== undefined) need(driver, "intelRdt", `--${schema}`);
  using undo = new UndoStack((error) => logWarning(error.oneLine));
  driver.update(container, changes, (made) => writeRecord(root, { ...record, ...made }), undo);
  undo.commit();
}
