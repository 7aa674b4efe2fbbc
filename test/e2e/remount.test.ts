// Mounts that are there already get other options: remount of config.json.
import { describe, expect } from "bun:test";
import { Box, type BundleConfig, e2e, needsHako } from "./support";

/** The line of /proc/mounts for a place, in a container with one more mount. */
function mounted(place: string, ...mounts: BundleConfig["mounts"]): string {
  using box = new Box();
  return box.sh(`grep ' ${place} ' /proc/mounts`, (config) => {
    config.mounts.push(...mounts);
  });
}

const remount = (destination: string, ...options: string[]) => ({
  destination,
  type: "tmpfs",
  source: "tmpfs",
  options: ["remount", ...options],
});

describe("remount", () => {
  e2e("options of the file system", () => {
    expect(mounted("/dev/shm", remount("/dev/shm", "nosuid", "size=1m"))).toMatch(
      /^\S+ \/dev\/shm tmpfs rw,nosuid,\S*size=1024k/,
    );
  });

  e2e("flags of every file system, and attributes of the mount: what is not said is off", () => {
    const line = mounted("/dev/shm", remount("/dev/shm", "sync", "noexec"));
    const options = line.split(" ")[3]?.split(",") ?? [];
    expect(options).toEqual(expect.arrayContaining(["rw", "sync", "noexec"]));
    expect(options).not.toContain("nosuid");
  });

  e2e("with bind: the mount alone, which stays the one that it is", () => {
    const line = mounted("/dev/shm", {
      destination: "/dev/shm",
      type: "bind",
      source: "/",
      options: ["bind", "remount", "ro", "nosuid"],
    });
    expect(line.trim().split("\n").length).toBe(1);
    expect(line).toMatch(/ ro,nosuid,/);
  });

  e2e("with bind it needs no source", () => {
    const options = ["bind", "remount", "ro"];
    expect(mounted("/dev/shm", { destination: "/dev/shm", options })).toMatch(/ ro,/);
  }, [needsHako]);

  e2e("recursive attributes and propagation still count", () => {
    using box = new Box();
    const out = box.sh("grep ' /dev/shm ' /proc/self/mountinfo", (config) => {
      config.mounts.push(remount("/dev/shm", "rnoexec", "shared"));
    });
    expect(out).toMatch(/ \/dev\/shm rw,noexec,\S* shared:/);
  }, [needsHako]);

  for (const [what, destination, options] of [
    ["an option that the file system doesn't know", "/dev/shm", ["bogus=1"]],
    ["a directory that is no mount", "/tmp", []],
  ] as const) {
    e2e(`${what} is an error`, () => {
      using box = new Box();
      const result = box.run(["true"], (config) => {
        config.mounts.push(remount(destination, ...options));
      });
      expect(result.status).not.toBe(0);
      expect(result.stderr).toContain("invalid argument");
      expect(result.stderr).toContain(destination);
    });
  }
});
