import { HakoError } from "../../base/errors";
import { cleanPath, isAtOrBelow } from "../../linux/file/path-text";
import { DRIVER_ANNOTATION, KATA_CONFIG_ANNOTATION, KEEP_GROUPS_ANNOTATION } from "../../oci/annotations";
import type { Config, Mount } from "../../oci/config";
import { keepsGroups } from "../../oci/groups";
import { isBind, planOf } from "../../oci/mount-options";
import { hasNamespace, joinedNamespace } from "../../oci/namespaces";
import { withCallersLimits } from "./caller-limits";
import { OF_CONTAINER, SHARED_MEMORY } from "./channel/agent-protocol";
import { withoutCpuset } from "./cpu-sets";
import { isBoundSysfs } from "./files/container-files";
import { divideSysctls } from "./network/interface-sysctls";
import type { SharedNamespaces } from "./shared-namespaces";

/** File systems of a kernel: the guest's, never the host's. */
const OF_KERNEL: ReadonlySet<string> = new Set(["proc", "sysfs", "devpts", "mqueue", "cgroup", "cgroup2"]);
/** What is there in memory of the guest's, or of the container's. */
const KNOWN: ReadonlySet<string> = new Set([...OF_KERNEL, "tmpfs"]);
/** Devices without hardware, which a guest has as well: null, zero, full, random, urandom, tty, ptmx, fuse (admin-guide/devices.txt). */
const OF_ANY_KERNEL: ReadonlySet<string> = new Set([
  ...["1:3", "1:5", "1:7", "1:8", "1:9", "5:0", "5:2", "10:229"],
]);
/** Where the guest's kernel has the cgroups of containers. */
const CGROUPS = "/hako";
/** How long a hook in the guest may take that does not say so: nobody else can speak to the machine meanwhile. */
export const HOOK_SECONDS = 60;
/** The namespaces of a process, which has them for itself. */
const OF_PROCESS = /^\/proc\//;

type Namespace = NonNullable<NonNullable<Config["linux"]>["namespaces"]>[number];

/** What a container in a machine can't have yet, by the field that asks for it. */
export function refuseUnable(config: Config, shared: SharedNamespaces): void {
  for (const [field, why] of unable(config, shared)) {
    if (why === undefined) continue;
    throw new HakoError({
      code: "unsupported",
      message: `config ${field}: ${why}: the driver "vm" can't do this`,
    });
  }
}

function* unable(config: Config, shared: SharedNamespaces): Generator<readonly [string, string | undefined]> {
  const { process, linux, mounts = [] } = config;
  const given = (value: string | undefined, what: string) =>
    value === undefined || value === "" ? undefined : `${what} ${value}`;
  yield ["/process/apparmorProfile", given(process?.apparmorProfile, "the profile")];
  yield ["/process/selinuxLabel", given(process?.selinuxLabel, "the label")];
  yield [
    `/annotations/${KEEP_GROUPS_ANNOTATION}`,
    keepsGroups(config) ? "groups of the host's that the caller has" : undefined,
  ];
  yield ["/linux/mountLabel", given(linux?.mountLabel, "the label")];
  for (const [index, { type, major, minor, path }] of (linux?.devices ?? []).entries())
    yield [
      `/linux/devices/${index}`,
      type === "c" && OF_ANY_KERNEL.has(`${major}:${minor}`) ? undefined : `${path}, a device of the host`,
    ];
  yield ["/linux/netDevices", linux?.netDevices === undefined ? undefined : "network devices of the host"];
  yield ["/linux/memoryPolicy", linux?.memoryPolicy === undefined ? undefined : "nodes of the host's memory"];
  yield ["/linux/namespaces", namespaceProblem(config, shared)];
  for (const [index, mount] of mounts.entries()) yield [`/mounts/${index}`, mountProblem(mount)];
}

function namespaceProblem(config: Config, shared: SharedNamespaces): string | undefined {
  if (!hasNamespace(config, "network")) return "the host's network";
  if (!hasNamespace(config, "mount")) return "the host's mounts";
  if (!hasNamespace(config, "pid")) return "the host's processes";
  const joined = config.linux?.namespaces?.find(
    ({ type, path = "" }) =>
      joinedNamespace(config, type) !== undefined &&
      (type === "mount" || !shared.has(type)) &&
      (type !== "network" || OF_PROCESS.test(path)),
  );
  return joined === undefined ? undefined : `the ${joined.type} namespace ${joined.path}`;
}

function mountProblem(mount: Mount): string | undefined {
  const { type = "", source = "", options = [] } = mount;
  if (planOf(options).remount) return "a change of another mount";
  if (!isBind(mount)) return KNOWN.has(type) ? undefined : `a mount of type ${type}`;
  if (isBoundSysfs(mount)) return undefined;
  if (["/proc", "/sys"].some((top) => isAtOrBelow(cleanPath(source), top)))
    return `${source} of the host's kernel`;
  return undefined;
}

/**
 * Which of the host's files a container has: what its stand-in on the host is made from. Limits and rights are the program's, which isn't there,
 * and so are hooks at its start. Those of createContainer are programs of the host's, and see the mounts that the guest gets (config.md).
 */
export function hostConfig(config: Config): Config {
  const { process, linux, mounts = [], hooks, ...rest } = config;
  const terminal = process?.terminal === true;
  const isOfHost = (mount: Mount) =>
    !isBoundSysfs(mount) &&
    (isBind(mount) || !OF_KERNEL.has(mount.type ?? "") || (terminal && mount.type === "devpts"));
  return {
    ...rest,
    hooks: withoutStartHooks(hooks),
    process: {
      terminal,
      consoleSize: process?.consoleSize,
      user: process?.user ?? { uid: 0, gid: 0 },
      args: ["hako-stand-in"],
      env: [],
      cwd: "/",
      capabilities: {},
      noNewPrivileges: true,
    },
    mounts: mounts.filter(isOfHost),
    linux: {
      ...linux,
      // processes of the same pid namespace could get at what a stand-in has
      namespaces: linux?.namespaces?.map((each) => (each.type === "pid" ? { type: "pid" } : each)),
      // QEMU is in the container's cgroup
      resources: { devices: [{ allow: false, access: "rwm" }, KVM_RULE] },
      devices: undefined,
      seccomp: undefined,
      sysctl: undefined,
      personality: undefined,
      timeOffsets: undefined,
    },
  };
}

/** Hooks but those that the guest runs. */
export function withoutStartHooks(hooks: Config["hooks"]): Config["hooks"] {
  return hooks && { ...hooks, startContainer: undefined };
}

const KVM_RULE = { allow: true, type: "c", major: 10, minor: 232, access: "rw" } as const;

/**
 * The container as the guest makes it: bind mounts are places of the host's tree, by their destinations, and namespaces of other containers of the
 * machine are called "container:ID".
 */
export function guestConfig(config: Config, id: string, shared: SharedNamespaces): Config {
  const { process, linux, mounts = [], hooks, annotations = {}, ...rest } = config;
  // they say what isolates the container, of which the host has said its own
  const others = Object.entries(annotations).filter(
    ([name]) => name !== DRIVER_ANNOTATION && !KATA_CONFIG_ANNOTATION.test(name),
  );
  return {
    ...rest,
    hooks: hooks && {
      startContainer: hooks.startContainer?.map((hook) => ({ timeout: HOOK_SECONDS, ...hook })),
    },
    annotations: Object.fromEntries(others),
    process: process && withCallersLimits(process),
    mounts: mounts.map((mount) => guestMount(mount, shared.get("ipc") ?? id)),
    linux: {
      ...linux,
      namespaces: linux?.namespaces?.map((each) => {
        const owner = shared.get(each.type);
        return owner === undefined ? inGuest(each) : { ...each, path: `${OF_CONTAINER}${owner}` };
      }),
      resources: linux?.resources && withoutCpuset(linux.resources),
      // those of interfaces come with these
      sysctl: linux?.sysctl && divideSysctls(linux.sysctl).others,
      cgroupsPath: `${CGROUPS}/${id}`,
    },
  };
}

/** One of the host's that others have made is a new one in the guest, which is made to be like it (machine-network.ts). */
function inGuest(namespace: Namespace): Namespace {
  return namespace.type === "network" ? { type: "network" } : namespace;
}

const SYSFS: Mount = {
  ...{ destination: "/sys", type: "sysfs", source: "sysfs" },
  options: ["nosuid", "noexec", "nodev", "ro"],
};

/** Who has the same IPC namespace has the same /dev/shm: that of `ipc`. */
function guestMount(mount: Mount, ipc: string): Mount {
  if (!isBind(mount)) return mount;
  if (isBoundSysfs(mount)) return SYSFS;
  // where the host has mounted it, which is where its tree has it
  const destination = cleanPath(mount.destination);
  if (destination === "/dev/shm")
    return {
      ...{ destination: "/dev/shm", type: SHARED_MEMORY, source: ipc },
      options: ["bind", "nosuid", "noexec", "nodev"],
    };
  // whose owners are mapped has them so in the tree
  const { uidMappings: _, gidMappings: __, ...rest } = mount;
  return { ...rest, destination, type: "bind" };
}
