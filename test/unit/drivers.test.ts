import { describe, expect, test } from "bun:test";
import { checkAbilities, driverFor, driverOf, need } from "../../src/drivers";
import type { Abilities, SandboxDriver } from "../../src/drivers/interface/driver";
import { plainRemoval } from "../../src/drivers/namespaces/plain-removal";
import type { Config } from "../../src/oci/config";
import type { ContainerRecord } from "../../src/state/record";

const CAN_NOTHING: Abilities = {
  checkpoint: false,
  seccompListener: false,
  intelRdt: false,
};
const driver = { name: "namespaces", can: CAN_NOTHING } as SandboxDriver;

describe("which driver", () => {
  test("a record without one is of namespaces, which is the one of a config that names none", () => {
    expect(driverOf({}).name).toBe("namespaces");
    expect(driverOf({ driver: "namespaces" })).toBe(driverFor({ ociVersion: "1.3.0" }));
  });

  test("an annotation may ask for a machine, and nothing can ask for less", () => {
    const annotations = { "org.hako.driver": "vm" };
    expect(driverFor({ ociVersion: "1.3.0", annotations }).name).toBe("vm");
    expect(driverFor({ ociVersion: "1.3.0", annotations }, "namespaces").name).toBe("vm");
    expect(driverFor({ ociVersion: "1.3.0" }, "vm").name).toBe("vm");
    expect(driverOf({ driver: "vm" }).name).toBe("vm");
  });

  test("what it can't do is refused by the name of what was asked", () => {
    for (const ability of Object.keys(CAN_NOTHING) as (keyof Abilities)[]) {
      expect(() => need(driver, ability, "ps")).toThrow('ps: the driver "namespaces" can\'t do this');
      need({ ...driver, can: { ...CAN_NOTHING, [ability]: true } }, ability, "ps");
    }
    const config = (linux: Config["linux"]): Config => ({ ociVersion: "1.3.0", linux });
    const listens = config({ seccomp: { defaultAction: "SCMP_ACT_NOTIFY", listenerPath: "/x" } });
    expect(() => checkAbilities(driver, listens)).toThrow("config /linux/seccomp/listenerPath: the driver");
    expect(() => checkAbilities(driver, config({ intelRdt: {} }))).toThrow(
      "config /linux/intelRdt: the driver",
    );
    checkAbilities(driver, config({ seccomp: { defaultAction: "SCMP_ACT_ALLOW" } }));
  });
});

describe("what a program can remove in hako's place", () => {
  const node = (mountpoint: string, path: string, unified: boolean) => ({
    ...{ mountpoint, path, unified, name: "x", controllers: [] },
    made: [mountpoint + path, `${mountpoint}/a`],
  });
  const nodes = [node("/cg/memory", "/a/b", false), node("/cg/unified", "/a/b", true)];
  const removal = (more: Partial<ContainerRecord>) =>
    plainRemoval({ ownPidNamespace: true, cgroup: { version: "v1", nodes }, ...more } as ContainerRecord);

  test("its cgroups, then those above; with others' processes in it a kill before", () => {
    const directories = {
      cgroups: ["/cg/memory/a/b", "/cg/unified/a/b"],
      above: ["/cg/memory/a", "/cg/unified/a"],
      emptied: true,
    };
    expect(removal({})).toEqual({ ...directories, kill: undefined });
    const kill = "/cg/unified/a/b/cgroup.kill";
    expect(removal({ ownPidNamespace: false })).toEqual({ ...directories, kill });
    const [v1] = nodes.map((one) => ({ version: "v1" as const, nodes: [one] }));
    expect(removal({ ownPidNamespace: false, cgroup: v1 })).toMatchObject({
      kill: undefined,
      emptied: false,
    });
    expect(removal({ cgroup: undefined })).toMatchObject({ kill: undefined, cgroups: [], above: [] });
  });

  test("nothing where more has to be done", () => {
    expect(removal({ resctrl: [] })).toBeUndefined();
    expect(removal({ hostMounts: { path: "/r", before: 0 } })).toBeUndefined();
    const unit = { name: "x.scope", scope: "system" as const, description: "", started: true };
    expect(removal({ cgroup: { version: "v1", nodes, unit } })).toBeUndefined();
    const root = { version: "v1" as const, nodes: [node("/cg/memory", "/", false)] };
    expect(removal({ cgroup: root, ownPidNamespace: false })).toBeUndefined();
    expect(removal({ cgroup: root })).toBeDefined();
  });
});
