// Pods as clients annotate them: what the tests of sandboxes make.
import { readlinkSync } from "node:fs";
import { type Box, type BundleConfig, SLEEP } from "./support";

type Type = "sandbox" | "container";

/** How a client says it, as seen in the config.json that it writes. */
export const CLIENTS: Record<string, (type: Type, sandbox: string) => Record<string, string>> = {
  "CRI-O": (type, sandbox) => ({
    "io.kubernetes.cri-o.ContainerType": type,
    "io.kubernetes.cri-o.SandboxID": sandbox,
    "io.kubernetes.pod.name": "web",
  }),
  containerd: (type, sandbox) => ({
    "io.kubernetes.cri.container-type": type,
    "io.kubernetes.cri.sandbox-id": sandbox,
    "io.kubernetes.cri.sandbox-name": "web",
  }),
  kata: (type, sandbox) => ({
    "io.katacontainers.pkg.oci.container_type": `pod_${type}`,
    "io.katacontainers.pkg.oci.sandbox_id": sandbox,
  }),
};
export type Annotate = (typeof CLIENTS)[string];
export const crio = CLIENTS["CRI-O"] as Annotate;
export const podman: Annotate = (type, sandbox) => ({
  ...crio(type, sandbox),
  "io.container.manager": "libpod",
});

export const SHARED = ["network", "ipc", "uts"];
const PROC_NAMES: Record<string, string> = { network: "net", ipc: "ipc", uts: "uts", pid: "pid" };

/** Joins the namespaces of a process, as clients write it. */
export function joining(pid: number, types: readonly string[] = SHARED) {
  return ({ linux }: BundleConfig) => {
    linux.namespaces = linux.namespaces.map(({ type }) =>
      types.includes(type) ? { type, path: `/proc/${pid}/ns/${PROC_NAMES[type]}` } : { type },
    );
  };
}

export interface Pod {
  sandbox: string;
  pid: number;
}

/** A pod's sandbox container, running. */
export function startPod(box: Box, annotate: Annotate, mutate?: (config: BundleConfig) => void): Pod {
  const sandbox = box.id();
  box.ok("create", "--bundle", podBundle(box, annotate("sandbox", sandbox), mutate), sandbox);
  box.ok("start", sandbox);
  return { sandbox, pid: box.state(sandbox).pid };
}

export function podBundle(
  box: Box,
  annotations: Record<string, string>,
  mutate = (_: BundleConfig) => {},
): string {
  return box.bundle(SLEEP, (config) => {
    config.annotations = annotations;
    mutate(config);
  });
}

/** A container in a pod, running, beside the sandbox's. */
export function startInPod(
  box: Box,
  annotate: Annotate,
  pod: Pod,
  types: readonly string[] = SHARED,
  mutate = (_: BundleConfig) => {},
): string {
  const id = box.id();
  const bundle = podBundle(box, annotate("container", pod.sandbox), (config) => {
    if (types.includes("uts")) delete config.hostname;
    joining(pod.pid, types)(config);
    mutate(config);
  });
  box.ok("create", "--bundle", bundle, id);
  box.ok("start", id);
  return id;
}

export interface Shown {
  id: string;
  status: string;
  containers: { id: string; type?: string; status: string; pid: number; cgroup?: string }[];
  use: { memory: number; cpu: number; processes: number };
}

export function show(box: Box, sandbox: string): Shown {
  return JSON.parse(box.ok("sandbox", "show", sandbox, "--format", "json").stdout);
}

export function namespace(pid: number, name: string): string {
  return readlinkSync(`/proc/${pid}/ns/${name}`);
}
