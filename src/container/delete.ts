import { asHakoError, HakoError } from "../base/errors";
import { allDrivers, driverOf } from "../drivers";
import { hasErrno } from "../linux/file/file";
import { leadsSandbox } from "../oci/container-type";
import type { ContainerId } from "../oci/id";
import { logDebug, logWarning } from "../output/log";
import { lockContainer } from "../state/lock";
import { MappingStore } from "../state/mapping";
import { type ContainerRecord, readRecord, type Status } from "../state/record";
import { containerDirectory, foreignName, hasDirectory, removeContainerDirectory } from "../state/root";
import { runPoststopHooks } from "./poststop";
import { statusOf } from "./status";

/** Loaded on first use. */
const rare = {
  get mountPoints() {
    return require("../state/mount-points") as typeof import("../state/mount-points");
  },
};

/** Failures to read a record that say nothing of the record. */
const FOR_NOW = ["ENOMEM", "ENFILE", "EMFILE", "EACCES", "EPERM"] as const;

export interface DeleteOptions {
  root: string;
  id: ContainerId;
  /** Kills what runs; what does not exist is no error, and what is broken is removed. */
  force: boolean;
  /** Its sandbox and what is in there stay. */
  alone?: boolean | undefined;
}

/**
 * Removes all of a container (runtime.md "Delete"): processes, cgroups, mapping, directory; then poststop hooks. With a
 * sandbox container goes all that is left in its sandbox.
 */
export function deleteContainer(options: DeleteOptions): void {
  // more can come into the sandbox while these go
  for (;;) {
    const others = deleteUnlessOthers(options);
    if (others.length === 0) return;
    for (const id of others) deleteContainer({ ...options, id, force: true, alone: true });
    const names = others.map((id) => `"${id}"`).join(", ");
    logWarning(`deleted with sandbox container "${options.id}": ${names}`);
  }
}

/** Not without its lock; but theirs are waited for without it, lest two commands wait for each other. */
function deleteUnlessOthers(options: DeleteOptions): ContainerId[] {
  const { root, id, force } = options;
  const mappings = new MappingStore(root);
  using lock = lockContainer(root, id);
  if (lock === undefined) {
    // it was deleted while we waited, and its id is another's by now
    if (hasDirectory(root, id)) return deleteUnlessOthers(options);
    if (force) {
      mappings.delete(id);
      return [];
    }
    readRecord(root, id);
  }
  const record = tryRecord(options);
  if (record !== undefined) {
    const container = { root, record };
    const status = statusOf(container);
    // a created container has no program yet that could be disturbed
    if (!force && status !== "stopped" && status !== "created") throw notStopped(id, status);
    if (options.alone !== true && leadsSandbox(record)) {
      const others = mappings.othersOf(record);
      if (others.length > 0) return others;
    }
    const driver = driverOf(record);
    driver.end(container);
    driver.remove(container);
    if (record.mountPoints !== undefined)
      rare.mountPoints.removeMountPoints(record.rootfs, record.mountPoints);
  } else {
    checkOwn(root, id);
    for (const driver of allDrivers()) driver.removeUnrecorded(root, id);
  }
  mappings.delete(id);
  removeContainerDirectory(root, id);
  logDebug(`${id}: deleted`);
  if (record === undefined || record.creator !== undefined) return [];
  runPoststopHooks(record);
  return [];
}

function notStopped(id: ContainerId, status: Status): HakoError {
  return new HakoError({
    code: "state",
    message: `cannot delete container "${id}" that is not stopped: ${status}`,
    hint: "hako kill, or hako delete --force",
  });
}

/** The record; a broken one is none when force is used. */
function tryRecord({ root, id, force }: DeleteOptions): ContainerRecord | undefined {
  try {
    return readRecord(root, id);
  } catch (thrown) {
    const error = asHakoError(thrown);
    if (!force) {
      if (error.code !== "not-found" || !hasDirectory(root, id)) throw error;
      const hint = `hako delete --force ${id} removes what is left of it`;
      throw new HakoError({ code: "state", message: `container "${id}" has no record`, hint });
    }
    if (error.code === "not-found") return undefined;
    // one that can't be read just now is whole: its processes and cgroups would be forgotten with it; runc has its own
    if (hasErrno(error, ...FOR_NOW) || error.code === "unsupported") throw error;
    logWarning(error.message);
    return undefined;
  }
}

/** What has no record may never have been a container's: with a wrong --root it is anybody's. */
function checkOwn(root: string, id: ContainerId): void {
  const name = foreignName(root, id);
  if (name === undefined) return;
  const directory = containerDirectory(root, id);
  throw new HakoError({
    code: "state",
    message: `${directory} is no container's: hako has not made ${JSON.stringify(name)} in it`,
    hint: `is --root ${root} right?`,
    path: directory,
  });
}
