import { during, HakoError } from "../../../base/errors";
import { SIG } from "../../../linux/call/constants";
import { Fd } from "../../../linux/call/fd";
import type { Step } from "../../../linux/call/step";
import { recvFds, sendFds } from "../../../linux/file/descriptor-passing";
import { forbidExecution } from "../../../linux/file/memfd";
import { waitFor } from "../../../linux/file/poll";
import { socketPair } from "../../../linux/file/unix-socket";
import { beginFilesystem, isFilesystemContext, newFilesystem } from "../../../linux/mount/filesystem";
import { attachTree, setMountAttributes } from "../../../linux/mount/mount-calls";
import {
  boundingSteps,
  capabilitySteps,
  permittedCapabilities,
  SYS_ADMIN,
} from "../../../linux/process/capabilities";
import { noNewPrivilegesStep } from "../../../linux/process/credentials";
import { filterSteps, type SeccompFilter } from "../../../linux/process/filter-steps";
import { NAMESPACE_FLAGS, setNamespace } from "../../../linux/process/namespace";
import { hideStep, nameStep, parentDeathStep } from "../../../linux/process/process";
import { PATIENCE_MS } from "../../../linux/remote/remote-answers";
import { RemoteProcess } from "../../../linux/remote/remote-process";
import { SharedRange } from "../../../linux/remote/shared-range";
import { type BirthPlan, ownerStepsOf, unshareSteps } from "../birth/birth";
import { type BornProcess, executedOutside } from "../birth/born-process";
import type { NamespacePlan } from "../birth/namespaces";
import { OPENER_NAME } from "../birth/stage-name";
import { pivotRoot } from "./rootfs";

/** Loaded on first use. */
const rare = {
  get compile() {
    return require("../../../seccomp/compile") as typeof import("../../../seccomp/compile");
  },
};

const NAME = "socket to who begins a procfs";
/** All that is allowed to who begins a procfs: the calls of a remote process, and two of its own. */
const ALLOWED = ["futex", "restart_syscall", "clone", "clone3", "prctl", "fsopen", "sendmsg", "exit_group"];

export type OpenerPlan = Pick<BirthPlan, "config" | "namespaces" | "born" | "explainEnd">;

/**
 * Begins so many procfs that show a pid namespace which is joined, on kernels where only a process in that namespace can (before
 * Linux 6.18). Others are there, who may take this process over. So it has nothing else: one socket, some hundred bytes of memory, a root
 * directory and a mount namespace with nothing in them, the namespaces that the container will have or empty ones, CAP_SYS_ADMIN
 * alone, and a filter that lets it begin file systems and send them. What comes is what it says it is, or refused.
 */
export function beginProcfs(plan: OpenerPlan, count: number): Fd[] {
  const [ours, theirs] = socketPair(NAME);
  using receiver = ours;
  using sender = theirs;
  using range = SharedRange.make();
  const { namespaces } = plan;
  const joined = namespaces.joined.filter(({ type }) => type !== "mount").map(({ fd }) => fd);
  using program = range.program();
  const remote = new RemoteProcess(range);
  using opener = executedOutside({ ...plan, preserveFds: 0, keep: [sender, ...joined] }, remote, program);
  forbidExecution(program);
  const { number } = sender;
  emptied(opener, plan, number);
  opener.rebirth(0);
  remote.expose(PATIENCE_MS);
  const begun: Fd[] = [];
  try {
    for (let place = 0; place < count; place++) {
      remote.act(() => sendFds(number, [beginFilesystem("proc").release()]));
      begun.push(receivedContext(receiver));
    }
    return begun;
  } catch (error) {
    for (const fd of begun) fd.close();
    throw error;
  }
}

/** Takes everything from the process but what it needs; its children are born in the pid namespace. */
function emptied({ remote }: BornProcess, { namespaces, config }: OpenerPlan, socket: number): void {
  const pid = namespaces.latePid?.number ?? -1;
  remote.perform([parentDeathStep(SIG.KILL), hideStep(), nameStep(OPENER_NAME), ...namespaces.joinSteps]);
  const own = namespaces.joined.some(({ type }) => type === "user") ? ownerStepsOf(config) : [];
  remote.perform([...own, ...unshareSteps(ownNamespaces(namespaces))]);
  remote.act(() => {
    const masks = { bounding: 0n, permitted: SYS_ADMIN, effective: SYS_ADMIN, inheritable: 0n, ambient: 0n };
    const { steps } = capabilitySteps(masks, permittedCapabilities(), 0n);
    const bounding = boundingSteps(0n);
    during("an empty root directory for who begins a procfs", enterEmptyRoot, () => ({
      hint: "on Linux 6.18 nobody needs it; or bind a /proc in config /mounts",
    }));
    setNamespace(pid, "pid");
    remote.perform([
      ...closeAllBut(socket),
      ...bounding,
      ...steps,
      noNewPrivilegesStep(),
      hideStep(),
      ...filterSteps(filter(), new Fd(socket), undefined),
    ]);
  });
}

/** Those that the container will have anew, and others in which the host would be seen. */
function ownNamespaces({ created }: NamespacePlan): number {
  const { mount, cgroup, network, ipc, uts } = NAMESPACE_FLAGS;
  const made = { network, ipc, uts };
  const flags = (Object.keys(made) as (keyof typeof made)[]).filter((type) => created.has(type));
  return flags.reduce((sum, type) => sum | made[type], mount | cgroup);
}

function enterEmptyRoot(): void {
  setMountAttributes("/", { propagation: "private", recursive: true });
  const root = newFilesystem({ type: "tmpfs", source: "tmpfs", options: ["mode=555", "size=4k"] });
  // the one directory that every host has where we run
  attachTree(root, "/proc");
  pivotRoot(root);
}

function closeAllBut(fd: number): Step[] {
  const step = (first: number, last: number): Step => ({
    what: "close_range of all descriptors but one",
    call: "close_range",
    args: [first, last, 0],
  });
  return [step(0, fd - 1), step(fd + 1, 0xffffffff)];
}

/** Loaded on such kernels only. */
function filter(): SeccompFilter {
  return rare.compile.compile({
    defaultAction: "SCMP_ACT_ERRNO",
    syscalls: [{ names: ALLOWED, action: "SCMP_ACT_ALLOW" }],
  });
}

function receivedContext(receiver: Fd): Fd {
  const [fd] = waitFor(receiver, "read", PATIENCE_MS) ? recvFds(receiver, 1) : [];
  if (fd !== undefined && isFilesystemContext(fd)) return fd;
  fd?.close();
  const what = fd === undefined ? "nothing" : "something else";
  throw new HakoError({
    code: "system",
    message: `a procfs for the pid namespace that is joined: ${what} came from there`,
    hint: "another container in it may have changed the process that begins it: one with CAP_SYS_PTRACE",
  });
}
