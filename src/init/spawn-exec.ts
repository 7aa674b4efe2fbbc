import type { CgroupEntry } from "../cgroup";
import { HakoError } from "../errors";
import { type Fd, FdList } from "../linux/fd";
import { statusAt } from "../linux/file";
import { NAMESPACE_FLAGS, type NamespaceType, openNamespace } from "../linux/namespace";
import { O, openAt } from "../linux/path";
import { aliveProcess } from "../linux/process";
import type { Step } from "../linux/steps";
import type { ExecRequest } from "./protocol";
import { setOutOfMemoryScore } from "./spawn";
import { type StageProcess, startStage } from "./stage-process";

const LINKS: Readonly<Record<NamespaceType, string>> = {
  mount: "mnt",
  cgroup: "cgroup",
  uts: "uts",
  ipc: "ipc",
  user: "user",
  pid: "pid",
  network: "net",
  time: "time",
};

/** What a process beside the first of a container is made from. */
export interface ExecOptions
  extends Omit<
    ExecRequest,
    "kind" | "cgroupFiles" | "consoleSocket" | "mountNamespace" | "root" | "pidNamespace"
  > {
  /** The container's first process, and a descriptor of it. */
  pid: number;
  startTime: number;
  pidfd: Fd;
  entry: CgroupEntry;
  consoleSocket: Fd | undefined;
  warn(message: string): void;
}

/** The namespaces of a process that are not ours: setns(2) into our own user namespace fails, and into others is idle. */
function foreignNamespaces(pid: number): NamespaceType[] {
  const types = Object.keys(LINKS) as NamespaceType[];
  return types.filter((type) => {
    const theirs = statusAt(`/proc/${pid}/ns/${LINKS[type]}`)?.inode;
    return theirs !== undefined && theirs !== statusAt(`/proc/self/ns/${LINKS[type]}`)?.inode;
  });
}

/** Makes a process in the namespaces of a container's first one, but for its pid namespace; it works until "ready". */
export function spawnExec(options: ExecOptions): StageProcess {
  const { pid, startTime, pidfd, entry, consoleSocket, warn, ...request } = options;
  const foreign = foreignNamespaces(pid);
  const joined = foreign.filter((type) => type !== "mount" && type !== "pid");
  // the process joins that one itself: our executable's libraries aren't there
  using mount = foreign.includes("mount") ? openNamespace(`/proc/${pid}/ns/mnt`, "mount") : undefined;
  // only the program's own process shall be in it
  using pids = foreign.includes("pid") ? openNamespace(`/proc/${pid}/ns/pid`, "pid") : undefined;
  // without one the container has changed its root directory only
  using root = mount === undefined ? openAt(undefined, `/proc/${pid}/root`, O.PATH | O.DIRECTORY) : undefined;
  // what was found by its number was found at it only if it still has the number
  if (aliveProcess(pid, startTime) === undefined) {
    throw new HakoError({
      code: "state",
      message: `the container's process ${pid} has ended: container not running`,
    });
  }
  // all at once: the kernel takes the rights that the user namespace gives for the others
  const join: Step = {
    what: `join the container's namespaces (${joined.join(", ")}): setns`,
    call: "setns",
    args: [pidfd.number, joined.reduce((flags, type) => flags | NAMESPACE_FLAGS[type], 0)],
  };
  using files = new FdList();
  for (const path of entry.self) files.add(openAt(undefined, path, O.WRONLY | O.CLOEXEC));
  const stage = startStage({
    flags: 0,
    lateFlags: 0,
    join: joined.length === 0 ? [] : [join],
    born: entry.born,
    userNamespace: foreign.includes("user"),
    preserveFds: request.preserveFds,
    keep: [consoleSocket, mount, root, pids, ...files.all].filter((fd) => fd !== undefined),
    writeIdMaps: undefined,
    warn,
  });
  try {
    setOutOfMemoryScore(stage.pid, request.process.oomScoreAdj);
    const message: ExecRequest = {
      ...request,
      kind: "exec",
      cgroupFiles: files.all.map((fd) => fd.number),
      consoleSocket: consoleSocket?.number,
      mountNamespace: mount?.number,
      root: root?.number,
      pidNamespace: pids?.number,
    };
    stage.begin(message);
    return stage;
  } catch (error) {
    stage[Symbol.dispose]();
    throw error;
  }
}
