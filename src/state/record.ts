import { asHakoError, HakoError } from "../base/errors";
import type { CgroupRecord } from "../cgroup";
import { readText, renameFile, writeText } from "../linux/file/file";
import { dirname, join } from "../linux/file/path-text";
import type { Config, Hooks } from "../oci/config";
import type { ContainerId, SandboxId } from "../oci/id";
import { exactJson, parseJson } from "../oci/json";
import type { State } from "../oci/state";
import type { ResctrlRecord } from "../resctrl/resctrl";
import type { HostMounts } from "./host-mounts";
import type { MadeMountPoint } from "./mount-points";
import { CONFIG, checkRoot, containerDirectory, RECORD } from "./root";

/** What a container may be, in the order of its life. */
export const STATUSES = ["creating", "created", "running", "paused", "stopped"] as const;
export type Status = (typeof STATUSES)[number];

/** Drivers that there are. */
export const DRIVER_NAMES = ["namespaces", "vm"] as const;
export type DriverName = (typeof DRIVER_NAMES)[number];
/** The driver of a record that names none. */
export const DEFAULT_DRIVER: DriverName = "namespaces";

/**
 * The format of records. It rises when a hako that knows the one before would do something wrong with a record, not with a field
 * that it may overlook (docs/decisions/state-format.md).
 */
export const FORMAT = 1;

/** A process for ever: pids are used again, start times (clock ticks since boot) are not. */
export interface ProcessRecord {
  pid: number;
  startTime: number;
}

/** How a first process ended, where a command of hako's was there. */
export interface EndRecord {
  /** The exit status, or 128+n where signal n ended it. */
  exitCode: number;
  signal?: number | undefined;
  /** RFC 3339. */
  finished: string;
}

/**
 * What `run --weaker` allows a command to go without: a procfs of its own; namespaces; those, and that attributes of files stay which it may
 * not write.
 */
export const WEAKER = ["proc", "namespaces", "attributes"] as const;
/** What it went without. `signals`: without namespaces others may get its signals. */
export type Weaker = (typeof WEAKER)[number] | "signals";

/** What hako keeps of a container: `<root>/<id>/state.json`. */
export interface ContainerRecord {
  /** Missing is 1: in records from before there was a number. */
  format?: number;
  /** Which driver has made the container; missing: the default one. */
  driver?: DriverName | undefined;
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
  /** Whether the end of the first process ends all others: it is the first of a pid namespace. */
  ownPidNamespace: boolean;
  cgroup: CgroupRecord | undefined;
  /** Directories of resctrl that were made for it. */
  resctrl?: ResctrlRecord | undefined;
  /** What has to be unmounted of a container without a mount namespace. */
  hostMounts?: HostMounts | undefined;
  /** What isolates it less than it would elsewhere, as `run --weaker` has allowed. */
  weaker?: readonly Weaker[] | undefined;
  /** The ABI of Landlock by which its program is kept in its root directory. */
  landlock?: number | undefined;
  /** What was made in its rootfs for its mounts, and is removed with it. */
  mountPoints?: readonly MadeMountPoint[] | undefined;
  hooks: Hooks | undefined;
  /** Its processes keep their caller's session keyring. */
  noNewKeyring: boolean;
  /** criu's names of the caller's standard streams, which the program got; "" for those that it can name otherwise. */
  streams?: string[];
  ended?: EndRecord;
  /** The first process is hako's own, and the program is its child; or there is no program. */
  ownInit?: boolean | "idle" | undefined;
  /** The file that standard output and error of the program lead to (run --output); absolute. */
  output?: string | undefined;
}

/** A container that has a record, below one --root. */
export interface Container {
  readonly root: string;
  readonly record: ContainerRecord;
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
    checkFormat(id, file, record);
    if (record.id !== id || typeof record.bundle !== "string") throw broken();
    return record;
  } catch (thrown) {
    throw thrown instanceof HakoError ? thrown : broken();
  }
}

/** Refuses a record of a newer format, or of a driver that this hako does not have: it would be misread. */
function checkFormat(id: ContainerId, file: string, record: ContainerRecord): void {
  const { format = 1, driver = DEFAULT_DRIVER, init } = record;
  const known = (DRIVER_NAMES as readonly unknown[]).includes(driver);
  const readable = typeof format === "number" && format <= FORMAT;
  if (readable && known) return;
  const what = readable
    ? `of the driver ${JSON.stringify(driver)}, which this hako does not have`
    : `of format ${JSON.stringify(format)}, and this hako knows up to ${FORMAT}`;
  const pid = typeof init?.pid === "number" ? `end its process ${init.pid}, ` : "";
  throw new HakoError({
    code: "unsupported",
    message: `container "${id}": ${file} is ${what}`,
    hint: `delete it with the hako that made it; if that is gone, ${pid}remove its cgroups and ${dirname(file)}`,
  });
}

/** A container by its id; an error of code not-found if it has no record. */
export function readContainer(root: string, id: ContainerId): Container {
  return { root, record: readRecord(root, id) };
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
