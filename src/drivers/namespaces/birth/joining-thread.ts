import { capabilityBit, effectiveCapabilities } from "../../../linux/process/capabilities";
import type { NamespaceType } from "../../../linux/process/namespace";
import { inUserNamespace } from "../../../linux/process/rootless";
import type { Config } from "../../../oci/config";
import { copiesUp } from "./cgroup-order";
import type { NamespacePlan } from "./namespaces";

/** Namespaces of the container that this thread has to be in to act in place of the process. */
export function joinedTypes({ created, joined }: NamespacePlan): ReadonlySet<NamespaceType> {
  return new Set([...created, ...joined.map(({ type }) => type)]);
}

const MAY_JOIN =
  capabilityBit("CAP_SYS_ADMIN") | capabilityBit("CAP_SYS_CHROOT") | capabilityBit("CAP_SYS_PTRACE");

/**
 * Whether this thread may make the mounts: in a mount namespace that is the container's own, without a user namespace, which a
 * process of several threads can't join. Not where the one who makes them decides: a root directory without pivot_root, memory of
 * what is copied up, a cgroup namespace. Nor without the rights to join a process that nobody may look at, as in a container that
 * hako runs in (ptrace(2) "access mode", setns(2)).
 */
export function threadMayJoin(
  { config, noPivot }: { config: Config; noPivot: boolean },
  namespaces: NamespacePlan,
): boolean {
  const { created, joined } = namespaces;
  if (noPivot || !created.has("mount") || namespaces.has("user")) return false;
  if ((effectiveCapabilities() & MAY_JOIN) !== MAY_JOIN) return false;
  // the way home may be closed: our mount namespace may be an outer user namespace's
  if (inUserNamespace()) return false;
  return !joined.some(({ type }) => type === "cgroup") && !copiesUp(config);
}
