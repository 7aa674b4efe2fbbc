// A container that waits for start: what its process holds meanwhile, and what somebody who gets at it could learn of the host.
import { describe, expect } from "bun:test";
import { closeSync, mkdirSync, openSync, readdirSync, readFileSync, readlinkSync, readSync } from "node:fs";
import { join } from "node:path";
import { defaultProfile } from "../../src/seccomp/default-profile";
import { Box, type BundleConfig, e2e, needsHako, needsUserNamespace, SLEEP } from "./support";

const LIMIT_KB = 64;

const map = [{ containerID: 0, hostID: 0, size: 65_536 }];
const CASES: Record<string, (config: BundleConfig, box: Box) => void> = {
  "as it is by default": () => {},
  "with a filter": (config) => {
    Object.assign(config.linux, { seccomp: defaultProfile([]) });
  },
  "with many mounts, hooks and parameters": (config, box) => {
    const volume = box.path("volume");
    mkdirSync(volume);
    for (let count = 0; count < 30; count++)
      config.mounts.push({ destination: `/mnt/${count}`, type: "bind", source: volume, options: ["rbind"] });
    const hook = { path: "/bin/true", env: [`OF_THE_HOST=${box.dir}`] };
    config.hooks = {
      prestart: [hook],
      createRuntime: [hook],
      createContainer: [hook],
      startContainer: [hook],
    };
    config.linux.sysctl = { "net.ipv4.ip_forward": "1" };
  },
  "in a user namespace": (config, box) => {
    config.linux.namespaces.push({ type: "user" });
    Object.assign(config.linux, { uidMappings: map, gidMappings: map });
    config.mounts.push({ destination: "/mnt", type: "bind", source: box.dir, options: ["rbind"] });
    config.hooks = { createContainer: [{ path: "/bin/true", env: [`OF_THE_HOST=${box.dir}`] }] };
  },
};

/** Text in the memory of a process. */
function memoryText(pid: number): string {
  const memory = openSync(`/proc/${pid}/mem`, "r");
  try {
    const parts = readFileSync(`/proc/${pid}/maps`, "utf8")
      .trim()
      .split("\n")
      .filter((line) => !/\[v/.test(line))
      .map((line) => {
        const [from = 0, to = 0] = (line.split(" ")[0] ?? "")
          .split("-")
          .map((word) => Number.parseInt(word, 16));
        const buffer = Buffer.alloc(to - from);
        readSync(memory, buffer, 0, buffer.length, from);
        return buffer.toString("latin1");
      });
    return parts.join("\n");
  } finally {
    closeSync(memory);
  }
}

describe("a container that waits for start", () => {
  for (const [name, change] of Object.entries(CASES)) {
    e2e(`${name}: holds ${LIMIT_KB} KiB at most, and nothing of the host`, () => {
      using box = new Box();
      const id = box.id();
      const bundle = box.bundle(SLEEP, (config) => change(config, box));
      const env = { PATH: process.env.PATH ?? "", OF_THE_CALLER: "its own secret" };
      const created = box.hakoWith({ env }, "create", "--bundle", bundle, id);
      expect([created.status, created.stderr]).toEqual([0, ""]);
      const { pid } = box.state(id);
      const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
      const kilobytes = (field: string) => Number(new RegExp(`^${field}:\\s+(\\d+)`, "m").exec(rollup)?.[1]);
      expect(kilobytes("Private_Clean") + kilobytes("Private_Dirty")).toBeLessThanOrEqual(LIMIT_KB);
      expect(kilobytes("Rss")).toBeLessThanOrEqual(LIMIT_KB);
      const text = memoryText(pid);
      expect(text).toContain("sleep");
      for (const word of [box.dir, box.names, "OF_THE_HOST", "OF_THE_CALLER", "cgroup", "start.sock"])
        expect([word, text.includes(word)]).toEqual([word, false]);
      const descriptors = readdirSync(`/proc/${pid}/fd`).map((fd) =>
        readlinkSync(join(`/proc/${pid}/fd`, fd)),
      );
      const kinds = descriptors.map((link) =>
        link.replace(/:\[.*/, "").replace(/^\/tmp\/.*/, "a file of the caller's"),
      );
      expect(kinds.sort()).toEqual([
        "/dev/null",
        "/memfd:calls of a container's process (deleted)",
        "a file of the caller's",
        "a file of the caller's",
        "socket",
      ]);
      // it goes on all the same
      box.ok("start", id);
      expect(box.state(id).status).toBe("running");
    }, [needsHako, needsUserNamespace]);
  }
});
