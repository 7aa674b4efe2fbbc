import { describe, expect, test } from "bun:test";
import type { CgroupManager } from "../../src/oci/cgroup-managers";
import { cgroupsPathProblems } from "../../src/oci/cgroups-path";
import { defaultConfig } from "../../src/oci/default";

function problems(cgroupsPath: string | undefined, manager: CgroupManager): string[] {
  const config = defaultConfig({ rootless: false });
  const linux = { ...config.linux, cgroupsPath };
  return cgroupsPathProblems({ ...config, linux }, manager).map(
    ({ pointer, message }) => `${pointer}: ${message}`,
  );
}

describe("a cgroupsPath is in the form of the cgroup manager", () => {
  test("a path for systemd without systemd is refused, with the flag to give", () => {
    const [problem, ...more] = problems("system.slice:hako:web", "cgroupfs");
    expect(problem).toMatch(/^\/linux\/cgroupsPath: "system.slice:hako:web" .*--systemd-cgroup/);
    expect(more).toEqual([]);
    expect(problems("/a/b", "cgroupfs")).toEqual([]);
    expect(problems(undefined, "cgroupfs")).toEqual([]);
  });

  // kata's table: with systemd everything but slice:prefix:name is an error
  test.each(["/kata/x", "slice:kata", "../../../", "o / m /../ g", "a:b:c:d", ":", "a:b:", "a b.slice:c:d"])(
    "%p with systemd is refused",
    (path) => {
      expect(problems(path, "systemd")[0]).toMatch(/^\/linux\/cgroupsPath: /);
    },
  );

  test("systemd's form with systemd, and none", () => {
    for (const path of ["foo.slice:kata:afhts2e5d4g5s", ":hako:web", "-.slice::web", undefined, ""]) {
      expect(problems(path, "systemd")).toEqual([]);
    }
  });

  test("without cgroups no path matters", () => {
    for (const path of ["system.slice:hako:web", "/a", "a:b"]) expect(problems(path, "disabled")).toEqual([]);
  });
});
