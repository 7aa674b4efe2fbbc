/** Names of annotations, all of them: whose they are, and what hako does with them. */

interface PodAnnotations {
  /** Its value is the container's type. */
  type: string;
  /** Its value is the id of the sandbox. */
  sandbox: string;
  /** Words for the two types beside "sandbox" and "container". */
  sandboxWord?: string;
  containerWord?: string;
}

/** A container's place in a pod: CRI-O's, containerd's, dockershim's and kata's. */
export const POD_ANNOTATIONS: readonly PodAnnotations[] = [
  { type: "io.kubernetes.cri-o.ContainerType", sandbox: "io.kubernetes.cri-o.SandboxID" },
  { type: "io.kubernetes.cri.container-type", sandbox: "io.kubernetes.cri.sandbox-id" },
  { type: "io.kubernetes.docker.type", sandbox: "io.kubernetes.sandbox.id", sandboxWord: "podsandbox" },
  {
    type: "io.katacontainers.pkg.oci.container_type",
    sandbox: "io.katacontainers.pkg.oci.sandbox_id",
    sandboxWord: "pod_sandbox",
    containerWord: "pod_container",
  },
];

/** Who made the container; podman writes "libpod". */
export const MANAGER_ANNOTATION = "io.container.manager";

/** crun's: "1" keeps the caller's groups; what podman writes for `--group-add keep-groups`. */
export const KEEP_GROUPS_ANNOTATION = "run.oci.keep_original_groups";

/** crun's: another handler runs the container, such as krun in a machine, or wasm. */
export const HANDLER_ANNOTATION = "run.oci.handler";

/** crun's: a filter in BPF in place of the profile (base64). */
export const FILTER_ANNOTATION = "run.oci.seccomp_bpf_data";

/** What kata-runtime is told about a container's machine. */
export const KATA_CONFIG_ANNOTATION = /^io\.katacontainers\.config(_path$|\.)/;

/** The beginning of annotations that set properties of the systemd unit (runc's docs/systemd.md, "Auxiliary properties"). */
export const UNIT_PROPERTY_PREFIX = "org.systemd.property.";

/** runc's: a file of criu's settings in place of the host's. */
export const CRIU_CONFIG_ANNOTATION = "org.criu.config";

/** Annotations that change what hako does. Who runs bundles of strangers filters these; `features` names them. */
export const UNSAFE_ANNOTATIONS: readonly string[] = [
  UNIT_PROPERTY_PREFIX,
  CRIU_CONFIG_ANNOTATION,
  KEEP_GROUPS_ANNOTATION,
];

/** Of the answer to `features`: hako's own, and one by which callers ask runc. */
export const FEATURES_ANNOTATIONS = {
  version: "org.hako.version",
  commit: "org.hako.commit",
  checkpoint: "org.opencontainers.runc.checkpoint.enabled",
} as const;
