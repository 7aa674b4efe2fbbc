import { HakoError } from "../base/errors";
import { UndoStack } from "../base/undo";
import { driverFor } from "../drivers";
import type { CreateEvents, CreatePlan, OwnInitOptions } from "../drivers/interface/driver";
import { runHooks } from "../hooks/hooks";
import type { Fd } from "../linux/call/fd";
import { changeMode, makeDirectory, writeText } from "../linux/file/file";
import { join } from "../linux/file/path-text";
import { callerOpenFiles } from "../linux/process/rlimit";
import { effectiveUser } from "../linux/process/rootless";
import type { CgroupManager } from "../oci/cgroup-managers";
import type { ContainerId } from "../oci/id";
import { hasNamespace } from "../oci/namespaces";
import { kataWarning } from "../oci/semantics-isolation";
import { logWarning } from "../output/log";
import { lockContainer } from "../state/lock";
import { MappingStore } from "../state/mapping";
import { makeProgramEnd } from "../state/program-end";
import { type ContainerRecord, type DriverName, stateOf, writeConfig, writeRecord } from "../state/record";
import {
  claimId,
  containerDirectory,
  hasRecord,
  OVERLAY,
  removeContainerDirectory,
  unclaimId,
} from "../state/root";
import type { Bundle } from "./bundle";
import { announcePid, type PidReceivers } from "./io/pid-receivers";
import { newRecord } from "./new-record";
import { runPoststopHooks } from "./poststop";

/** Loaded on first use. */
const rare = {
  /** Loaded for the few who ask. */
  get notify() {
    return require("./io/notify") as typeof import("./io/notify");
  },
  /** For a root file system that lacks some. */
  get mountPoints() {
    return require("../state/mount-points") as typeof import("../state/mount-points");
  },
};

export interface CreateOptions extends PidReceivers {
  root: string;
  id: ContainerId;
  bundle: Bundle;
  /** Connected; receives the terminal's master. */
  consoleSocket: Fd | undefined;
  cgroupManager: CgroupManager;
  /** What isolates the container, if it is not to be the usual. */
  driver?: DriverName | undefined;
  /** --rootless. */
  rootless: boolean | "auto";
  noPivot: boolean;
  noNewKeyring: boolean;
  preserveFds: number;
  /** The container ends with this process. */
  diesWithMaker?: boolean | undefined;
  /** The program is not the first process, but a child of one of hako's. */
  ownInit?: OwnInitOptions | undefined;
  /** The caller's $NOTIFY_SOCKET, which wants to know when the program is ready. */
  notifySocket: string | undefined;
  /** What this process's standard output and error are by now; absolute. */
  output?: string | undefined;
  /** Called while the container's process becomes its program, where that isn't left to `start`: it may fail yet. */
  becoming?: ((record: ContainerRecord) => void) | undefined;
}

export interface Created {
  record: ContainerRecord;
  /** Whether its program runs already. */
  runs: boolean;
}

/**
 * Makes a container that waits for start (runtime.md "Create"), or with `mayRun` perhaps one that runs; what a failure leaves is undone
 * in reverse order.
 */
export function createContainer(options: CreateOptions, mayRun: boolean): Created {
  const { root, id, bundle } = options;
  // read while the caller waits for us
  callerOpenFiles();
  checkRights(options);
  const driver = driverFor(bundle.config, options.driver);
  if (bundle.config.process !== undefined) driver.check(bundle.config.process);
  const kata = kataWarning(bundle.config);
  if (kata !== undefined) logWarning(`config ${kata.pointer}: ${kata.message}`);
  // held until all is undone: whoever waits for it finds nothing, or a whole container
  using _lock = claim(root, id);
  using undo = new UndoStack((error) => logWarning(error.oneLine));
  const creation = new Creation(options, driver.name, undo);
  creation.joinSandbox();
  creation.makeFiles();
  creation.makeMountPoints();
  using end = options.ownInit === undefined ? undefined : makeProgramEnd(root, id);
  const runs = driver.create(creation.plan(mayRun, end), creation, undo);
  undo.commit();
  return { record: creation.record, runs };
}

/** A container that is being made, and what happens at each moment of it (runtime.md "Lifecycle"). */
class Creation implements CreateEvents {
  readonly record: ContainerRecord;
  readonly #options: CreateOptions;
  readonly #undo: UndoStack;
  #hooksBegan = false;

  constructor(given: CreateOptions, driver: DriverName, undo: UndoStack) {
    const { root, id, notifySocket } = given;
    undo.defer(`what hooks of ${id} made`, () => {
      if (this.#hooksBegan) runPoststopHooks(this.record);
    });
    undo.defer(`directory of ${id}`, () => removeContainerDirectory(root, id));
    this.#options = notifySocket === undefined ? given : withNotifySocket(given);
    this.#undo = undo;
    this.record = newRecord({ ...this.#options, driver });
  }

  joinSandbox(): void {
    const { root, id } = this.#options;
    const mappings = new MappingStore(root);
    mappings.add(id, this.record.sandbox);
    this.#undo.defer(`mapping of ${id}`, () => mappings.delete(id));
  }

  /** They go with the container's directory. */
  makeFiles(): void {
    const { files } = this.#options.bundle;
    // whoever the program is there may read it, whatever our umask is
    if (files === undefined) return;
    for (const [path, text] of files) {
      writeText(path, text);
      changeMode(path, 0o644);
    }
  }

  /** Of a directory that is used without a bundle. */
  makeMountPoints(): void {
    const { id, bundle } = this.#options;
    if (bundle.mountPoints === undefined || bundle.mountPoints.length === 0) return;
    const points = rare.mountPoints.MountPoints.make(bundle.rootfs, bundle.mountPoints);
    this.#undo.own(points);
    this.#undo.defer(`mount points of ${id}`, () => {
      points[Symbol.dispose]();
      rare.mountPoints.removeMountPoints(bundle.rootfs, points.made);
    });
    this.made({ mountPoints: points.made });
  }

  /** What the driver makes the container from, with where a first process of hako's says how the program ended; the place of an overlay, if there is one, is made. */
  plan(mayRun: boolean, end: Fd | undefined): CreatePlan {
    const { root, id, bundle, ownInit } = this.#options;
    const overlay = bundle.overlay && {
      directory: join(containerDirectory(root, id), OVERLAY),
      lower: bundle.rootfs,
      ...bundle.overlay,
    };
    if (overlay !== undefined) makeDirectory(overlay.directory, 0o755);
    return {
      ...this.#options,
      sandbox: this.record.sandbox,
      config: bundle.config,
      filter: bundle.filter,
      bundle: bundle.path,
      rootfs: bundle.rootfs,
      overlay,
      mapsOwners: bundle.mapsOwners,
      held: bundle.held,
      lenient: bundle.lenient,
      landlocked: bundle.landlocked,
      networkComes: bundle.network !== undefined,
      state: stateOf(this.record, "creating"),
      mayRun,
      ownInit: ownInit && end && { ...ownInit, end },
    };
  }

  made(change: Partial<ContainerRecord>): void {
    Object.assign(this.record, change);
    writeRecord(this.#options.root, this.record);
  }

  /** Steps 3 to 5. From here on a failure is the end of a container's life: poststop hooks run (step 13). */
  runtimeCreated(): void {
    const { bundle } = this.#options;
    const { hooks } = bundle.config;
    this.#hooksBegan = true;
    const context = { state: stateOf(this.record, "creating"), cwd: bundle.path };
    // by their definition, which the spec has given up, they run at start: what they read says so
    runHooks("prestart", hooks, { ...context, state: stateOf(this.record, "created") });
    runHooks("createRuntime", hooks, context);
  }

  meanwhile(): void {
    const { root, id, bundle } = this.#options;
    writeConfig(root, id, bundle.config);
  }

  created(): void {
    if (this.record.init !== undefined) announcePid(this.#options, this.record.init, "standard", this.#undo);
    this.made({ creator: undefined });
  }

  becoming(): void {
    this.#options.becoming?.(this.record);
  }
}

function withNotifySocket(options: CreateOptions): CreateOptions {
  const { root, id, bundle } = options;
  return { ...options, bundle: { ...bundle, config: rare.notify.withNotifySocket(root, id, bundle.config) } };
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
