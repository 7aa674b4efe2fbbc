import { during, HakoError } from "../base/errors";
import { UndoStack } from "../base/undo";
import type { ContainerId } from "../oci/id";
import { logWarning } from "../output/log";
import { lockContainer } from "../state/lock";
import { type ContainerRecord, readRecord, readStoredConfig, statusOf, writeRecord } from "../state/record";
import { cgroupOf } from "./pause";
import type { Changes } from "./update-values";

/** Changes limits of a container; those that are not given stay. All of them are taken back when one is refused. */
export function updateContainer(root: string, id: ContainerId, { resources, schemas }: Changes): void {
  using _lock = lockContainer(root, id);
  const record = readRecord(root, id);
  const status = statusOf(root, record);
  if (status === "stopped" || status === "creating") {
    throw new HakoError({ code: "state", message: `container "${id}": container not running: ${status}` });
  }
  using undo = new UndoStack((error) => logWarning(error.oneLine));
  if (Object.keys(schemas).length > 0) during("update", () => updateSchemas(root, record, schemas, undo));
  // rules for devices are the container's for its life, as with runc
  const { devices: _, ...limits } = resources;
  if (Object.keys(limits).length > 0) cgroupOf(record).apply(limits);
  undo.commit();
}

function updateSchemas(
  root: string,
  record: ContainerRecord,
  schemas: Changes["schemas"],
  undo: UndoStack,
): void {
  const { updateResctrl } = require("../resctrl/resctrl") as typeof import("../resctrl/resctrl");
  const { id, init } = record;
  const made = [...(record.resctrl ?? [])];
  const pids = () => (record.cgroup === undefined ? [init?.pid ?? 0] : cgroupOf(record).pids());
  try {
    updateResctrl({ rdt: readStoredConfig(root, id).linux?.intelRdt, id, pids, made }, schemas, undo);
  } finally {
    // what was made is removed with the container, also when it could not be taken back
    if (made.length > (record.resctrl?.length ?? 0)) writeRecord(root, { ...record, resctrl: made });
  }
}
