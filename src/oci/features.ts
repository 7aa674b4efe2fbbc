import { MOUNT_OPTIONS } from "../init/mount-options";
import { CAPABILITIES } from "../linux/capabilities";
import { NAMESPACE_FLAGS } from "../linux/namespace";
import { ACTIONS, ARCHITECTURES, FLAGS, FOREIGN_ARCHITECTURES, OPERATORS } from "../seccomp/words";
import { COMMIT, SPEC_VERSION, VERSION } from "../version";

/** Annotations that change what this runtime does, for those who filter what strangers may set: none does. */
const UNSAFE_ANNOTATIONS: readonly string[] = [];

/** What this executable can do, whatever the host (runtime-spec features.md). */
export function features(): Record<string, unknown> {
  return {
    ociVersionMin: "1.0.0",
    ociVersionMax: SPEC_VERSION,
    hooks: ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"],
    mountOptions: [...MOUNT_OPTIONS.keys()].sort(),
    linux: {
      namespaces: Object.keys(NAMESPACE_FLAGS)
        .filter((type) => type !== "time")
        .sort(),
      capabilities: CAPABILITIES,
      cgroup: { v1: true, v2: true, systemd: false, systemdUser: false, rdma: false },
      seccomp: {
        enabled: true,
        actions: Object.keys(ACTIONS).sort(),
        operators: [...OPERATORS].sort(),
        archs: [...Object.keys(ARCHITECTURES), ...FOREIGN_ARCHITECTURES].sort(),
        knownFlags: Object.keys(FLAGS),
        supportedFlags: Object.keys(FLAGS),
      },
      apparmor: { enabled: false },
      selinux: { enabled: false },
      intelRdt: { enabled: false },
      memoryPolicy: {},
      mountExtensions: { idmap: { enabled: false } },
      netDevices: { enabled: false },
    },
    annotations: { "org.hako.version": VERSION, "org.hako.commit": COMMIT },
    potentiallyUnsafeConfigAnnotations: UNSAFE_ANNOTATIONS,
  };
}
