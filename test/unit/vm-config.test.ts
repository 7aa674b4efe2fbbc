// What of a config.json a container in a machine can have, and which part of it is whose.
import { describe, expect, test } from "bun:test";
import type { SharedNamespaces } from "../../src/drivers/vm/shared-namespaces";
import { guestConfig, hostConfig, refuseUnable } from "../../src/drivers/vm/vm-config";
import { RLIMITS } from "../../src/linux/process/rlimit";
import type { Config, Mount } from "../../src/oci/config";
import { defaultConfig } from "../../src/oci/default";
import { containerId } from "../../src/oci/id";

function config(change: (config: Config) => Config = (same) => same): Config {
  const base = defaultConfig({ rootless: false });
  return change({ ...base, process: { ...base.process, terminal: false } as Config["process"] });
}

const NONE: SharedNamespaces = new Map();

function refusal(change: (config: Config) => Config, shared = NONE): string {
  try {
    refuseUnable(config(change), shared);
    return "";
  } catch (error) {
    return (error as Error).message;
  }
}

const joining = (path: string, base: Config): Config => ({
  ...base,
  linux: { ...base.linux, namespaces: [{ type: "network", path }, ...withoutNetwork(base)] },
});
const withoutNetwork = ({ linux }: Config) =>
  linux?.namespaces?.filter(({ type }) => type !== "network") ?? [];
const withMount = (mount: Mount) => (base: Config) => ({ ...base, mounts: [...(base.mounts ?? []), mount] });
const bind = (options: string[], rest: Partial<Mount> = {}): Mount => ({
  ...{ destination: "/mnt", type: "bind", source: "/srv", options },
  ...rest,
});

describe("a container in a machine", () => {
  test("can have what runc spec writes", () => {
    expect(refusal((same) => same)).toBe("");
  });

  test("of an ordinary user has the guest's sysfs in place of the host's", () => {
    const base = defaultConfig({ rootless: true });
    const namespaces = [...(base.linux?.namespaces ?? []), { type: "network" as const }];
    const rootless = { ...base, linux: { ...base.linux, namespaces } };
    expect(rootless.mounts?.find(({ source }) => source === "/sys")?.options).toContain("rbind");
    refuseUnable(rootless, NONE);
    expect(hostConfig(rootless).mounts?.map(({ destination }) => destination)).not.toContain("/sys");
    expect(
      guestConfig(rootless, "id", NONE).mounts?.find(({ destination }) => destination === "/sys"),
    ).toMatchObject({
      ...{ type: "sysfs", options: expect.not.arrayContaining(["rbind"]) },
    });
    expect(refusal(withMount(bind(["ro"], { source: "/sys/kernel" })))).toContain(
      "/sys/kernel of the host's kernel",
    );
  });

  test("has what it can't have refused by its field", () => {
    const linux = (more: Config["linux"]) => (base: Config) => ({
      ...base,
      linux: { ...base.linux, ...more },
    });
    const process = (more: object) => (base: Config) => ({
      ...base,
      process: { ...base.process, ...more } as Config["process"],
    });
    const without = (type: string) => (base: Config) =>
      linux({ namespaces: base.linux?.namespaces?.filter((each) => each.type !== type) })(base);
    for (const [field, change] of [
      ["/process/apparmorProfile", process({ apparmorProfile: "x" })],
      ["/process/selinuxLabel", process({ selinuxLabel: "x" })],
      ["/linux/mountLabel", linux({ mountLabel: "x" })],
      ["/linux/devices/0", linux({ devices: [{ path: "/dev/x", type: "c", major: 1, minor: 1 }] })],
      ["/linux/netDevices", linux({ netDevices: {} })],
      [
        "/annotations/run.oci.keep_original_groups",
        (base: Config) => ({ ...base, annotations: { "run.oci.keep_original_groups": "1" } }),
      ],
      ["/linux/namespaces", without("network")],
      ["/linux/namespaces", without("mount")],
      ["/linux/namespaces", without("pid")],
      ["/linux/namespaces", (base: Config) => joining("/proc/1/ns/net", base)],
      [
        "/linux/namespaces",
        linux({ namespaces: [...(config().linux?.namespaces ?? []), { type: "user", path: "/x" }] }),
      ],
    ] as const) {
      const said = refusal(change);
      expect(said).toStartWith(`config ${field}: `);
      expect(said).toEndWith('the driver "vm" can\'t do this');
    }
  });

  test("may have a network namespace that others have made; it has one of its own in the guest", () => {
    expect(refusal((base) => joining("/run/netns/x", base))).toBe("");
    const network = guestConfig(joining("/run/netns/x", config()), "c", NONE).linux?.namespaces;
    expect(network?.filter(({ type }) => type === "network")).toEqual([{ type: "network" }]);
  });

  test("with a terminal has one on the host, too", () => {
    const terminal = (base: Config) => ({
      ...base,
      process: { ...base.process, terminal: true } as Config["process"],
    });
    expect(refusal(terminal)).toBe("");
    const { process, mounts } = hostConfig(config(terminal));
    expect(process?.terminal).toBeTrue();
    expect(mounts?.map(({ type }) => type)).toEqual(["tmpfs", "devpts", "tmpfs"]);
  });

  test("may have bind mounts, but none of the kernel's files", () => {
    for (const mount of [
      bind(["ro"]),
      bind(["rbind", "rw", "ro"]),
      bind(["rro"]),
      bind(["bind"], { type: "none", options: ["bind", "ro"] }),
      bind([], { destination: "/etc/hosts" }),
      bind(["rw"], { destination: "/dev/shm" }),
      bind([]),
    ])
      expect(refusal(withMount(mount))).toBe("");
    for (const mount of [
      bind(["remount", "ro"]),
      bind(["ro"], { source: "/proc" }),
      bind(["ro"], { source: "/tmp/..//proc/sys" }),
      bind(["ro"], { source: "/sys/fs/cgroup" }),
      bind([], { type: "ext4", source: "/dev/sda" }),
      bind([], { type: "overlay", source: "overlay" }),
    ])
      expect(refusal(withMount(mount))).toStartWith("config /mounts/");
  });
});

const HOOKS: Config["hooks"] = {
  createRuntime: [{ path: "/runtime" }],
  createContainer: [{ path: "/create" }],
  startContainer: [{ path: "/start" }],
};

describe("what is the host's", () => {
  test("is the tree of files, without file systems of the kernel, limits and rights", () => {
    const given = config((base) => ({ ...withMount(bind(["ro"]))(base), hooks: HOOKS }));
    const { process, mounts, linux, hooks } = hostConfig(given);
    expect(hooks).toEqual({ ...HOOKS, startContainer: undefined });
    expect(mounts?.map(({ type }) => type)).toEqual(["tmpfs", "tmpfs", "bind"]);
    expect(process).toMatchObject({
      args: ["hako-stand-in"],
      capabilities: {},
      noNewPrivileges: true,
      cwd: "/",
    });
    expect(process?.rlimits).toBeUndefined();
    expect([linux?.seccomp, linux?.sysctl, linux?.resources?.memory]).toEqual([
      undefined,
      undefined,
      undefined,
    ]);
    expect(linux?.namespaces).toEqual(given.linux?.namespaces ?? []);
  });
});

describe("what is the guest's", () => {
  test("is all of it; hooks at the start alone, no choice of a driver, a cgroup of its own", () => {
    const given = config((base) => ({
      ...withMount(bind(["ro"], { uidMappings: [{ containerID: 0, hostID: 1, size: 1 }] }))(base),
      hooks: HOOKS,
      annotations: { "org.hako.driver": "vm", other: "kept" },
      linux: {
        ...base.linux,
        sysctl: {
          "net.ipv4.conf.all.forwarding": "1",
          "net.ipv4.conf.eth0/1.forwarding": "1",
          "net/ipv6/neigh/e.0/mcast_solicit": "1",
        },
        cgroupsPath: "system.slice:a:b",
        resources: { memory: { limit: 1 } },
      },
    }));
    const guest = guestConfig(given, "c1", NONE);
    // of what is there before there is a network card
    expect(guest.linux?.sysctl).toEqual({ "net.ipv4.conf.all.forwarding": "1" });
    expect(guest.hooks).toEqual({ startContainer: [{ path: "/start", timeout: 60 }] });
    expect(guestConfig(config(), "c1", NONE).hooks).toBeUndefined();
    expect(guest.annotations).toEqual({ other: "kept" });
    expect(guest.linux).toMatchObject({ cgroupsPath: "/hako/c1", resources: { memory: { limit: 1 } } });
    expect({ ...guest.process, rlimits: undefined }).toEqual({ ...given.process, rlimits: undefined });
    // the host has them from its caller, where it is not told otherwise
    expect(guest.process?.rlimits?.slice(0, 1)).toEqual([{ type: "RLIMIT_NOFILE", hard: 1024, soft: 1024 }]);
    expect(new Set<string>(guest.process?.rlimits?.map(({ type }) => type))).toEqual(
      new Set(Object.keys(RLIMITS)),
    );
    expect(guest.mounts?.at(-1)).toEqual({ ...bind(["ro"]), type: "bind" });
    // memory that the host shares with others is not the guest's
    const at = (destination: string) =>
      guestConfig(config(withMount(bind([], { destination }))), "c", NONE).mounts?.at(-1);
    expect(at("/dev/./shm/")).toMatchObject({ destination: "/dev/shm", type: "shm", source: "c" });
    // where the host's tree has it
    expect(at("/mnt/b/..//a")).toMatchObject({ destination: "/mnt/a" });
  });

  test("is another container's as far as that is in its machine, and has the namespace that is joined", () => {
    const path = "/proc/1/ns/ipc";
    const joining = (type: string) => (base: Config) =>
      ({
        ...withMount(bind([], { destination: "/dev/shm" }))(base),
        linux: {
          ...base.linux,
          namespaces: [
            ...(base.linux?.namespaces ?? []).filter((each) => each.type !== type),
            { type, path },
          ],
        },
      }) as Config;
    const shared: SharedNamespaces = new Map([
      ["ipc", containerId("first")],
      ["mount", containerId("first")],
    ]);
    expect(refusal(joining("ipc"), shared)).toBe("");
    expect(refusal(joining("ipc"))).toContain(`the ipc namespace ${path}`);
    expect(refusal(joining("uts"), shared)).toContain(`the uts namespace ${path}`);
    // its files are its own
    expect(refusal(joining("mount"), shared)).toContain(`the mount namespace ${path}`);
    const guest = guestConfig(config(joining("ipc")), "second", shared);
    expect(guest.linux?.namespaces).toContainEqual({ type: "ipc", path: "container:first" });
    expect(guest.mounts?.at(-1)).toMatchObject({ type: "shm", source: "first" });
  });
});
