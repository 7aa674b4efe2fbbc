/** The names of all annotations that hako reads or writes. */

/** The signal by which an image's program wants to be stopped, as clients hand it on (image spec, conversion.md). */
export const STOP_SIGNAL = "org.opencontainers.image.stopSignal";

interface PodAnnotations {
  /** The annotation whose value is the container's type. */
  type: string;
  /** The annotation whose value is the id of the sandbox. */
  sandbox: string;
  /** Words for the two types beside "sandbox" and "container". */
  sandboxWord?: string;
  containerWord?: string;
}

/** Annotations that say which place a container has in a pod: those of CRI-O, containerd, dockershim and kata. */
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

/** crun: with "1" the program keeps the groups of the caller. podman writes it for `--group-add keep-groups`. */
export const KEEP_GROUPS_ANNOTATION = "run.oci.keep_original_groups";

/** crun: another handler runs the container, such as krun in a virtual machine, or wasm. */
export const HANDLER_ANNOTATION = "run.oci.handler";

/** crun: a compiled seccomp filter (base64) in place of the profile. */
export const FILTER_ANNOTATION = "run.oci.seccomp_bpf_data";

/** What isolates the container: "vm" is a machine of its own; nothing weaker can be asked for. */
export const DRIVER_ANNOTATION = "org.hako.driver";

/** With "private", what the container writes to its root file system may end with it (drivers/vm). */
export const ROOTFS_ANNOTATION = "org.hako.rootfs";

/** With "none", what a container in a machine knows of files is asked of the host each time (drivers/vm/files). */
export const CACHE_ANNOTATION = "org.hako.files.cache";

/** The policy of `run --policy`, and a list in JSON of what it protects and was not there when the command began. */
export const POLICY_ANNOTATION = "org.hako.policy";
export const UNPROTECTED_ANNOTATION = "org.hako.policy.unprotected";

/** What `run --rootfs` hides or protects in what is written, as files of the host were when the command began: JSON. */
export const GUARDED_ANNOTATION = "org.hako.guarded";

/** kata-runtime: settings of the container's virtual machine. */
export const KATA_CONFIG_ANNOTATION = /^io\.katacontainers\.config(_path$|\.)/;

/** runc: a property of the systemd unit has this prefix before its name (docs/systemd.md, "Auxiliary properties"). */
export const UNIT_PROPERTY_PREFIX = "org.systemd.property.";

/** runc: a file with settings of criu, in place of the host's. */
export const CRIU_CONFIG_ANNOTATION = "org.criu.config";

/** Annotations that change what hako does. Who runs bundles of strangers filters these; `features` names them. */
export const UNSAFE_ANNOTATIONS: readonly string[] = [
  UNIT_PROPERTY_PREFIX,
  CRIU_CONFIG_ANNOTATION,
  KEEP_GROUPS_ANNOTATION,
];

/** Annotations in the output of `features`: hako's own, and one by which callers of runc look for checkpoints. */
export const FEATURES_ANNOTATIONS = {
  version: "org.hako.version",
  commit: "org.hako.commit",
  checkpoint: "org.opencontainers.runc.checkpoint.enabled",
} as const;
