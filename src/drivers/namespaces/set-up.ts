import { asHakoError, during } from "../../base/errors";
import type { CgroupMounts } from "../../cgroup";
import { runHooks } from "../../hooks/hooks";
import { actAs } from "../../linux/call/actor";
import { CLONE, O, SIG } from "../../linux/call/constants";
import { type Fd, FdList } from "../../linux/call/fd";
import type { Step } from "../../linux/call/step";
import { syscall } from "../../linux/call/syscall";
import { perform } from "../../linux/call/walk";
import { openAt } from "../../linux/file/path";
import { showsFromOutside } from "../../linux/mount/filesystem";
import { bringUp } from "../../linux/network/interface";
import { permittedCapabilities } from "../../linux/process/capabilities";
import { sessionKeyringSteps } from "../../linux/process/credentials";
import type { SeccompFilter } from "../../linux/process/filter-steps";
import { NAMESPACE_FLAGS, setNamespace } from "../../linux/process/namespace";
import { hideStep, parentDeathStep } from "../../linux/process/process";
import { inUserNamespace } from "../../linux/process/rootless";
import { unboundStep } from "../../linux/process/scheduler";
import type { JoinedThread } from "../../linux/remote/joined-thread";
import { PATIENCE_MS } from "../../linux/remote/remote-answers";
import type { RemoteProcess } from "../../linux/remote/remote-process";
import type { SharedRange } from "../../linux/remote/shared-range";
import { closeStep } from "../../linux/steps/child-steps";
import { controllingTerminalStep, setControllingTerminal } from "../../linux/terminal/pty";
import type { Config, Process } from "../../oci/config";
import { keepsGroups } from "../../oci/groups";
import { hasNamespace } from "../../oci/namespaces";
import { logWarning } from "../../output/log";
import type { Weaker } from "../../state/record";
import type { BornProcess } from "./birth/born-process";
import { NamespacePlan } from "./birth/namespaces";
import { type DescriptorWay, descriptorAt } from "./descriptor-way";
import { bearFirstProcess, type Inherited, type SetUpOptions } from "./first-process";
import { applyScheduler } from "./program/attributes";
import { hostNameSteps } from "./program/host-name";
import { homeOf, standardStreamSteps } from "./program/identity";
import { applyLabels } from "./program/labels";
import { type LastStepsOptions, leaveLastSteps, makeLastSteps } from "./program/last-steps";
import { type Program, prepareProgram } from "./program/prepared-program";
import { environmentOf } from "./program/program-file";
import { setUpTerminal } from "./program/terminal";
import { bindSources } from "./rootfs/bind-sources";
import { madeDevices } from "./rootfs/made-devices";
import { mountedRoot } from "./rootfs/mounted-root";
import { type PreparedRootfs, prepareRootfs } from "./rootfs/rootfs";

/** Loaded on first use. */
const rare = {
  get procfsOpener() {
    return require("./rootfs/procfs-opener") as typeof import("./rootfs/procfs-opener");
  },
  get explainClone() {
    return require("../../explain/clone") as typeof import("../../explain/clone");
  },
  get landlock() {
    return require("../../linux/process/landlock") as typeof import("../../linux/process/landlock");
  },
  get timeOffsets() {
    return require("./birth/time-offsets") as typeof import("./birth/time-offsets");
  },
  get explainRights() {
    return require("../../explain/rights") as typeof import("../../explain/rights");
  },
  get outerContainer() {
    return require("../../explain/outer-container") as typeof import("../../explain/outer-container");
  },
  /** For a user namespace of root's that has the host's files. */
  get mappedRoot() {
    return require("./rootfs/mapped-root") as typeof import("./rootfs/mapped-root");
  },
};

const STREAMS = [0, 1, 2];
const CGROUP_NAMESPACE: Step = {
  what: "cgroup namespace: unshare",
  call: "unshare",
  args: [NAMESPACE_FLAGS.cgroup],
};

/**
 * The making of a container around its first process, in the order of runc's init. The methods are its parts, called in their order
 * here; between them comes what is done to the process from outside.
 */
export class SetUp implements Disposable {
  readonly process: BornProcess;
  /** What it has got less of than it was to have. */
  readonly weaker: Weaker[] = [];
  readonly #options: SetUpOptions;
  readonly #specified: Process;
  readonly #namespaces: NamespacePlan;
  /** Whether this process opens and makes what the container's root may not: sources of bind mounts, devices, overlays. */
  readonly #opensOutside: boolean;
  /** Passes descriptors that are opened after the process's birth. */
  readonly #way: DescriptorWay;
  readonly #inherited: Inherited;
  /** procfs that were begun in a pid namespace that the process joins last, by their places in /mounts. */
  readonly #begunProcfs: ReadonlyMap<number, Fd>;
  /** This thread, where it may act in the container's mount namespace in place of the process. */
  readonly #thread: JoinedThread | undefined;
  /** Who makes mounts: that thread, or else the process. */
  readonly #mounter: JoinedThread | RemoteProcess;
  #rootfs: PreparedRootfs | undefined;
  #environment: string[] = [];
  #program: Program | undefined;

  constructor(options: SetUpOptions) {
    this.#options = options;
    using namespaces = new NamespacePlan(options.config);
    this.#namespaces = namespaces;
    const first = bearFirstProcess(options, namespaces);
    this.process = first.process;
    this.#specified = first.specified;
    this.#opensOutside = first.opensOutside;
    this.#way = first.way;
    this.#thread = first.thread;
    this.#mounter = first.thread ?? first.process.remote;
    this.#inherited = first.inherited;
    try {
      first.process.remote.begin(this.#ownSteps());
      this.#begunProcfs = this.#beginProcfs(namespaces);
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  /** Begins the procfs of a pid namespace that is joined, on kernels where only a process in there can. */
  #beginProcfs(namespaces: NamespacePlan): ReadonlyMap<number, Fd> {
    const { latePid } = this.#inherited;
    const places = procfsPlaces(this.#options.config);
    if (latePid === undefined || places.length === 0) return NOTHING;
    this.settle();
    if (this.process.act(() => showsFromOutside(latePid))) return NOTHING;
    const begun = rare.procfsOpener.beginProcfs({ ...this.#options, namespaces }, places.length);
    const theirs =
      this.#thread === undefined ? this.#way.give(begun) : begun.map((fd) => this.#thread?.take(fd) ?? fd);
    return new Map(places.map((place, index) => [place, descriptorAt(theirs, index)]));
  }

  /** Steps to a network, session and keyring of the container's own. Nobody waits for them: the kernel makes a network in half a millisecond and more. */
  #ownSteps(): Step[] {
    const { noNewKeyring, state } = this.#options;
    return [
      ...this.#namespaces.networkSteps,
      { what: "setsid", call: "setsid", args: [] },
      ...(noNewKeyring ? [] : sessionKeyringSteps(`_ses.${state.id}`)),
    ];
  }

  /** Waits until the process has all of its new namespaces. */
  settle(): void {
    try {
      this.process.remote.settle();
    } catch (thrown) {
      throw rare.explainClone.explainClone(asHakoError(thrown), {
        flags: NAMESPACE_FLAGS.network,
        born: undefined,
        joinsPid: false,
      });
    }
  }

  /** Builds the root file system, while the host's is still in sight. */
  mount(cgroup: CgroupMounts | undefined): void {
    const { config, directory, bundle, rootfs, overlay } = this.#options;
    const { created, lateTime } = this.#namespaces;
    this.settle();
    using opened = new FdList();
    const { mapped, mappedRoot } = this.#inherited;
    const place =
      mappedRoot && rare.mappedRoot.placeInProcess(this.process.pid, overlay?.directory ?? rootfs, opened);
    const [rootPlace] = this.#way.give(place === undefined ? [] : [place]);
    const sources = this.#opensOutside
      ? bindSources(this.process.pid, config, bundle, mapped, opened)
      : NOTHING;
    const devices = this.#opensOutside ? madeDevices(this.process.pid, config, directory, opened) : NOTHING;
    const bound = this.#way.giveByPlace(sources);
    const made = this.#way.giveByPlace(devices);
    if (lateTime) {
      this.process.act(() => rare.timeOffsets.makeTimeNamespace(config.linux?.timeOffsets));
    }
    this.#mounter.act(() => {
      if (created.has("network")) this.#bringLoopbackUp();
      this.#rootfs = this.#prepareRootfs(cgroup, bound, made, rootPlace);
    });
  }

  /**
   * Moves the process into v1 cgroups by their lists of threads. It writes itself: for another one the kernel stops all forks and
   * ends of processes for a moment, which takes it 10 ms (cgroup_procs_write_start, kernel/cgroup/cgroup.c).
   */
  joinCgroups(lists: readonly string[]): void {
    this.settle();
    using opened = new FdList();
    for (const path of lists) opened.add(openAt(undefined, path, O.WRONLY | O.CLOEXEC));
    const theirs = this.#way.give(opened.all);
    this.process.act(() => {
      const joining = theirs.map(
        ({ number }): Step => ({ what: "join a cgroup: write", call: "write", args: [number, "0", 1] }),
      );
      perform([...joining, ...theirs.map(closeStep)]);
      for (const fd of theirs) fd.release();
    });
  }

  /** Who has made the network namespace without a user namespace may lack rights over it. */
  #bringLoopbackUp(): void {
    try {
      during("network loopback", () => bringUp("lo"));
    } catch (thrown) {
      const error = asHakoError(thrown);
      if (this.#options.lenient?.loopback !== true || error.errno !== "EPERM") throw error;
      const explained = rare.outerContainer.withOuterWords(rare.explainRights.explainRights(error));
      logWarning(`${explained.oneLine}; it stays down`);
    }
  }

  /** Runs createContainer hooks, enters the root file system, and masks paths in it. */
  enter(): void {
    const { config, state, overlay, rootfs, noPivot } = this.#options;
    const hooks = config.hooks?.createContainer ?? [];
    if (hooks.length > 0) {
      this.process.act(() =>
        runHooks("createContainer", config.hooks, {
          state: { ...state, pid: syscall("getpid") },
          // as with runc: their paths in the container's file system are relative ones
          cwd: overlay?.directory ?? rootfs,
          inside: { environment: [] },
        }),
      );
    }
    this.#mounter.act(() => {
      this.#rootfs?.enter(noPivot);
      // the terminal comes between
      if (this.#specified.terminal !== true) this.#finish();
    });
    if (this.#specified.terminal !== true) return;
    this.#connectTerminal();
    this.#mounter.act(() => this.#finish());
  }

  /** What is done in the container's root file system. */
  #finish(): void {
    const { config, lenient } = this.#options;
    perform(hostNameSteps(config, lenient?.hostname === true));
    this.#rootfs?.finish();
    this.#environment = environmentOf(this.#specified, homeOf);
  }

  /** Opens a terminal of the container's devpts for the process, and binds it on /dev/console. */
  #connectTerminal(): void {
    this.process.act(() => {
      setUpTerminal(this.#inherited.consoleSocket, this.#specified, (slave) => {
        const thread = this.#thread;
        if (thread === undefined) this.#rootfs?.bindConsole(slave);
        else {
          using same = thread.fetch(slave.number);
          thread.act(() => this.#rootfs?.bindConsole(same));
        }
      });
      // one that is born anew takes it itself, as does a child
      if (this.#inherited.latePid === undefined && this.#inherited.ownInit === undefined)
        setControllingTerminal(0);
    });
  }

  /**
   * In its cgroups the process becomes who the program shall be, and the program is looked up as this user. In a pid namespace that
   * it joins it is born only then.
   */
  identify(filter: SeccompFilter | undefined): void {
    const { config } = this.#options;
    const { latePid } = this.#inherited;
    const specified = this.#specified;
    const have = permittedCapabilities(this.process.pid);
    // where it has ours, and calls their owner as we do, we are nearer
    const oursAre = specified.terminal !== true && !this.#namespaces.has("user");
    const streams = oursAre ? standardStreamSteps(STREAMS, specified.user.uid) : undefined;
    this.process.act(() => {
      applyLabels(specified);
      const first = [
        // what the caller is bound to is nothing to the program
        unboundStep(),
        ...(this.#namespaces.created.has("cgroup") ? [CGROUP_NAMESPACE] : []),
        ...(streams ?? standardStreamSteps(STREAMS, specified.user.uid)),
      ];
      if (latePid !== undefined) {
        // for its children: itself stays where it is
        if (!this.#namespaces.pidFirst) setNamespace(latePid, "pid");
        latePid.close();
      } else if (specified.scheduler !== undefined) {
        perform(first.splice(0));
        applyScheduler(specified, 0);
      }
      this.#program = prepareProgram(specified, {
        linux: config.linux,
        filter,
        environment: this.#environment,
        inMemory: this.#inherited.program?.file,
        ownInit: this.#inherited.ownInit,
        have,
        keepsGroups: keepsGroups(config),
        first,
        // a change of identity undoes it; this command still may fail
        after: [parentDeathStep(SIG.KILL)],
      });
    });
    if (latePid !== undefined) this.#joinPidNamespace();
  }

  #joinPidNamespace(): void {
    const { remote } = this.process;
    // nobody else shall send anything by it
    this.#way.theirs.close();
    this.#way[Symbol.dispose]();
    // a change of identity undoes it (fs.suid_dumpable), and it is seen from its first moment on
    remote.perform([hideStep()]);
    try {
      this.process.rebirth(0);
    } catch (thrown) {
      throw rare.explainClone.explainClone(asHakoError(thrown), {
        flags: 0,
        born: undefined,
        joinsPid: true,
      });
    }
    remote.expose(PATIENCE_MS);
    const terminal = this.#specified.terminal === true;
    remote.perform([
      { what: "setsid", call: "setsid", args: [] },
      ...(terminal ? [controllingTerminalStep(0)] : []),
    ]);
    applyScheduler(this.#specified, this.process.pid);
  }

  /** Leaves it to itself: it waits for start, and needs nobody for its last steps but who starts it. */
  leaveToStart(): void {
    const { startSocket } = this.#inherited;
    if (startSocket === undefined) throw new Error("left to start without a socket");
    this.#way.theirs.close();
    const hooks = (this.#options.config.hooks?.startContainer ?? []).length > 0;
    leaveLastSteps(...this.#end(), { startSocket, hooks });
    this.#release();
  }

  /** It executes its program. `awaitIt` waits until it has, and throws if it could not; its end of `connection` is closed then. */
  execute(awaitIt: (connection: Fd, range: SharedRange) => void): void {
    makeLastSteps(...this.#end(), this.#way.theirs);
    awaitIt(this.#way.ours, this.process.remote.range);
    this.#release();
  }

  /** What the last steps of the process are made from. */
  #end(): [RemoteProcess, Process, Program, LastStepsOptions] {
    if (this.#program === undefined) throw new Error("its last steps before it was identified");
    const descriptors = this.#inherited.program?.descriptors ?? [];
    const { preserveFds, diesWithMaker = false } = this.#options;
    const terminal = this.#specified.terminal === true;
    const landlocked = this.#options.landlocked
      ? rare.landlock.openedAgain(preserveFds, terminal)
      : undefined;
    const options = { preserveFds, descriptors, diesWithMaker, landlocked, ownInit: this.#inherited.ownInit };
    return [this.process.remote, this.#specified, this.#program, options];
  }

  #release(): void {
    this.process.release();
    this.#closeOwn();
  }

  #closeOwn(): void {
    this.#way[Symbol.dispose]();
    this.#thread?.[Symbol.dispose]();
  }

  #prepareRootfs(
    cgroup: CgroupMounts | undefined,
    bound: ReadonlyMap<number, Fd>,
    made: ReadonlyMap<number, Fd>,
    rootPlace: Fd | undefined,
  ): PreparedRootfs {
    const { config, bundle, rootfs, overlay, held, lenient } = this.#options;
    const { mountNamespace, mapped, mappedRoot, latePid } = this.#inherited;
    if (mountNamespace !== undefined) {
      syscall("unshare", CLONE.FS);
      setNamespace(mountNamespace, "mount");
      mountNamespace.close();
    }
    const mounted = mountedRoot(rootfs, overlay, mappedRoot, rootPlace);
    return prepareRootfs({
      config,
      rootfs: overlay?.directory ?? rootfs,
      mounted,
      bundle,
      cgroup,
      pidNamespace:
        latePid && (this.#thread?.fetch(actAs(this.process.remote, () => latePid.number)) ?? latePid),
      begunProcfs: this.#begunProcfs,
      newCgroupNamespace: this.#namespaces.created.has("cgroup"),
      userNamespace: this.#namespaces.has("user") || inUserNamespace(),
      sharesDevices: this.#namespaces.has("user") && !this.#opensOutside && mountNamespace === undefined,
      mountNamespace: hasNamespace(config, "mount"),
      mappedMounts: mapped,
      bindSources: bound,
      madeDevices: made,
      held,
      lenient,
      weakened: (what) => this.weaker.push(what),
    });
  }

  [Symbol.dispose](): void {
    this.process[Symbol.dispose]();
    this.#closeOwn();
  }
}

const NOTHING: ReadonlyMap<number, Fd> = new Map();

/** The places in /mounts that are procfs. */
function procfsPlaces({ mounts }: Config): number[] {
  return (mounts ?? []).flatMap(({ type }, index) => (type === "proc" ? [index] : []));
}
