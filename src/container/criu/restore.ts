import { during, HakoError } from "../../base/errors";
import { UndoStack } from "../../base/undo";
import type { Cgroup } from "../../cgroup";
import { cgroupOfConfig } from "../../cgroup/group/of-config";
import { plannedRecord } from "../../cgroup/group/stored";
import { driverFor, need } from "../../drivers";
import { runHooks } from "../../hooks/hooks";
import { F, SIG } from "../../linux/call/constants";
import { Fd, FdList } from "../../linux/call/fd";
import { syscall } from "../../linux/call/syscall";
import { sendFd } from "../../linux/file/descriptor-passing";
import { makeDirectory } from "../../linux/file/file";
import { join } from "../../linux/file/path-text";
import { bringUp } from "../../linux/network/interface";
import { openNamespace, withNetworkNamespace } from "../../linux/process/namespace";
import { processStatus, reapChild, signalProcess } from "../../linux/process/process";
import { effectiveUser } from "../../linux/process/rootless";
import type { CgroupManager } from "../../oci/cgroup-managers";
import type { ContainerId } from "../../oci/id";
import { logDebug, logWarning } from "../../output/log";
import { lockContainer } from "../../state/lock";
import { MappingStore } from "../../state/mapping";
import { type ContainerRecord, type DriverName, stateOf, writeConfig, writeRecord } from "../../state/record";
import { claimId, containerDirectory, removeContainerDirectory } from "../../state/root";
import { makeFilter } from "../../state/stored-filter";
import type { Bundle } from "../bundle";
import { deleteContainer } from "../delete";
import { announcePid } from "../io/pid-receivers";
import { newRecord } from "../new-record";
import {
  type CheckpointImage,
  CriuDirectories,
  type CriuFlags,
  commonOptions,
  EXTERNAL_NAMESPACES,
  readImage,
} from "./checkpoint-image";
import { makeMountpoints, sourceOf } from "./checkpoint-mounts";
import { Criu, findCriu } from "./criu";
import { type CriuOptions, encodeCgroupRoot, encodeInheritedFd, encodeJoinNamespace } from "./criu-message";

const LOG_FILE = "restore.log";

export interface RestoreOptions extends CriuFlags {
  root: string;
  id: ContainerId;
  bundle: Bundle;
  cgroupManager: CgroupManager;
  /** Connected; receives the terminal's master. */
  consoleSocket: Fd | undefined;
  /** What isolates the container, if it is not to be the usual. */
  driver?: DriverName | undefined;
  pidFile: string | undefined;
  tcpClose: boolean;
  lsmProfile: string | undefined;
  lsmMountContext: string | undefined;
}

/** Makes a container whose processes go on where a checkpoint saved them. A failure undoes what was made. */
export function restoreContainer(options: RestoreOptions): ContainerRecord {
  const { root, id, bundle } = options;
  findCriu(options.program);
  if (effectiveUser() !== 0) {
    throw new HakoError({ code: "unsupported", message: "restore: criu needs root", hint: "run as root" });
  }
  need(driverFor(bundle.config, options.driver), "checkpoint", "restore");
  const image = readImage(options.imagePath);
  const record = restore(options, image);
  try {
    const context = { state: stateOf(record, "running"), cwd: bundle.path };
    runHooks("poststart", bundle.config.hooks, context);
  } catch (error) {
    deleteContainer({ root, id, force: true, alone: true });
    throw error;
  }
  return record;
}

function restore(options: RestoreOptions, image: CheckpointImage): ContainerRecord {
  const { root, id, bundle, cgroupManager, pidFile } = options;
  claimId(root, id);
  // held until everything is undone, as in createContainer
  using lock = lockContainer(root, id);
  if (lock === undefined) throw new HakoError({ code: "state", message: `container "${id}" was deleted` });
  using undo = new UndoStack((error) => logWarning(error.oneLine));
  undo.defer(`directory of ${id}`, () => removeContainerDirectory(root, id));
  const record = newRecord({
    id,
    bundle,
    noNewKeyring: true,
    driver: driverFor(bundle.config, options.driver).name,
  });
  writeRecord(root, record);
  // exec reads both, as after create
  writeConfig(root, id, bundle.config);
  makeFilter(root, id, bundle.config);
  const mappings = new MappingStore(root);
  mappings.add(id, record.sandbox);
  undo.defer(`mapping of ${id}`, () => mappings.delete(id));
  const cgroup = cgroupOfConfig(cgroupManager, bundle.config, id);
  undo.defer(`cgroups of ${id}`, () => cgroup.destroy());
  const save = (change: Partial<ContainerRecord>): void => {
    Object.assign(record, change);
    writeRecord(root, record);
  };
  save({ cgroup: plannedRecord(cgroup) });
  cgroup.create();
  undo.defer(`processes of ${id}`, () => endProcesses(record, cgroup));
  restoreProcesses(options, image, cgroup, record, save);
  cgroup.settle();
  if (record.init !== undefined)
    announcePid({ pidFile, pidfdSocket: undefined }, record.init, "standard", undo);
  save({ creator: undefined });
  undo.commit();
  return record;
}

/** Ends the restored processes. criu does so when it fails, unless it was killed itself. */
function endProcesses({ init }: ContainerRecord, cgroup: Cgroup): void {
  if (init !== undefined) signalProcess(init.pid, init.startTime, SIG.KILL);
  cgroup.kill();
  if (init !== undefined) reapChild(init.pid, true);
}

function restoreProcesses(
  options: RestoreOptions,
  image: CheckpointImage,
  cgroup: Cgroup,
  record: ContainerRecord,
  save: (change: Partial<ContainerRecord>) => void,
): void {
  const { root, id, bundle } = options;
  const target = join(containerDirectory(root, id), "criu-root");
  makeDirectory(target, 0o700);
  during(`root file system ${bundle.rootfs}`, () => makeMountpoints(bundle.rootfs, image.mountpoints));
  using inherited = new FdList();
  const namespaces = namespaceOptions(options, inherited, image);
  const entry = cgroup.entry();
  const bind = { source: bundle.rootfs, target };
  using criu = new Criu({ program: options.program, cgroups: entry, bind, inherit: inherited.all });
  cgroup.joinOthers(criu.pid, entry);
  using directories = new CriuDirectories(options, LOG_FILE, criu.pid);
  const asked = { ...restoreOptions(options, directories, image, cgroup), ...namespaces, root: target };
  during(`restore container "${id}"`, () =>
    criu.ask("restore", asked, directories.log, (script, pid, fds) => {
      const init = pid === undefined ? undefined : { pid, startTime: processStatus(pid)?.startTime ?? 0 };
      if (script === "setup-namespaces") {
        save({ init });
        runtimeCreated(options, record);
      } else if (script === "post-restore") {
        // now, so that limits bind restored processes from their first instruction on, and never criu
        during("config /linux/resources", () => cgroup.apply(bundle.config.linux?.resources ?? {}));
        save({ init, cgroup: cgroup.record });
      } else if (script === "orphan-pts-master") handOver(options.consoleSocket, fds);
    }),
  );
  logDebug(`${id}: restored`);
}

/** Sets loopback up and runs the hooks that `create` runs once the namespaces are there: criu makes an empty network namespace. */
function runtimeCreated({ bundle }: RestoreOptions, record: ContainerRecord): void {
  const { hooks, linux } = bundle.config;
  const network = linux?.namespaces?.find(({ type }) => type === "network");
  if (network !== undefined && !network.path && record.init !== undefined) {
    const file = `/proc/${record.init.pid}/ns/net`;
    during("network loopback", () => withNetworkNamespace(file, () => bringUp("lo")));
  }
  const context = { state: stateOf(record, "creating"), cwd: bundle.path };
  runHooks("prestart", hooks, context);
  runHooks("createRuntime", hooks, context);
}

function handOver(socket: Fd | undefined, fds: readonly Fd[]): void {
  const [master] = fds;
  if (master === undefined) throw new HakoError({ code: "system", message: "criu sent no terminal" });
  if (socket === undefined) {
    throw new HakoError({
      code: "config",
      message: "config /process/terminal: is not set, and the saved container has a terminal",
    });
  }
  sendFd(socket, master, "/dev/ptmx");
}

function restoreOptions(
  options: RestoreOptions,
  directories: CriuDirectories,
  { mounts }: CheckpointImage,
  cgroup: Cgroup,
): CriuOptions {
  const { bundle, tcpClose, lsmProfile, lsmMountContext } = options;
  return {
    ...commonOptions(options, directories, LOG_FILE, bundle.config),
    evasiveDevices: true,
    restoreSibling: true,
    tcpClose,
    lsmProfile,
    lsmMountContext,
    external: mounts.map(
      (mount) => `mnt[${mount.key}]:${sourceOf(mount, bundle.config, bundle.path, cgroup)}`,
    ),
    cgroupRoots: cgroup
      .mounts()
      .hierarchies.flatMap(({ name, path }) =>
        name.split(",").map((controller) => encodeCgroupRoot(controller, path)),
      ),
  };
}

/** What the processes find in place of what was saved: hako's standard streams, and namespaces that exist already. */
function namespaceOptions(
  { bundle }: RestoreOptions,
  inherited: FdList,
  { streams }: CheckpointImage,
): CriuOptions {
  const inheritFds: Uint8Array[] = [];
  const joinNamespaces: Uint8Array[] = [];
  const inherit = (key: string, fd: Fd): void => {
    inherited.add(fd);
    inheritFds.push(encodeInheritedFd(key, fd.number));
  };
  streams.forEach((name, stream) => {
    // two streams that were one file are restored as one
    if (name === "" || streams.indexOf(name) !== stream) return;
    inherit(name, new Fd(syscall("fcntl", stream, F.DUPFD_CLOEXEC, 3)));
  });
  for (const { type, path } of bundle.config.linux?.namespaces ?? []) {
    if (path === undefined || path === "") continue;
    if (type === "network" || type === "pid") {
      inherit(EXTERNAL_NAMESPACES[type].key, openNamespace(path, type));
    } else if (type === "cgroup") {
      throw new HakoError({
        code: "unsupported",
        message: `config /linux/namespaces: criu can't join the cgroup namespace ${path}`,
      });
    } else joinNamespaces.push(encodeJoinNamespace(type === "mount" ? "mnt" : type, path));
  }
  return { inheritFds, joinNamespaces };
}
