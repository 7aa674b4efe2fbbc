import { during, HakoError } from "../../base/errors";
import { loadCgroup } from "../../cgroup/group/stored";
import { driverOf, need } from "../../drivers";
import { isWaiting } from "../../drivers/namespaces/status";
import { F, O } from "../../linux/call/constants";
import { trySyscall } from "../../linux/call/syscall";
import { makeDirectories, statusAt } from "../../linux/file/file";
import { join, resolve } from "../../linux/file/path-text";
import { writeAllWaiting } from "../../linux/file/stream";
import type { Config } from "../../oci/config";
import type { ContainerId } from "../../oci/id";
import { checkedConfig } from "../../oci/validate";
import { logDebug } from "../../output/log";
import { lockContainer } from "../../state/lock";
import { type ContainerRecord, type ProcessRecord, readContainer } from "../../state/record";
import { deleteContainer } from "../delete";
import { statusOf } from "../status";
import {
  CriuDirectories,
  type CriuFlags,
  commonOptions,
  EXTERNAL_NAMESPACES,
  writeImage,
} from "./checkpoint-image";
import { savedMounts } from "./checkpoint-mounts";
import { Criu, findCriu } from "./criu";
import { type CriuOptions, encodePageServer } from "./criu-message";

const LOG_FILE = "dump.log";

export interface CheckpointOptions extends CriuFlags {
  root: string;
  id: ContainerId;
  /** The directory of an earlier pre-dump, relative to `imagePath`. */
  parentPath: string | undefined;
  leaveRunning: boolean;
  tcpSkipInFlight: boolean;
  linkRemap: boolean;
  /** A descriptor that gets a NUL byte when lazy pages can be asked for. */
  statusFd: number | undefined;
  pageServer: { address: string; port: number } | undefined;
  /** Save memory alone, while the container runs on. */
  preDump: boolean;
}

/** Saves a running container's processes, and deletes the container afterwards unless it is to run on. */
export function checkpointContainer(options: CheckpointOptions): void {
  const { root, id, leaveRunning, preDump } = options;
  findCriu(options.program);
  checkStatusFd(options.statusFd);
  dump(options);
  if (!leaveRunning && !preDump) deleteContainer({ root, id, force: true, alone: true });
}

function dump(options: CheckpointOptions): void {
  const { root, id, program, imagePath, preDump, statusFd } = options;
  using lock = lockContainer(root, id);
  const container = readContainer(root, id);
  const { record } = container;
  need(driverOf(record), "checkpoint", `checkpoint container "${id}"`);
  const status = lock === undefined ? "stopped" : statusOf(container);
  const { init } = record;
  const waiting = status === "paused" && isWaiting(container);
  if (init === undefined || waiting || (status !== "running" && status !== "paused")) {
    const message = `container "${id}": cannot checkpoint a container that is ${waiting ? "paused before its start" : status}`;
    throw new HakoError({ code: "state", message });
  }
  const config = configOf(record);
  makeDirectories(imagePath, 0o700);
  checkParent(options);
  if (!preDump) {
    writeImage(imagePath, { streams: record.streams ?? [], ...savedMounts(init.pid, config) });
  }
  checkFeatures(options);
  using criu = new Criu({ program });
  using directories = new CriuDirectories(options, LOG_FILE, criu.pid);
  const asked = dumpOptions(options, directories, record, init, config);
  during(`checkpoint container "${id}"`, () =>
    criu.ask(preDump ? "pre-dump" : "dump", asked, directories.log, (script) => {
      if (script === "status-ready" && statusFd !== undefined) announce(statusFd);
    }),
  );
  logDebug(`${id}: saved in ${resolve(imagePath)}`);
}

function configOf({ id, bundle, configFile, cgroup }: ContainerRecord): Config {
  const manager = cgroup?.unit === undefined ? "cgroupfs" : "systemd";
  if (configFile !== undefined || statusAt(join(bundle, "config.json"))?.type === "file")
    return checkedConfig(bundle, manager, configFile).config;
  throw new HakoError({
    code: "unsupported",
    message: `container "${id}" has no bundle that it could be restored from: ${join(bundle, "config.json")} is missing`,
    hint: "what hako run --rootfs made can't be saved",
  });
}

function dumpOptions(
  options: CheckpointOptions,
  directories: CriuDirectories,
  record: ContainerRecord,
  init: ProcessRecord,
  config: Config,
): CriuOptions {
  const { parentPath, pageServer, preDump } = options;
  const paths = record.cgroup === undefined ? {} : loadCgroup(record.cgroup).paths;
  const mounts = preDump ? [] : savedMounts(init.pid, config).mounts;
  return {
    ...commonOptions(options, directories, LOG_FILE, config),
    pid: init.pid,
    root: record.rootfs,
    leaveRunning: options.leaveRunning,
    tcpSkipInFlight: options.tcpSkipInFlight,
    linkRemap: options.linkRemap,
    freezeCgroup: paths.freezer ?? paths[""],
    parentImage: parentPath,
    trackMemory: parentPath === undefined && !preDump ? undefined : true,
    pageServer: pageServer === undefined ? undefined : encodePageServer(pageServer.address, pageServer.port),
    external: [
      ...mounts.map(({ mountpoint, key }) => `mnt[${mountpoint}]:${key}`),
      ...(record.streams ?? []).filter((name) => name.startsWith("file[")),
      ...externalNamespaces(config),
    ],
  };
}

function externalNamespaces(config: Config): string[] {
  return (config.linux?.namespaces ?? []).flatMap(({ type, path }) => {
    if ((type !== "network" && type !== "pid") || path === undefined || path === "") return [];
    const { type: name, key } = EXTERNAL_NAMESPACES[type];
    const inode = statusAt(path)?.inode;
    if (inode !== undefined) return [`${name}[${inode}]:${key}`];
    throw new HakoError({ code: "state", message: `the container's ${type} namespace ${path} is gone` });
  });
}

function checkParent({ imagePath, parentPath }: CheckpointOptions): void {
  if (parentPath === undefined) return;
  if (parentPath.startsWith("/")) {
    throw new HakoError({
      code: "usage",
      message: `--parent-path: ${parentPath} is absolute`,
      hint: "it is relative to --image-path, as ../before",
    });
  }
  if (statusAt(join(imagePath, parentPath))?.type === "directory") return;
  throw new HakoError({
    code: "usage",
    message: `--parent-path: ${join(imagePath, parentPath)} is no directory`,
    hint: "it is the --image-path of an earlier checkpoint --pre-dump",
  });
}

/** Asks criu which features the kernel has: without them a dump begins, and fails with an error that nobody understands. */
function checkFeatures({ program, preDump, parentPath, lazyPages }: CheckpointOptions): void {
  const tracking = preDump || parentPath !== undefined;
  if (!tracking && !lazyPages) return;
  using criu = new Criu({ program });
  const { features } = criu.ask("features", undefined);
  if (tracking && !features.memoryTracking) {
    throw new HakoError({
      code: "unsupported",
      message: `${preDump ? "--pre-dump" : "--parent-path"}: this kernel doesn't track changes of memory`,
      hint: "it needs CONFIG_MEM_SOFT_DIRTY",
    });
  }
  if (lazyPages && !features.lazyPages) {
    throw new HakoError({
      code: "unsupported",
      message: "--lazy-pages: this kernel or criu can't hand out pages of memory later",
      hint: "it needs CONFIG_USERFAULTFD",
    });
  }
}

function checkStatusFd(fd: number | undefined): void {
  if (fd === undefined) return;
  const flags = trySyscall("fcntl", fd, F.GETFL, 0);
  if (flags >= 0 && (flags & O.ACCMODE) !== 0) return;
  throw new HakoError({
    code: "usage",
    message: `--status-fd: descriptor ${fd} is not open for writing`,
  });
}

/** Tells --status-fd that lazy pages can be asked for: writes a NUL byte and closes it, for some readers wait for the byte, others for the end. */
function announce(fd: number): void {
  writeAllWaiting(fd, new Uint8Array(1));
  trySyscall("close", fd);
}
