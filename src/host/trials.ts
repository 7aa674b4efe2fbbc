import { asHakoError, HakoError } from "../base/errors";
import { openCgroup } from "../cgroup";
import { makeNode, removeNode } from "../cgroup/hierarchy/node";
import { explainClone } from "../explain/clone";
import { inUserNamespaceHint } from "../explain/mount";
import { confinement, explainRights, lackHint } from "../explain/rights";
import type { Step } from "../linux/call/step";
import { cloneTreeStep, detachedFilesystemSteps, privateTreeStep } from "../linux/mount/mount-steps";
import { loopbackSteps } from "../linux/network/interface";
import { allCapabilities } from "../linux/process/capabilities";
import { NAMESPACE_FLAGS, type NamespaceType } from "../linux/process/namespace";
import { reapChild } from "../linux/process/process";
import { effectiveUser, inUserNamespace, maySetUpAlone } from "../linux/process/rootless";
import { cloneChild, Reports } from "../linux/steps/clone-child";

/** A child that ends at once tries what a container's process does: files of procfs don't tell what a seccomp filter refuses. */

/** The child may use descriptor 0: it needs no standard input. */
const FREE = 0;
const CLOSE_FREE: Step = { what: "close", call: "close", args: [FREE], success: "anything" };
/** Null pointers for paths are EFAULT; a filter refuses the call before the kernel looks at them. docker's and containerd's filters do, to everybody. */
const PIVOT_NOWHERE: Step = {
  what: "pivot_root",
  call: "pivot_root",
  args: [0, 0],
  success: { only: "EFAULT" },
};
const { mount, pid, network, user, uts, ipc } = NAMESPACE_FLAGS;

/** How create makes a namespace: with the process, or later by the process itself, and what it does there first. */
interface Trial {
  flags: number;
  steps: readonly Step[];
}

function unshareStep(flags: number): Step {
  return { what: "unshare", call: "unshare", args: [flags] };
}

/** What a container's process does in its namespaces. */
export type Tried = NamespaceType | "procfs" | "loopback" | "host name";

const TRIALS: Readonly<Record<Tried, () => Trial>> = {
  // a security module may let it be made, and give no rights in it
  user: () => ({ flags: user, steps: [unshareStep(uts)] }),
  mount: () => ({ flags: mount, steps: [privateTreeStep(), cloneTreeStep("/"), PIVOT_NOWHERE] }),
  pid: () => ({ flags: pid, steps: [] }),
  network: () => ({ flags: network, steps: [] }),
  loopback: () => ({ flags: network, steps: loopbackSteps(FREE) }),
  uts: () => ({ flags: uts, steps: [] }),
  "host name": () => ({
    flags: uts,
    steps: [{ what: "sethostname", call: "sethostname", args: ["hako", 4] }],
  }),
  ipc: () => ({ flags: ipc, steps: [] }),
  cgroup: () => ({ flags: 0, steps: [unshareStep(NAMESPACE_FLAGS.cgroup)] }),
  time: () => ({ flags: 0, steps: [unshareStep(NAMESPACE_FLAGS.time)] }),
  procfs: () => ({ flags: pid | mount, steps: detachedFilesystemSteps("proc", FREE) }),
};

/** By what rights this process makes containers; throws where it has none. */
export function tryRights(): string {
  if (maySetUpAlone()) return "CAP_SYS_ADMIN";
  const isRoot = effectiveUser() === 0;
  try {
    tryNamespace("user");
  } catch (error) {
    if (!isRoot) throw error;
    const hint = lackHint("CAP_SYS_ADMIN", confinement());
    throw new HakoError({ code: "system", message: "no user namespace", hint });
  }
  // bundles and clients of root don't ask for one
  return isRoot
    ? "in a user namespace, for hako run --rootfs; other containers of root need CAP_SYS_ADMIN"
    : "in a user namespace";
}

/** Makes a namespace of a type, or what a container has in one, and uses it as a container would; throws what fails. */
export function tryNamespace(type: Tried): void {
  const trial = TRIALS[type]();
  const own = maySetUpAlone();
  const flags = trial.flags | (own ? 0 : user);
  try {
    runChild(flags, [CLOSE_FREE, ...trial.steps]);
  } catch (thrown) {
    const error = explainClone(asHakoError(thrown), { flags, born: undefined, joinsPid: false });
    const masked = type === "procfs" && error.errno === "EPERM" && (!own || inUserNamespace());
    if (masked && error.hint === undefined) {
      const hint = `${inUserNamespaceHint("proc", "/proc")}; hako run --rootfs / --weaker proc takes the outer one`;
      throw error.with({ hint });
    }
    // in a user namespace of its own the child has all capabilities
    const confined = confinement();
    throw explainRights(error, own ? confined : { ...confined, capabilities: allCapabilities() });
  }
}

function runChild(flags: number, steps: readonly Step[]): void {
  const all: Step[] = [...steps, { what: "exit", call: "exit_group", args: [0] }];
  using reports = new Reports(all);
  const plan = { flags, cgroup: undefined, join: [], steps: all, waitsForNothing: false };
  const ending = reapChild(cloneChild(plan, reports), true);
  const failed = reports.failure();
  if (failed !== undefined) throw failed;
  if (ending?.signal === undefined) return;
  const message = `signal ${ending.signal} ended the process that tried it`;
  throw new HakoError({ code: "system", message, hint: "a seccomp filter kills for it, perhaps" });
}

/** Makes the cgroups that a container would have here, and removes them. */
export function tryCgroups(): void {
  const { nodes } = openCgroup(undefined, `hako-check-${process.pid}`).record;
  for (const node of nodes) {
    try {
      makeNode(node, false);
    } finally {
      removeNode(node);
    }
    if (node.skipped !== undefined) throw new HakoError({ code: "system", message: node.skipped });
  }
}
