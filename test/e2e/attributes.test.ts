// @cgroup-v2
// How a program is scheduled and what it takes the machine for: the kernel shows each field's effect.
import { describe, expect } from "bun:test";
import { existsSync, readFileSync, readlinkSync } from "node:fs";
import { availableParallelism } from "node:os";
import { Box, type BundleConfig, e2e, execute, HAKO, needsHako, needsProgram, SLEEP } from "./support";

type Mutate = (config: BundleConfig) => void;
const inProcess =
  (fields: object): Mutate =>
  (config) => {
    Object.assign(config.process, fields);
  };
const inLinux =
  (fields: object): Mutate =>
  (config) => {
    Object.assign(config.linux, fields);
  };

function started(box: Box, mutate: Mutate): { id: string; pid: number } {
  const id = box.started(SLEEP, mutate);
  return { id, pid: box.state(id).pid };
}

/** Fields 18, 19, 40 and 41 of /proc/PID/stat: priority, nice, realtime priority, policy. */
function scheduling(pid: number): { nice: number; priority: number; policy: number } {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return { nice: Number(fields[16]), priority: Number(fields[37]), policy: Number(fields[38]) };
}

describe("scheduler", () => {
  e2e("nice, batch and idle", () => {
    using box = new Box();
    const nice = started(box, inProcess({ scheduler: { policy: "SCHED_OTHER", nice: 7 } }));
    expect(scheduling(nice.pid)).toEqual({ nice: 7, priority: 0, policy: 0 });
    const batch = started(
      box,
      inProcess({ scheduler: { policy: "SCHED_BATCH", nice: 3, flags: ["SCHED_FLAG_RESET_ON_FORK"] } }),
    );
    expect(scheduling(batch.pid)).toEqual({ nice: 3, priority: 0, policy: 3 });
    expect(scheduling(started(box, inProcess({ scheduler: { policy: "SCHED_IDLE" } })).pid).policy).toBe(5);
    // and beside the first process
    const line = box.ok("exec", nice.id, "cat", "/proc/self/stat").stdout;
    expect(line.slice(line.lastIndexOf(")") + 2).split(" ")[16]).toBe("7");
  });
});

e2e("IO priority", () => {
  using box = new Box();
  const { pid } = started(box, inProcess({ ioPriority: { class: "IOPRIO_CLASS_BE", priority: 6 } }));
  expect(Bun.spawnSync(["ionice", "-p", String(pid)]).stdout.toString()).toBe("best-effort: prio 6\n");
  const idle = started(box, inProcess({ ioPriority: { class: "IOPRIO_CLASS_IDLE" } }));
  expect(Bun.spawnSync(["ionice", "-p", String(idle.pid)]).stdout.toString()).toContain("idle");
}, [needsHako, needsProgram("ionice")]);

e2e("personality: a 32-bit machine", () => {
  using box = new Box();
  expect(box.sh("uname -m", inLinux({ personality: { domain: "LINUX32" } })).trim()).toBe(
    process.arch === "arm64" ? "armv8l" : "i686",
  );
  const { id } = started(box, inLinux({ personality: { domain: "LINUX32" } }));
  expect(box.ok("exec", id, "uname", "-m").stdout.trim()).not.toBe("x86_64");
});

e2e("a memory policy", () => {
  using box = new Box();
  const line = "grep -m1 stack /proc/self/numa_maps";
  expect(
    box.sh(
      line,
      inLinux({ memoryPolicy: { mode: "MPOL_BIND", nodes: "0", flags: ["MPOL_F_STATIC_NODES"] } }),
    ),
  ).toContain("bind=static:0");
  expect(box.sh(line, inLinux({ memoryPolicy: { mode: "MPOL_INTERLEAVE", nodes: "0-0" } }))).toContain(
    "interleave:0",
  );
}, [needsHako, existsSync("/proc/self/numa_maps") ? undefined : "this kernel has no NUMA policies"]);

e2e("exec on some processors only; the container's first process is not concerned", () => {
  using box = new Box();
  const { id, pid } = started(box, inProcess({ execCPUAffinity: { initial: "0", final: "0" } }));
  const allowed = (status: string) => /Cpus_allowed_list:\t(.*)/.exec(status)?.[1];
  expect(allowed(box.ok("exec", id, "cat", "/proc/self/status").stdout)).toBe("0");
  expect(allowed(readFileSync(`/proc/${pid}/status`, "utf8"))).toBe(
    allowed(readFileSync("/proc/self/status", "utf8")) ?? "",
  );
}, [needsHako]);

e2e("the processors that the caller is bound to bind no program", () => {
  using box = new Box();
  const line = ["grep", "Cpus_allowed_list", "/proc/self/status"];
  const bound = (...args: string[]) =>
    execute("taskset", ["--cpu-list", "0", HAKO, "--root", box.root, ...args]).stdout;
  const own = execute("grep", line.slice(1)).stdout;
  expect(own).not.toBe("Cpus_allowed_list:\t0\n");
  expect(bound("run", "--bundle", box.bundle(line), box.id())).toBe(own);
  expect(bound("exec", box.started(), ...line)).toBe(own);
}, [needsHako, needsProgram("taskset"), availableParallelism() > 1 ? undefined : "there is one processor"]);

e2e("a time namespace with the offsets of its clocks", () => {
  using box = new Box();
  const mutate: Mutate = (config) => {
    config.linux.namespaces.push({ type: "time" });
    Object.assign(config.linux, {
      timeOffsets: { monotonic: { secs: 1000 }, boottime: { secs: 864_000, nanosecs: 5 } },
    });
  };
  const line = "cut -d. -f1 /proc/uptime; readlink /proc/self/ns/time";
  const [uptime, namespace] = box.sh(line, mutate).split("\n");
  const host = Number(readFileSync("/proc/uptime", "utf8").split(".")[0]);
  expect(Number(uptime)).toBeGreaterThan(host + 863_000);
  expect(namespace).not.toBe("");
  const { id, pid } = started(box, mutate);
  expect(readlinkSync(`/proc/${pid}/ns/time`)).not.toBe(readlinkSync("/proc/self/ns/time"));
  expect(readFileSync(`/proc/${pid}/timens_offsets`, "utf8").replaceAll(/ +/g, " ")).toBe(
    "monotonic 1000 0\nboottime 864000 5\n",
  );
  expect(Number(box.ok("exec", id, "cut", "-d.", "-f1", "/proc/uptime").stdout)).toBeGreaterThan(
    host + 863_000,
  );
}, [existsSync("/proc/self/timens_offsets") ? undefined : "this kernel has no time namespaces"]);

describe("wrong values are named by field, and leave nothing", () => {
  const rows: [Mutate, string][] = [
    [
      inProcess({ scheduler: { policy: "SCHED_FAST" } }),
      "/process/scheduler/policy: expected one of SCHED_OTHER",
    ],
    [
      inProcess({ scheduler: { policy: "SCHED_OTHER", nice: 20 } }),
      "/process/scheduler/nice: expected a number from -20 to 19",
    ],
    [
      inProcess({ scheduler: { policy: "SCHED_OTHER", priority: 5 } }),
      "/process/scheduler/priority: SCHED_OTHER has none",
    ],
    [
      inProcess({ scheduler: { policy: "SCHED_FIFO" } }),
      "/process/scheduler/priority: expected a number from 1 to 99",
    ],
    [
      inProcess({ scheduler: { policy: "SCHED_DEADLINE", deadline: 20_000_000 } }),
      "/process/scheduler/runtime: expected at least 1024 nanoseconds, got 0",
    ],
    [
      inProcess({ scheduler: { policy: "SCHED_DEADLINE", runtime: 10_000_000, period: 20_000_000 } }),
      "/process/scheduler/deadline: expected at least the runtime, 10000000, got 0",
    ],
    [
      inProcess({ scheduler: { policy: "SCHED_DEADLINE", runtime: 2000, deadline: 5000, period: 4000 } }),
      "/process/scheduler/period: expected at least the deadline, 5000, got 4000",
    ],
    [
      inProcess({ scheduler: { policy: "SCHED_DEADLINE", runtime: 2000, deadline: 2 ** 52, period: 0 } }),
      "sched_deadline_period_min_us",
    ],
    [
      inProcess({ scheduler: { policy: "SCHED_OTHER", runtime: 5 } }),
      "/process/scheduler/runtime: SCHED_OTHER has none",
    ],
    [
      inProcess({ scheduler: { policy: "SCHED_OTHER", flags: ["FAST"] } }),
      "/process/scheduler/flags/0: expected one of",
    ],
    [inProcess({ ioPriority: { class: "IOPRIO_CLASS_NONE" } }), "/process/ioPriority/class: expected one of"],
    [
      inProcess({ ioPriority: { class: "IOPRIO_CLASS_BE", priority: 8 } }),
      "/process/ioPriority/priority: expected a number from 0 to 7",
    ],
    [inProcess({ execCPUAffinity: { initial: "0-" } }), "/process/execCPUAffinity/initial: expected a list"],
    [inProcess({ execCPUAffinity: { final: "3-1" } }), "/process/execCPUAffinity/final: expected a list"],
    [inLinux({ personality: { domain: "BSD" } }), "/linux/personality/domain: expected"],
    [inLinux({ personality: { domain: "LINUX", flags: ["X"] } }), "/linux/personality/flags/0: no flags"],
    [inLinux({ memoryPolicy: { mode: "MPOL_BIND" } }), "/linux/memoryPolicy/nodes: missing"],
    [
      inLinux({ memoryPolicy: { mode: "MPOL_LOCAL", nodes: "0" } }),
      "/linux/memoryPolicy/nodes: MPOL_LOCAL takes none",
    ],
    [
      inLinux({ memoryPolicy: { mode: "MPOL_BIND", nodes: "x" } }),
      "/linux/memoryPolicy/nodes: expected a list",
    ],
    [inLinux({ memoryPolicy: { mode: "MPOL_BIND", nodes: "900" } }), "config /linux/memoryPolicy"],
    [
      inLinux({ timeOffsets: { monotonic: { secs: 1 } } }),
      "/linux/timeOffsets/monotonic: needs a new time namespace",
    ],
    [
      inLinux({ timeOffsets: { sundial: {} } }),
      "/linux/timeOffsets/sundial: expected monotonic or boottime, got",
    ],
    [inProcess({ apparmorProfile: "no-such-profile" }), "config /process/apparmorProfile"],
    [inProcess({ selinuxLabel: "a:b:c:s0" }), "config /process/selinuxLabel"],
  ];
  for (const [mutate, expected] of rows) {
    e2e(expected, () => {
      using box = new Box();
      const id = box.id();
      const result = box.hako("create", "--bundle", box.bundle(["true"], mutate), id);
      expect(result.status).toBe(1);
      expect(result.stderr).toContain(expected);
      expect(result.stderr.trim().split("\n")).toHaveLength(1);
      expect(box.hako("state", id).status).toBe(1);
    }, [needsHako]);
  }
});
