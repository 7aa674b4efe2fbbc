import { COMMIT, SPEC_VERSION, VERSION } from "../base/hako-version";
import { CAPABILITIES } from "../linux/process/capabilities";
import { MEMORY_POLICIES, MEMORY_POLICY_FLAGS } from "../linux/process/memory-policy";
import { NAMESPACE_FLAGS } from "../linux/process/namespace";
import { FEATURES_ANNOTATIONS, UNSAFE_ANNOTATIONS } from "../oci/annotations";
import { MOUNT_OPTIONS } from "../oci/mount-options";
import { ACTIONS, ARCHITECTURES, FLAGS, FOREIGN_ARCHITECTURES, OPERATORS } from "../oci/seccomp-words";

/**
 * What this executable can do on any host (runtime-spec features.md). `checkpoints` says whether the host has criu: callers look for that
 * under the name that runc and crun give it.
 */
export function features(checkpoints: boolean): Record<string, unknown> {
  return {
    ociVersionMin: "1.0.0",
    ociVersionMax: SPEC_VERSION,
    hooks: ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"],
    mountOptions: [...MOUNT_OPTIONS.keys()].sort(),
    linux: {
      namespaces: Object.keys(NAMESPACE_FLAGS).sort(),
      capabilities: CAPABILITIES,
      cgroup: { v1: true, v2: true, systemd: true, systemdUser: true, rdma: true },
      seccomp: {
        enabled: true,
        actions: Object.keys(ACTIONS).sort(),
        operators: [...OPERATORS].sort(),
        archs: [...Object.keys(ARCHITECTURES), ...FOREIGN_ARCHITECTURES].sort(),
        knownFlags: Object.keys(FLAGS),
        supportedFlags: Object.keys(FLAGS),
      },
      apparmor: { enabled: true },
      selinux: { enabled: true },
      intelRdt: { enabled: true, schemata: true, monitoring: true },
      memoryPolicy: { modes: Object.keys(MEMORY_POLICIES), flags: Object.keys(MEMORY_POLICY_FLAGS) },
      mountExtensions: { idmap: { enabled: true } },
      netDevices: { enabled: true },
    },
    annotations: {
      [FEATURES_ANNOTATIONS.version]: VERSION,
      [FEATURES_ANNOTATIONS.commit]: COMMIT,
      [FEATURES_ANNOTATIONS.checkpoint]: String(checkpoints),
    },
    potentiallyUnsafeConfigAnnotations: UNSAFE_ANNOTATIONS,
  };
}
