import { asHakoError, HakoError } from "../base/errors";
import type { CgroupRecord } from "../cgroup";
import { freezerOf } from "../cgroup/group/freezer";
import { STAGE_NAME } from "../drivers/namespaces/birth/stage-name";
import {
  exists,
  hasErrno,
  listNames,
  makeDirectories,
  makeNewDirectory,
  readText,
  removeDirectory as removeEmptyDirectory,
  removeTree,
  renameFile,
  statusAt,
  writeText,
} from "../linux/file/file";
import { join, resolve } from "../linux/file/path-text";
import { aliveProcess } from "../linux/process/process";
import { effectiveUser } from "../linux/process/rootless";
import type { Config, Hooks } from "../oci/config";
import { type ContainerId, containerId, MAPPINGS, type SandboxId } from "../oci/id";
import { exactJson, parseJson } from "../oci/json";
import type { State } from "../oci/state";
import type { ResctrlRecord } from "../resctrl/resctrl";
import type { HostMounts } from "./host-mounts";
import { checkWay } from "./trusted-path";
import { keepUserRoot } from "./user-root";

export type Status = "creating" | "created" | "running" | "paused" | "stopped";

/** A process for ever: pids are used again, start times (clock ticks since boot) are not. */
export interface ProcessRecord {
  pid: number;
  startTime: number;
}

/** What hako keeps of a container: `<root>/<id>/state.json`. */
export interface ContainerRecord {
  id: ContainerId;
  sandbox: SandboxId;
  ociVersion: string;
  bundle: string;
  /** The file that it was made from in place of the bundle's config.json (create --config). */
  configFile?: string | undefined;
  rootfs: string;
  annotations: Record<string, string>;
  /** RFC 3339. */
  created: string;
  /** The `create` that makes it, until it is done. */
  creator: ProcessRecord | undefined;
  /** The container's first process. */
  init: ProcessRecord | undefined;
  /** Whether the end of that process ends all others: it is the first of a pid namespace. */
  ownPidNamespace: boolean;
  cgroup: CgroupRecord | undefined;
  /** Directories of resctrl that were made for it. */
  resctrl?: ResctrlRecord | undefined;
  /** For one without a mount namespace. */
  hostMounts?: HostMounts | undefined;
  hooks: Hooks | undefined;
  /** Its processes keep their caller's session keyring. */
  noNewKeyring: boolean;
  /** criu's names of the caller's standard streams, which the program got; "" for those that it can name otherwise. */
  streams?: string[];
}

/** Rights of the group and of others. */
const OTHERS_WRITE = 0o022;
const OTHERS = 0o077;
export const RECORD = "state.json";
/** The config.json that the container was made from: what later becomes of the bundle's own doesn't matter. */
export const CONFIG = "config.json";
/** The compiled filter, if there is one. */
export const FILTER = "seccomp.bpf";

/** All that create, start and restore make in a container's directory. What they mount is out of the host's sight. */
const OWN_FILES: ReadonlySet<string> = new Set([RECORD, `${RECORD}.new`, CONFIG, FILTER, "start.sock"]);
const OWN_DIRECTORIES: ReadonlySet<string> = new Set(["notify", "rootfs", "rootfs.scratch", "criu-root"]);

const checked = new Set<string>();

/**
 * Refuses a state directory that somebody else may write to: what is stored there says which processes are killed and which
 * programs run as hooks.
 */
export function checkRoot(root: string): void {
  if (checked.has(root)) return;
  if (resolve(root) === "/") {
    const message = "--root /: the root directory can't be the state directory";
    throw new HakoError({ code: "usage", message });
  }
  checkWay("--root", root);
  const status = statusAt(root);
  if (status === undefined) return;
  if (status.type !== "directory") {
    const message = `--root ${root}: it is not a directory`;
    throw new HakoError({ code: "usage", message, errno: "ENOTDIR", path: root });
  }
  const { uid, mode } = status;
  const foreign = uid !== 0 && uid !== effectiveUser();
  if (foreign || (mode & OTHERS_WRITE) !== 0) {
    throw new HakoError({
      code: "state",
      message: `--root ${root}: ${foreign ? `belongs to user ${uid}` : "others may write to it"}, and would decide what hako does`,
      hint: "use a directory that only this user or root can write to",
      path: root,
    });
  }
  checked.add(root);
}

export function containerDirectory(root: string, id: ContainerId): string {
  return join(resolve(root), id);
}

/** The socket that a created container waits on; gone when its program has been started. */
export function startSocketPath(root: string, id: ContainerId): string {
  return join(containerDirectory(root, id), "start.sock");
}

/** Claims an id for this process: of several exactly one makes the directory. */
export function claimId(root: string, id: ContainerId): void {
  checkRoot(root);
  makeDirectories(root, 0o711);
  keepUserRoot(root);
  checkRoot(root);
  if (makeNewDirectory(containerDirectory(root, id), 0o711)) return;
  const message = `container id "${id}" already exists`;
  const hint = hasRecord(root, id)
    ? `hako delete ${id} frees it`
    : `it has no record: hako delete --force ${id} removes what is left of it`;
  throw new HakoError({ code: "exists", message, hint });
}

/** Gives back an id that nothing was made for yet. */
export function unclaimId(root: string, id: ContainerId): void {
  try {
    removeEmptyDirectory(containerDirectory(root, id));
  } catch (error) {
    // it is another command's by now, or nobody's
    if (!hasErrno(error, "ENOTEMPTY", "ENOENT")) throw error;
  }
}

/**
 * The name of something in a container's directory that is none of hako's; undefined if all is. A directory of another's that
 * is beside those of the containers has no record either, as one that is left of a `create` that was killed.
 */
export function foreignName(root: string, id: ContainerId): string | undefined {
  const directory = containerDirectory(root, id);
  const names = listNames(directory);
  return names.find((name) => {
    const path = join(directory, name);
    const status = statusAt(path, false);
    if (status === undefined) return false;
    // a bundle has such a file too, but seldom one that only its owner reads
    if (name === CONFIG && !names.includes(RECORD) && (status.mode & OTHERS) !== 0) return true;
    if (status.type !== "directory") return !OWN_FILES.has(name);
    return !OWN_DIRECTORIES.has(name) || listNames(path).some((inner) => inner !== "notify.sock");
  });
}

export function removeDirectory(root: string, id: ContainerId): void {
  const directory = containerDirectory(root, id);
  if (statusAt(directory, false)?.type === "directory") {
    // the record last: as long as anything is there it says what it is
    for (const name of listNames(directory)) if (name !== RECORD) removeTree(join(directory, name));
  }
  removeTree(directory);
}

/** Writes the record so that a reader sees the old or the new one, never a part. */
export function writeRecord(root: string, record: ContainerRecord): void {
  const file = join(containerDirectory(root, record.id), RECORD);
  const temporary = `${file}.new`;
  writeText(temporary, exactJson(record), 0o600);
  renameFile(temporary, file);
}

/** Keeps the config for `exec`. */
export function writeConfig(root: string, id: ContainerId, config: Config): void {
  writeText(join(containerDirectory(root, id), CONFIG), exactJson(config), 0o600);
}

export function readStoredConfig(root: string, id: ContainerId): Config {
  const file = join(containerDirectory(root, id), CONFIG);
  return parseJson(readText(file), file) as Config;
}

function notFound(id: string): HakoError {
  return new HakoError({
    code: "not-found",
    message: `container "${id}" does not exist`,
    hint: "hako list shows those below --root",
  });
}

/** What a record of runc's has, which clients keep beside ours below one --root. */
const OF_RUNC = "init_process_pid";

function foreign(id: ContainerId, file: string): HakoError {
  const message = `container "${id}" is runc's: ${file}`;
  return new HakoError({ code: "unsupported", message, hint: "runc has to be asked for it" });
}

/** The record of a container; an error of code not-found if there is none. */
export function readRecord(root: string, id: ContainerId): ContainerRecord {
  checkRoot(root);
  const file = join(containerDirectory(root, id), RECORD);
  let text: string;
  try {
    text = readText(file);
  } catch (thrown) {
    const error = asHakoError(thrown);
    if (error.errno === "ENOENT" || error.errno === "ENOTDIR") throw notFound(id);
    throw error;
  }
  const broken = () =>
    new HakoError({
      code: "state",
      message: `container "${id}": ${file} is broken`,
      hint: `hako delete --force ${id} removes what is left of it`,
    });
  try {
    const record = JSON.parse(text) as ContainerRecord;
    if (OF_RUNC in record) throw foreign(id, file);
    if (record.id !== id || typeof record.bundle !== "string") throw broken();
    return record;
  } catch (thrown) {
    throw thrown instanceof HakoError ? thrown : broken();
  }
}

/** Whether anything at all is known of a container. */
export function hasDirectory(root: string, id: ContainerId): boolean {
  return statusAt(containerDirectory(root, id))?.type === "directory";
}

/** Whether a `create` has begun to make the container; it does so under the lock. */
export function hasRecord(root: string, id: ContainerId): boolean {
  return statusAt(join(containerDirectory(root, id), RECORD)) !== undefined;
}

/** The ids below `root`, in order; what is no container's directory is left out. */
export function containerIds(root: string): ContainerId[] {
  checkRoot(root);
  let names: string[];
  try {
    names = listNames(root);
  } catch (thrown) {
    const error = asHakoError(thrown);
    if (error.errno === "ENOENT") return [];
    throw error;
  }
  const ids = names.sort().filter((name) => name !== MAPPINGS && /^[A-Za-z0-9_+.-]+$/.test(name));
  return ids.map(containerId);
}

/** What a container does now: from its record, its process and its freezer. */
export function statusOf(root: string, record: ContainerRecord): Status {
  const { creator, init } = record;
  if (creator !== undefined) {
    return aliveProcess(creator.pid, creator.startTime) === undefined ? "stopped" : "creating";
  }
  const alive = init === undefined ? undefined : aliveProcess(init.pid, init.startTime);
  if (alive === undefined) return "stopped";
  const nodes = record.cgroup?.nodes.filter((node) => node.skipped === undefined) ?? [];
  if (freezerOf(nodes)?.frozen() === true) return "paused";
  return alive.name === STAGE_NAME && isWaiting(root, record.id) ? "created" : "running";
}

/** Whether a container that lives has not been started yet: a paused one may be one or the other. */
export function isWaiting(root: string, id: ContainerId): boolean {
  return exists(startSocketPath(root, id));
}

/** The state document of the runtime spec (runtime.md "State"). */
export function stateOf(record: ContainerRecord, status: Status): State {
  return {
    ociVersion: record.ociVersion,
    id: record.id,
    // the spec has no paused; runc and crun say so all the same, and callers read it
    status,
    pid: status === "stopped" ? 0 : (record.init?.pid ?? 0),
    bundle: record.bundle,
    annotations: record.annotations,
  };
}
