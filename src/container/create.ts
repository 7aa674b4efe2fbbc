import { dirname, join } from "node:path";
import { during, HakoError } from "../errors";
import type { Fd } from "../linux/fd";
import { makeDirectory, removeFile, renameFile, writeText } from "../linux/file";
import { processStatus } from "../linux/process";
import { unixListen } from "../linux/socket";
import type { Config } from "../oci/config";
import { sandboxOf } from "../oci/container-type";
import type { ContainerPlan } from "../sandbox/driver";
import { namespacesDriver } from "../sandbox/namespaces";
import { UndoStack } from "../undo";
import { runHooks } from "./hooks";
import { type ContainerId, sandboxId } from "./id";
import { lockContainer } from "./lock";
import { MappingStore } from "./mapping";
import {
  type ContainerRecord,
  claimId,
  containerDirectory,
  removeDirectory,
  startSocketPath,
  stateOf,
  writeRecord,
} from "./record";
import { callerStreams } from "./streams";

/** A bundle whose config.json was checked. */
export interface Bundle {
  /** Absolute. */
  path: string;
  rootfs: string;
  config: Config;
  /** The rootfs is the host's root, with what is written going to a tmpfs. */
  overlayOfHost?: boolean;
}

export interface CreateOptions {
  root: string;
  id: ContainerId;
  bundle: Bundle;
  /** Connected; receives the terminal's master. */
  consoleSocket: Fd | undefined;
  pidFile: string | undefined;
  noPivot: boolean;
  noNewKeyring: boolean;
  preserveFds: number;
  openFiles: number | undefined;
  warn(message: string): void;
}

/** Makes a container that waits for start (runtime.md "Create"); what a failure leaves is undone in reverse order. */
export function createContainer(options: CreateOptions): ContainerRecord {
  const { root, id, bundle, warn } = options;
  const { config } = bundle;
  refuseOrdinaryUser();
  claimId(root, id);
  // held until all is undone: whoever waits for it finds nothing, or a whole container
  using lock = lockContainer(root, id);
  if (lock === undefined) throw new HakoError({ code: "state", message: `container "${id}" was deleted` });
  using undo = new UndoStack((error) => warn(error.oneLine));
  undo.defer(`directory of ${id}`, () => removeDirectory(root, id));
  const record = newRecord(options);
  writeRecord(root, record);
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
    runtimeCreated: () => {
      const { openFiles } = options;
      const context = { state: stateOf(record, "creating"), cwd: bundle.path, openFiles };
      runHooks("prestart", config.hooks, context);
      runHooks("createRuntime", config.hooks, context);
    },
    created: () => {
      if (options.pidFile !== undefined && record.init !== undefined) {
        writePidFile(options.pidFile, record.init.pid, undo);
      }
      save({ creator: undefined });
    },
  };
  namespacesDriver.create(planOf(options, record, startSocket), events, undo);
  undo.commit();
  return record;
}

/** What the driver makes the container from; the directory of the host's root, if that is the rootfs, is made. */
function planOf(options: CreateOptions, record: ContainerRecord, startSocket: Fd): ContainerPlan {
  const { root, id, bundle, consoleSocket, noPivot, noNewKeyring, preserveFds, openFiles, warn } = options;
  const overlay = bundle.overlayOfHost === true ? join(containerDirectory(root, id), "rootfs") : undefined;
  if (overlay !== undefined) makeDirectory(overlay, 0o755);
  return {
    id,
    config: bundle.config,
    bundle: bundle.path,
    rootfs: bundle.rootfs,
    overlay,
    state: stateOf(record, "creating"),
    startSocket,
    consoleSocket,
    noPivot,
    noNewKeyring,
    preserveFds,
    openFiles,
    warn,
  };
}

export function refuseOrdinaryUser(): void {
  const uid = process.geteuid?.();
  if (uid === 0) return;
  throw new HakoError({
    code: "unsupported",
    message: `user ${uid} can't make containers: rootless containers are not built yet`,
    hint: "run as root",
  });
}

export function newRecord({ id, bundle }: Pick<CreateOptions, "id" | "bundle">): ContainerRecord {
  const { config } = bundle;
  const annotations = config.annotations ?? {};
  const pidNamespace = config.linux?.namespaces?.find(({ type }) => type === "pid");
  return {
    id,
    sandbox: sandboxId(sandboxOf(annotations) ?? id),
    ociVersion: config.ociVersion,
    bundle: bundle.path,
    rootfs: bundle.rootfs,
    annotations,
    created: new Date().toISOString(),
    creator: { pid: process.pid, startTime: processStatus(process.pid)?.startTime ?? 0 },
    init: undefined,
    ownPidNamespace: pidNamespace !== undefined && !pidNamespace.path,
    cgroup: undefined,
    hooks: config.hooks,
    streams: config.process?.terminal === true ? [] : callerStreams(),
  };
}

/** The decimal pid without a newline, complete from the first moment that the file is there: callers wait for it. */
export function writePidFile(file: string, pid: number, undo: UndoStack): void {
  const temporary = join(dirname(file), `.${process.pid}.hako-pid`);
  during(`pid file ${file}`, () => {
    try {
      writeText(temporary, String(pid), 0o644);
      renameFile(temporary, file);
    } catch (error) {
      removeFile(temporary);
      throw error;
    }
  });
  undo.defer(`pid file ${file}`, () => removeFile(file));
}
