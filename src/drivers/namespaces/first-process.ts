import { HakoError } from "../../base/errors";
import { UndoStack } from "../../base/undo";
import { type Fd, FdList } from "../../linux/call/fd";
import { socketPair } from "../../linux/file/unix-socket";
import { maySetUpAlone } from "../../linux/process/rootless";
import { JoinedThread } from "../../linux/remote/joined-thread";
import type { Process } from "../../oci/config";
import { keepsGroups } from "../../oci/groups";
import { logWarning } from "../../output/log";
import type { CreatePlan, OwnInit, ProgramInMemory } from "../interface/driver";
import { withMappedGroups } from "./birth/additional-groups";
import { type BirthPlan, bear } from "./birth/birth";
import type { BornProcess } from "./birth/born-process";
import { checkJoinedPidHooks } from "./birth/joined-pid-hooks";
import { joinedTypes, threadMayJoin } from "./birth/joining-thread";
import type { NamespacePlan } from "./birth/namespaces";
import { DescriptorWay, inherited } from "./descriptor-way";
import { madeOverlays } from "./rootfs/made-overlays";
import { mappedMounts } from "./rootfs/mapped-mounts";
import type { MappedTree } from "./rootfs/mapped-root";

/** Loaded on first use. */
const rare = {
  /** For a user namespace of root's that has the host's files. */
  get mappedRoot() {
    return require("./rootfs/mapped-root") as typeof import("./rootfs/mapped-root");
  },
};

/** What a container's first process is made from. */
export interface SetUpOptions extends CreatePlan {
  /** Where the host keeps what belongs to the container. */
  directory: string;
  /** The v2 cgroup that the process is born in; hako's own if undefined. */
  born: string | undefined;
  /** Where it waits for start; undefined for one that doesn't wait. */
  startSocket: Fd | undefined;
  explainEnd: BirthPlan["explainEnd"];
}

/** Descriptors that the process was born with. They are the process's, not this one's. */
export interface Inherited {
  startSocket: Fd | undefined;
  consoleSocket: Fd | undefined;
  ownInit: OwnInit | undefined;
  /** A program to execute in place of the one that config.json names. */
  program: ProgramInMemory | undefined;
  /** A mount namespace that the process joins. */
  mountNamespace: Fd | undefined;
  /** A pid namespace that the process joins last of all. */
  latePid: Fd | undefined;
  /** Detached trees whose owners are mapped, by their places in /mounts. */
  mapped: ReadonlyMap<number, Fd>;
  /** Those of the root file system; undefined for one that is as it is. */
  mappedRoot: readonly MappedTree[] | undefined;
}

/** A container's first process as it was born, and the ways to it. */
interface FirstProcess {
  process: BornProcess;
  /** config.json's process, with the groups that its user namespace has. */
  specified: Process;
  /** Whether this process opens and makes what the container's root may not: sources of bind mounts, devices, overlays. */
  opensOutside: boolean;
  /** Passes descriptors that are opened after the process's birth. */
  way: DescriptorWay;
  /** This thread, where it may act in the container's mount namespace in place of the process. */
  thread: JoinedThread | undefined;
  inherited: Inherited;
}

/** Has a container's first process born, with all that is opened for it before. */
export function bearFirstProcess(options: SetUpOptions, namespaces: NamespacePlan): FirstProcess {
  const { config, born, preserveFds, explainEnd } = options;
  if (config.process === undefined)
    throw new HakoError({ code: "config", message: "config /process: missing" });
  checkJoinedPidHooks(config, namespaces);
  if (options.program !== undefined && namespaces.latePid !== undefined) throw noProgramInMemory();
  const opensOutside = namespaces.has("user") && namespaces.created.has("mount") && maySetUpAlone();
  using opened = new FdList();
  const trees = openTrees(options, opensOutside, opened);
  const [ours, theirs] = socketPair("socket to the container's process");
  using undo = new UndoStack((error) => logWarning(error.oneLine));
  undo.defer("the socket to the container's process", () => ours.close());
  using end = theirs;
  const keep = [end, ...keptDescriptors(options, namespaces), ...opened.all];
  const joins = threadMayJoin(options, namespaces);
  const process = bear({ config, namespaces, born, preserveFds, way: end, keep, explainEnd });
  undo.defer("the container's process", () => process[Symbol.dispose]());
  const { descriptor, remote, pid } = process;
  const way = new DescriptorWay(remote, ours, end);
  const specified = keepsGroups(config) ? config.process : withMappedGroups(config.process, pid);
  const copy = (number: number) => way.take(number);
  const thread = joins ? new JoinedThread(descriptor, remote, joinedTypes(namespaces), copy) : undefined;
  const inherit = (fd: Fd): Fd => inherited(remote, fd);
  const { startSocket, consoleSocket, ownInit, program } = options;
  const first = {
    ...{ process, specified, opensOutside, way, thread },
    inherited: {
      startSocket: startSocket && inherit(startSocket),
      consoleSocket: consoleSocket && inherit(consoleSocket),
      ownInit: ownInit && {
        ...{ end: inherit(ownInit.end), stops: ownInit.stops && inherit(ownInit.stops) },
        idle: ownInit.idle,
      },
      program: program && { file: inherit(program.file), descriptors: program.descriptors.map(inherit) },
      mountNamespace: namespaces.mount && inherit(namespaces.mount),
      latePid: namespaces.latePid && inherit(namespaces.latePid),
      mappedRoot: trees.mappedRoot?.map((each) => ({
        ...each,
        ...{ tree: inherit(each.tree), layer: each.layer && inherit(each.layer) },
      })),
      mapped: new Map(Array.from(trees.mapped, ([index, fd]) => [index, thread?.take(fd) ?? inherit(fd)])),
    },
  };
  undo.commit();
  return first;
}

/** Detached trees that only this process can make: of mounts whose owners are mapped, the root file system's too, and of overlays. */
function openTrees(
  { config, bundle, rootfs, overlay, mapsOwners }: SetUpOptions,
  opensOutside: boolean,
  opened: FdList,
): { mapped: ReadonlyMap<number, Fd>; mappedRoot: readonly MappedTree[] | undefined } {
  const mapped = mappedMounts(config, bundle, opened);
  const mappedRoot = mapsOwners ? rare.mappedRoot.mappedRoot(config, rootfs, overlay, opened) : undefined;
  if (opensOutside) for (const [index, tree] of madeOverlays(config, opened)) mapped.set(index, tree);
  return { mapped, mappedRoot };
}

function keptDescriptors(
  { startSocket, consoleSocket, program, ownInit }: SetUpOptions,
  namespaces: NamespacePlan,
): Fd[] {
  const single = [startSocket, consoleSocket, namespaces.mount, program?.file, ownInit?.end, ownInit?.stops];
  return [...single.filter((fd) => fd !== undefined), ...(program?.descriptors ?? [])];
}

/** Processes of a joined pid namespace may have CAP_SYS_PTRACE, and could take the descriptors while this one waits. */
function noProgramInMemory(): HakoError {
  const message = "a program in memory can't be in a pid namespace that is joined";
  return new HakoError({ code: "unsupported", message });
}
