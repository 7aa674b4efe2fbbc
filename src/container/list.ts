import { asHakoError, HakoError } from "../base/errors";
import { statusAt } from "../linux/file/file";
import { userName } from "../linux/file/passwd";
import type { ContainerId } from "../oci/id";
import { logWarning } from "../output/log";
import { lockContainer } from "../state/lock";
import { readContainer } from "../state/record";
import { containerDirectory, containerIds, foreignName, hasDirectory, hasRecord } from "../state/root";
import type { Ended } from "./ended";
import { statusOf } from "./status";

/** Loaded on first use. */
const rare = {
  /** Loaded for a container that has stopped. */
  get ended() {
    return require("./ended") as typeof import("./ended");
  },
};

/** A container as `list` shows it, with runc's JSON names; how it ended is there when it has. */
export interface Listed extends Partial<Ended> {
  ociVersion: string;
  id: ContainerId;
  pid: number;
  status: string;
  bundle: string;
  rootfs: string;
  created: string;
  annotations: Record<string, string>;
  owner: string;
  sandbox: string;
}

/**
 * All containers below `root` by id; a broken record is a warning, and left out. One of another runtime's is left out too, where it is
 * `expected` without a word.
 */
export function listContainers(root: string, expected = false): Listed[] {
  const owners = new Map<number, string>();
  const listed: Listed[] = [];
  for (const id of containerIds(root)) {
    try {
      const container = readContainer(root, id);
      const { record } = container;
      const status = statusOf(container);
      const { uid } = statusAt(containerDirectory(root, id)) ?? { uid: 0 };
      if (!owners.has(uid)) owners.set(uid, userName(uid));
      listed.push({
        ociVersion: record.ociVersion,
        id,
        pid: status === "stopped" ? 0 : (record.init?.pid ?? 0),
        status,
        bundle: record.bundle,
        rootfs: record.rootfs,
        created: record.created,
        annotations: record.annotations,
        owner: owners.get(uid) ?? String(uid),
        sandbox: record.sandbox,
        ...(status === "stopped" ? rare.ended.howItEnded(container) : {}),
      });
    } catch (thrown) {
      const error = asHakoError(thrown);
      if (error.code === "not-found" || error.errno === "ENOENT") warnOfRemains(root, id);
      else if (!expected || error.code !== "unsupported") logWarning(error.oneLine);
    }
  }
  return listed;
}

/** A directory without a record, unless it was deleted meanwhile, is another's, or a create has only just begun: that holds it. */
function warnOfRemains(root: string, id: ContainerId): void {
  if (!hasDirectory(root, id)) return;
  try {
    using lock = lockContainer(root, id, 0);
    if (lock === undefined || hasRecord(root, id) || foreignName(root, id) !== undefined) return;
    logWarning(`container "${id}" has no record: hako delete --force ${id} removes what is left of it`);
  } catch (error) {
    // a read-only look may find it busy, or another user's
    if (!(error instanceof HakoError)) throw error;
  }
}
