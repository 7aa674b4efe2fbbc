// @cgroup-v2
// What is done to containers that run: ps, pause, resume, update, events.
import { expect } from "bun:test";
import { spawn } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { Box, e2e, execute, HAKO, isV2, needsHako, needsProgram, until } from "./support";

/** A file of one of the container's own cgroups. */
function cgroupValue(box: Box, id: string, controller: string, file: string): string {
  const { paths } = JSON.parse(box.ok("cgroup", "show", "--format", "json", id).stdout);
  return readFileSync(`${paths[isV2 ? "" : controller]}/${file}`, "utf8").trim();
}

e2e("ps lists the processes by the host's numbers @v2", async () => {
  using box = new Box();
  const id = box.started(["sh", "-c", "sleep 601 & sleep 602 & wait"]);
  await until("both sleep", () =>
    /^ *\d+ sleep 601\n *\d+ sleep 602$/m.test(box.ok("ps", id, "-o", "pid,args").stdout),
  );
  const json = box.ok("ps", "--format", "json", id).stdout;
  expect(json).toMatch(/^\[\d+(,\d+)*\]\n$/);
  const pids: number[] = JSON.parse(json);
  expect(pids).toHaveLength(3);
  expect(pids).toContain(box.state(id).pid);
  const table = box.ok("ps", id).stdout.trim().split("\n");
  expect(table[0]).toMatch(/PID/);
  expect(table).toHaveLength(4);
  expect(box.ok("ps", id, "-o", "pid,args").stdout).toContain("sleep 602");
  const wrong = box.hako("ps", id, "--no-such-option");
  expect(wrong.status).toBe(1);
  expect(wrong.stderr.trim().split("\n")).toHaveLength(1);
}, [needsHako, needsProgram("ps")]);

e2e("a paused container stands still and says so; resume lets it go on @v2", async () => {
  using box = new Box();
  const id = box.started(["sh", "-c", "i=0; while true; do i=$((i+1)); echo $i > /dev/count; done"]);
  const count = () => box.ok("exec", "--ignore-paused", id, "cat", "/dev/count").stdout;
  const ticks = () =>
    readFileSync(`/proc/${box.state(id).pid}/stat`, "utf8")
      .split(" ")
      .slice(13, 15)
      .join();
  await until("it counts", () => count() !== "");
  box.ok("pause", id);
  expect(box.state(id).status).toBe("paused");
  const before = ticks();
  await Bun.sleep(200);
  expect(ticks()).toBe(before);
  expect(box.hako("pause", id).stderr).toContain("container not running: paused");
  box.ok("resume", id);
  expect(box.state(id).status).toBe("running");
  await until("it goes on", () => ticks() !== before);
  expect(box.hako("resume", id).stderr).toContain("container not paused: running");
  box.ok("pause", id);
  expect(box.hako("kill", id, "KILL").status).toBe(0);
  await box.waitFor(id, "stopped");
  expect(box.hako("pause", id).status).toBe(1);
});

e2e("a created container can be paused: it says so, waits for resume, and can be killed @v2", async () => {
  using box = new Box();
  const [resumed, killed] = [box.id(), box.id()];
  for (const id of [resumed, killed]) {
    box.ok("create", "--bundle", box.bundle(["sleep", "600"]), id);
    box.ok("pause", id);
    expect(box.state(id).status).toBe("paused");
    expect(box.ok("list").stdout).toMatch(new RegExp(`^${id} .* paused `, "m"));
  }
  for (const words of [
    ["start", resumed],
    ["exec", resumed, "true"],
  ]) {
    const refused = box.hako(...words);
    expect(refused.status).toBeGreaterThan(0);
    expect(refused.stderr).toMatch(/paused/);
  }
  box.ok("resume", resumed);
  expect(box.state(resumed).status).toBe("created");
  box.ok("start", resumed);
  expect(box.state(resumed).status).toBe("running");
  box.ok("kill", killed, "KILL");
  await box.waitFor(killed, "stopped");
  box.ok("delete", killed);
});

e2e("update changes limits, from flags and from a document, and the kernel shows them @v2", () => {
  using box = new Box();
  const id = box.started(["sleep", "600"]);
  box.ok(
    "update",
    "--pids-limit",
    "77",
    "--memory",
    "64M",
    "--cpu-quota",
    "50000",
    "--cpu-period=100000",
    id,
  );
  expect(cgroupValue(box, id, "pids", "pids.max")).toBe("77");
  const limit = isV2 ? "memory.max" : "memory.limit_in_bytes";
  expect(cgroupValue(box, id, "memory", limit)).toBe(String(64 << 20));
  expect(cgroupValue(box, id, "cpu", isV2 ? "cpu.max" : "cpu.cfs_quota_us")).toBe(
    isV2 ? "50000 100000" : "50000",
  );
  const document = { pids: { limit: -1 }, cpu: { shares: 512 }, devices: [{ allow: false, access: "rwm" }] };
  const updated = box.hakoWith({ input: JSON.stringify(document) }, "update", "--resources", "-", id);
  expect([updated.status, updated.stderr]).toEqual([0, ""]);
  expect(cgroupValue(box, id, "pids", "pids.max")).toBe("max");
  expect(cgroupValue(box, id, "cpu", isV2 ? "cpu.weight" : "cpu.shares")).toBe(isV2 ? "59" : "512");
  expect(cgroupValue(box, id, "memory", limit)).toBe(String(64 << 20));
  // rules for devices don't change
  expect(box.ok("exec", id, "head", "-c", "1", "/dev/zero").stdout).toBe("\0");
  const file = box.path("resources.json");
  writeFileSync(file, JSON.stringify({ memory: { limit: 32 << 20, swop: 1 } }));
  expect(box.ok("update", "-r", file, id).stderr).toContain("unknown, and changes nothing: /memory/swop");
  expect(cgroupValue(box, id, "memory", limit)).toBe(String(32 << 20));
}, [needsHako]);

e2e("an update that is refused changes nothing and names the field @v2", () => {
  using box = new Box();
  const id = box.started(["sleep", "600"], (config) => {
    config.linux.resources = { pids: { limit: 50 } };
  });
  const document = { pids: { limit: 60 }, cpu: { cpus: "9999" } };
  const wrong = box.hakoWith({ input: JSON.stringify(document) }, "update", "-r", "-", id);
  expect(wrong.status).toBe(1);
  expect(wrong.stderr).toContain("/linux/resources/cpu/cpus");
  expect(cgroupValue(box, id, "pids", "pids.max")).toBe("50");
  const types = box.hakoWith({ input: '{"pids":{"limit":"many"}}' }, "update", "-r", "-", id);
  expect(types.stderr).toContain("/pids/limit: expected");
  box.ok("update", id);
  expect(cgroupValue(box, id, "pids", "pids.max")).toBe("50");
  // as runc's help says it, all other flags are ignored then
  const both = box.hakoWith({ input: '{"pids":{"limit":30}}' }, "update", "-r", "-", "--pids-limit", "5", id);
  expect([both.status, both.stderr.includes("--pids-limit: without effect beside --resources")]).toEqual([
    0,
    true,
  ]);
  expect(cgroupValue(box, id, "pids", "pids.max")).toBe("30");
  box.ok("update", "--l3-cache-schema", "", "--mem-bw-schema", "", id);
  if (!readFileSync("/proc/self/mountinfo", "utf8").includes(" - resctrl ")) {
    const rdt = box.hako("update", "--mem-bw-schema", "MB:0=20", "--pids-limit", "20", id);
    expect(rdt.status).toBe(1);
    expect(rdt.stderr).toStartWith("hako: update: --mem-bw-schema: no resctrl file system is mounted (");
    expect(cgroupValue(box, id, "pids", "pids.max")).toBe("30");
  }
  box.ok("kill", id, "KILL");
}, [needsHako]);

e2e("events --stats has runc's numbers in runc's shape @v2", () => {
  using box = new Box();
  const id = box.started(["sleep", "600"], (config) => {
    config.linux.resources = { pids: { limit: 50 }, memory: { limit: 64 << 20 } };
  });
  const event = JSON.parse(box.ok("events", "--stats", id).stdout);
  expect(event).toMatchObject({ type: "stats", id });
  expect(event.data.pids).toEqual({ current: 1, limit: 50 });
  expect(event.data.memory.usage.limit).toBe(64 << 20);
  expect(event.data.memory.usage.usage).toBeGreaterThan(0);
  expect(event.data.cpu.usage.total).toBeGreaterThan(0);
  expect(event.data.cpuset.cpus).toEqual(expect.arrayContaining([expect.any(Number)]));
  expect(Object.keys(event.data)).toEqual([
    "cpu",
    "cpuset",
    "memory",
    "pids",
    "blkio",
    "hugetlb",
    "intel_rdt",
    "network_interfaces",
  ]);
  for (const interval of ["0s", "0", "5"]) {
    expect([interval, box.hako("events", "--interval", interval, id).status]).toEqual([interval, 2]);
    expect(box.hako("events", "--stats", "--interval", interval, id).status).toBe(2);
  }
  box.ok("kill", id, "KILL");
  box.ok("delete", "--force", id);
  expect(box.hako("events", "--stats", id).status).toBe(1);
}, [needsHako]);

e2e("events tells at intervals, of memory that ran out, and ends with the container @v2", async () => {
  using box = new Box();
  const greedy = "exec sh -c 'a=x; while true; do a=$a$a; done'";
  const line = `until [ -e /told ]; do sleep 0.1; done; (${greedy}); sleep 1`;
  const bundle = box.bundle(["sh", "-c", line], (config) => {
    config.linux.resources = { memory: { limit: 8 << 20, swap: 8 << 20 } };
  });
  const id = box.id();
  box.ok("run", "--detach", "--bundle", bundle, id);
  const child = spawn(HAKO, ["--root", box.root, "events", "--interval", "200ms", id]);
  let output = "";
  child.stdout.on("data", (data) => {
    output += data;
  });
  const closed = new Promise((done) => child.on("close", done));
  await until("it tells at intervals", () => output.split("\n").length > 4);
  writeFileSync(`${bundle}/rootfs/told`, "");
  expect(await closed).toBe(0);
  const types = output
    .trim()
    .split("\n")
    .map((each) => JSON.parse(each).type);
  expect(new Set(types)).toEqual(new Set(["stats", "oom"]));
}, [needsHako]);

e2e("events ends when nobody reads it any more", () => {
  using box = new Box();
  const call = [HAKO, "--root", box.root, "events", "--interval", "50ms", box.started()];
  const line = `set -o pipefail; "$@" | head -c 1`;
  expect(execute("bash", ["-c", line, "bash", ...call])).toEqual({
    status: 141,
    signal: null,
    stdout: "{",
    stderr: "",
  });
}, [needsHako]);

e2e("what needs a container that runs says that there is none", () => {
  using box = new Box();
  for (const command of [["pause"], ["resume"], ["update", "--pids-limit", "1"], ["events"], ["ps"]]) {
    const result = execute(HAKO, ["--root", box.root, ...command, "nobody"]);
    expect(result.status).toBe(1);
    expect(result.stderr).toContain('container "nobody" does not exist');
  }
});
