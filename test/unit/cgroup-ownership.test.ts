import { expect, test } from "bun:test";
import { cgroupOwner } from "../../src/cgroup/group/ownership";
import type { Config } from "../../src/oci/config";
import { defaultConfig } from "../../src/oci/default";

const rw = [{ destination: "/sys/fs/cgroup", type: "cgroup", source: "cgroup", options: ["rw"] }];

function config(more: { mounts?: Config["mounts"]; linux?: object; user?: number }): Config {
  const base = defaultConfig({ rootless: false });
  const process = {
    ...(base.process as NonNullable<Config["process"]>),
    user: { uid: more.user ?? 1000, gid: 0 },
  };
  return {
    ...base,
    process,
    mounts: more.mounts ?? rw,
    linux: { ...base.linux, namespaces: [{ type: "cgroup" }], ...more.linux },
  };
}

test("the program's user, as the host numbers it", () => {
  expect(cgroupOwner(config({}))).toBe(1000);
  const mapped = {
    namespaces: [{ type: "cgroup" }, { type: "user" }],
    uidMappings: [{ containerID: 0, hostID: 5000, size: 2000 }],
  };
  expect(cgroupOwner(config({ linux: mapped }))).toBe(6000);
  expect(cgroupOwner(config({ linux: mapped, user: 3000 }))).toBeUndefined();
});

test("nobody without a cgroup namespace of its own, or a mount to write to", () => {
  expect(cgroupOwner(config({ linux: { namespaces: [] } }))).toBeUndefined();
  expect(
    cgroupOwner(config({ linux: { namespaces: [{ type: "cgroup", path: "/proc/1/ns/cgroup" }] } })),
  ).toBeUndefined();
  expect(cgroupOwner(config({ mounts: [] }))).toBeUndefined();
  expect(cgroupOwner(config({ mounts: rw.map((mount) => ({ ...mount, options: ["ro"] })) }))).toBeUndefined();
});
