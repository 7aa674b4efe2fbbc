import { HakoError } from "../base/errors";
import { UndoStack } from "../base/undo";
import type { ContainerPlan } from "../drivers/driver";
import { namespacesDriver } from "../drivers/namespaces";
import { checkLabels } from "../drivers/namespaces/program/labels";
import { runHooks } from "../hooks/hooks";
import type { Fd } from "../linux/call/fd";
import { makeDirectory } from "../linux/file/file";
import { join } from "../linux/file/path-text";
import { unixListen } from "../linux/file/unix-socket";
import type { SeccompFilter } from "../linux/process/filter-steps";
import { processStatus } from "../linux/process/process";
import { effectiveUser } from "../linux/process/rootless";
import type { CgroupManager } from "../oci/cgroup-managers";
import type { Config } from "../oci/config";
import { sandboxOf } from "../oci/container-type";
import { type ContainerId, sandboxId } from "../oci/id";
import { hasNamespace } from "../oci/namespaces";
import { kataWarning } from "../oci/semantics-isolation";
import { logWarning } from "../output/log";
import { lockContainer } from "../state/lock";
import { MappingStore } from "../state/mapping";
import {
  type ContainerRecord,
  claimId,
  containerDirectory,
  hasRecord,
  removeDirectory,
  startSocketPath,
  stateOf,
  unclaimId,
  writeConfig,
  writeRecord,
} from "../state/record";
import { callerStreamNames } from "./io/criu-stream-names";
import { announcePid, type PidReceivers } from "./io/pid-receivers";
import { runPoststopHooks } from "./poststop";
import { makeFilter } from "./seccomp";

/** A bundle whose config.json was checked. */
export interface Bundle {
  /** Absolute. */
  path: string;
  /** The file in place of its config.json; absolute. */
  configFile?: string | undefined;
  rootfs: string;
  config: Config;
  /** The rootfs is the host's root, with what is written going to a tmpfs. */
  overlayOfHost?: boolean;
  /** Its profile's filter, where that was compiled before. */
  filter?: SeccompFilter | undefined;
}

export interface CreateOptions extends PidReceivers {
  root: string;
  id: ContainerId;
  bundle: Bundle;
  /** Connected; receives the terminal's master. */
  consoleSocket: Fd | undefined;
  cgroupManager: CgroupManager;
  /** --rootless. */
  rootless: boolean | "auto";
  noPivot: boolean;
  noNewKeyring: boolean;
  preserveFds: number;
  openFiles: number | undefined;
  /** The caller's $NOTIFY_SOCKET, which wants to know when the program is ready. */
  notifySocket: string | undefined;
}

/** Makes a container that waits for start (runtime.md "Create"); what a failure leaves is undone in reverse order. */
export function createContainer(given: CreateOptions): ContainerRecord {
  const { root, id } = given;
  checkRights(given);
  const { process } = given.bundle.config;
  if (process !== undefined) checkLabels(process);
  const kata = kataWarning(given.bundle.config);
  if (kata !== undefined) logWarning(`config ${kata.pointer}: ${kata.message}`);
  // held until all is undone: whoever waits for it finds nothing, or a whole container
  using _lock = claim(root, id);
  using undo = new UndoStack((error) => logWarning(error.oneLine));
  let hooksBegan = false;
  undo.defer(`what hooks of ${id} made`, () => {
    if (hooksBegan) runPoststopHooks(record, given.openFiles);
  });
  undo.defer(`directory of ${id}`, () => removeDirectory(root, id));
  const bundle =
    given.notifySocket === undefined ? given.bundle : notify().withNotifySocket(root, id, given.bundle);
  const options = { ...given, bundle };
  const { config } = bundle;
  const record = newRecord(options);
  const mappings = new MappingStore(root);
  mappings.add(id, record.sandbox);
  undo.defer(`mapping of ${id}`, () => mappings.delete(id));
  using startSocket = unixListen(startSocketPath(root, id));
  const save = (change: Partial<ContainerRecord>): void => {
    Object.assign(record, change);
    writeRecord(root, record);
  };
  const events = {
    cgroup: (cgroup: ContainerRecord["cgroup"]) => save({ cgroup }),
    process: (init: ContainerRecord["init"], cgroup: ContainerRecord["cgroup"]) => save({ init, cgroup }),
    resctrl: (resctrl: ContainerRecord["resctrl"]) => save({ resctrl }),
    runtimeCreated: () => {
      const { openFiles } = options;
      // from here on a failure is the end of a container's life (runtime.md "Lifecycle", steps 3 to 5 and 13)
      hooksBegan = true;
      const context = { state: stateOf(record, "creating"), cwd: bundle.path, openFiles };
      // by their definition, which the spec has given up, they run at start: what they read says so
      runHooks("prestart", config.hooks, { ...context, state: stateOf(record, "created") });
      runHooks("createRuntime", config.hooks, context);
    },
    meanwhile: () => writeConfig(root, id, config),
    created: () => {
      if (record.init !== undefined) announcePid(options, record.init, "standard", undo);
      save({ creator: undefined });
    },
  };
  if (!hasNamespace(config, "mount")) {
    const { plannedHostMounts, removeHostMounts } =
      require("../state/host-mounts") as typeof import("../state/host-mounts");
    const hostMounts = plannedHostMounts(bundle.rootfs);
    save({ hostMounts });
    undo.defer(`mounts of ${id}`, () => removeHostMounts(hostMounts));
  }
  const filter = () => makeFilter(root, id, config, bundle.filter);
  namespacesDriver.create({ ...planOf(options, record, startSocket), filter }, events, undo);
  undo.commit();
  return record;
}

/** Loaded for the few who ask. */
function notify(): typeof import("./io/notify") {
  return require("./io/notify");
}

/** Takes an id that is free, and its lock. */
function claim(root: string, id: ContainerId): Fd {
  claimId(root, id);
  let lock: Fd | undefined;
  try {
    lock = lockContainer(root, id);
    // between the two another command may have deleted it, and a third have made it again: that one's it is
    if (lock !== undefined && !hasRecord(root, id)) return lock;
  } catch (error) {
    unclaimId(root, id);
    lock?.close();
    throw error;
  }
  lock?.close();
  throw new HakoError({ code: "state", message: `container "${id}" was deleted while it was being made` });
}

/** What the driver makes the container from; the directory of the host's root, if that is the rootfs, is made. */
function planOf(
  options: CreateOptions,
  record: ContainerRecord,
  startSocket: Fd,
): Omit<ContainerPlan, "filter"> {
  const { root, id, bundle, cgroupManager, consoleSocket } = options;
  const { noPivot, noNewKeyring, preserveFds, openFiles } = options;
  const directory = containerDirectory(root, id);
  const overlay = bundle.overlayOfHost === true ? join(directory, "rootfs") : undefined;
  if (overlay !== undefined) makeDirectory(overlay, 0o755);
  return {
    id,
    config: bundle.config,
    bundle: bundle.path,
    directory,
    rootfs: bundle.rootfs,
    overlay,
    state: stateOf(record, "creating"),
    cgroupManager,
    startSocket,
    consoleSocket,
    noPivot,
    noNewKeyring,
    preserveFds,
    openFiles,
  };
}

/** An ordinary user has rights only in a user namespace of its own. */
function checkRights({ rootless, bundle }: CreateOptions): void {
  const uid = effectiveUser();
  const asRoot = (hint: string, message: string) => new HakoError({ code: "unsupported", message, hint });
  if (uid !== 0 && rootless === false) {
    throw asRoot(
      "run as root, or leave it out",
      `--rootless=false: user ${uid} makes rootless containers only`,
    );
  }
  if (uid === 0 || hasNamespace(bundle.config, "user")) return;
  throw asRoot(
    "hako spec --rootless writes such a config.json",
    `config /linux/namespaces: a rootless container needs {"type": "user"}, with /linux/uidMappings and gidMappings`,
  );
}

export function newRecord({
  id,
  bundle,
  noNewKeyring,
}: Pick<CreateOptions, "id" | "bundle" | "noNewKeyring">): ContainerRecord {
  const { config } = bundle;
  const annotations = config.annotations ?? {};
  const pidNamespace = config.linux?.namespaces?.find(({ type }) => type === "pid");
  return {
    id,
    sandbox: sandboxId(sandboxOf(annotations) ?? id),
    ociVersion: config.ociVersion,
    bundle: bundle.path,
    configFile: bundle.configFile,
    rootfs: bundle.rootfs,
    annotations,
    created: new Date().toISOString(),
    creator: { pid: process.pid, startTime: processStatus(process.pid)?.startTime ?? 0 },
    init: undefined,
    ownPidNamespace: pidNamespace !== undefined && !pidNamespace.path,
    cgroup: undefined,
    hooks: config.hooks,
    noNewKeyring,
    streams: config.process?.terminal === true ? [] : callerStreamNames(),
  };
}
