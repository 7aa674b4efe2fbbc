// @cgroup-v2
// The cgroup of the threads that are a machine's processors, in real hierarchies; QEMU is a program with threads that sleep.
import { expect } from "bun:test";
import { spawn } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { openCgroup } from "../../src/cgroup/group/of-config";
import { limitProcessors } from "../../src/drivers/vm/processor-cgroup";
import { e2e, isV2, needsRoot, until } from "./support";

e2e("processors of a machine have a quota of their own below the cgroup of QEMU, and leave it with QEMU @v2", async () => {
  const program = `const sleep = "setInterval(() => {}, 1000)";
    for (const _ of [1, 2]) new Worker(URL.createObjectURL(new Blob([sleep])));
    setInterval(() => {}, 1000)`;
  const child = spawn(process.execPath, ["-e", program], { stdio: "ignore" });
  const pid = child.pid ?? 0;
  const [first, second] = ["one", "two"].map((name) => openCgroup(`/hako-vcpu-${pid}-${name}`, name));
  if (first === undefined || second === undefined) throw new Error("two cgroups");
  try {
    const threads = () => readdirSync(`/proc/${pid}/task`).map(Number);
    await until("it has threads", () => threads().length > 3);
    for (const cgroup of [first, second]) cgroup.create();
    first.join(pid);
    const processors = threads().slice(-2);
    limitProcessors(first.record, pid, () => processors, { quota: 7500, period: 10_000 });
    const place = `${first.paths[isV2 ? "" : "cpu"]}/vcpu`;
    const read = (file: string) => readFileSync(`${place}/${file}`, "utf8").trim();
    const inside = () =>
      read(isV2 ? "cgroup.threads" : "tasks")
        .split("\n")
        .map(Number)
        .sort();
    expect(inside()).toEqual([...processors].sort());
    if (isV2) {
      expect(read("cpu.max")).toBe("7500 10000");
      expect([read("cgroup.type"), read("../cgroup.type")]).toEqual(["threaded", "domain threaded"]);
    } else expect([read("cpu.cfs_quota_us"), read("cpu.cfs_period_us")]).toEqual(["7500", "10000"]);
    expect(first.pids()).toContain(pid);
    limitProcessors(first.record, pid, () => processors, undefined);
    expect(isV2 ? read("cpu.max") : read("cpu.cfs_quota_us")).toMatch(/^(max 10000|-1)$/);
    // to another container's cgroups
    second.join(pid);
    limitProcessors(second.record, pid, () => processors, { quota: 2500, period: 5000 });
    expect(first.pids()).toEqual([]);
    first.destroy();
    expect(existsSync(place)).toBeFalse();
  } finally {
    child.kill("SIGKILL");
    await new Promise((done) => child.on("exit", done));
    for (const cgroup of [first, second]) cgroup.destroy();
  }
}, [needsRoot]);
