// @systemd
// The systemd cgroup driver, as in systemd.test.ts: limits and other properties of scopes, and what systemd does to their cgroups.
import { describe, expect } from "bun:test";
import { spawn } from "node:child_process";
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { e2e, execute, isV2, needsProgram } from "./support";
import { cgroupOf, fileOf, MIB, NEEDS, needsV2, Scope, show, systemctl, units } from "./systemd-scope";

describe("limits @v2", () => {
  const LIMITS = {
    memory: { limit: 64 * MIB, ...(isV2 ? { reservation: 16 * MIB, swap: 96 * MIB } : {}) },
    cpu: { shares: 512, quota: 25_000, period: 50_000, cpus: "0" },
    pids: { limit: 30 },
  };

  e2e(
    "are properties of the unit, and what the kernel has",
    () => {
      using scope = new Scope();
      const pid = scope.start(["sleep", "100"], ({ linux }) => {
        Object.assign(linux.resources, LIMITS);
      });
      expect(show(scope.unit, "TasksMax", "CPUQuotaPerSecUSec", "CPUQuotaPeriodUSec", "AllowedCPUs")).toEqual(
        ["30", "500ms", "50ms", "0"],
      );
      if (isV2) {
        expect(show(scope.unit, "MemoryMax", "MemoryLow", "MemorySwapMax", "CPUWeight")).toEqual(
          [64 * MIB, 16 * MIB, 32 * MIB, 59].map(String),
        );
        expect(fileOf(pid, "cpu", "", "cpu.max")).toBe("25000 50000");
      } else {
        expect(show(scope.unit, "MemoryLimit", "CPUShares")).toEqual([String(64 * MIB), "512"]);
        expect(fileOf(pid, "cpu", "cpu.cfs_quota_us", "")).toBe("25000");
      }
      expect(fileOf(pid, "memory", "memory.limit_in_bytes", "memory.max")).toBe(String(64 * MIB));
      expect(fileOf(pid, "pids", "pids.max", "pids.max")).toBe("30");
      expect(fileOf(pid, "cpuset", "cpuset.cpus", "cpuset.cpus")).toBe("0");
    },
    NEEDS,
  );

  e2e(
    "don't meet our own start-up",
    () => {
      using scope = new Scope();
      const bundle = scope.bundle(["echo", "fits"], ({ linux }) => {
        Object.assign(linux.resources, { memory: { limit: 2 * MIB }, pids: { limit: 1 } });
      });
      expect(scope.hako("run", "--bundle", bundle, scope.id)).toMatchObject({ status: 0, stdout: "fits\n" });
    },
    NEEDS,
  );

  e2e(
    "are changed by update in both places; a refused one changes neither",
    () => {
      using scope = new Scope();
      const { id, unit } = scope;
      const pid = scope.start(["sleep", "100"], ({ linux }) => {
        Object.assign(linux.resources, LIMITS);
      });
      const memory = isV2 ? "MemoryMax" : "MemoryLimit";
      scope.ok("update", "--memory", "48M", "--memory-swap", "96M", "--pids-limit", "-1", id);
      expect(show(unit, memory, "TasksMax")).toEqual([String(48 * MIB), "infinity"]);
      expect(fileOf(pid, "memory", "memory.limit_in_bytes", "memory.max")).toBe(String(48 * MIB));
      expect(fileOf(pid, "pids", "pids.max", "pids.max")).toBe("max");
      // a quota alone keeps the period; systemd counts in percents, and the file says the same
      scope.ok("update", "--cpu-quota", "12345", id);
      expect(show(unit, "CPUQuotaPerSecUSec", "CPUQuotaPeriodUSec")).toEqual(["250ms", "50ms"]);
      expect(fileOf(pid, "cpu", "cpu.cfs_quota_us", "cpu.max").split(" ")[0]).toBe("12500");
      // no such processor: the kernel refuses it after systemd has taken it
      const refused = scope.hako(
        "update",
        "--memory",
        "80M",
        "--memory-swap",
        "96M",
        "--cpuset-cpus",
        "4000",
        id,
      );
      expect(refused.status).toBe(1);
      expect(refused.stderr).toContain("/cpu/cpus");
      expect(show(unit, memory, "AllowedCPUs")).toEqual([String(48 * MIB), "0"]);
      expect(fileOf(pid, "memory", "memory.limit_in_bytes", "memory.max")).toBe(String(48 * MIB));
    },
    NEEDS,
  );

  e2e(
    "and device rules stay when systemd reads its files again",
    () => {
      using scope = new Scope();
      const pid = scope.start(["sleep", "100"], ({ linux }) => {
        Object.assign(linux.resources, LIMITS);
        // a node that no rule allows
        linux.devices = [{ type: "c", path: "/dev/forbidden", major: 1, minor: 11, fileMode: 0o666 }];
      });
      const look = () => [
        fileOf(pid, "memory", "memory.limit_in_bytes", "memory.max"),
        fileOf(pid, "pids", "pids.max", "pids.max"),
        fileOf(pid, "cpu", "cpu.cfs_quota_us", "cpu.max"),
        scope.ok("exec", scope.id, "sh", "-c", "echo x >/dev/null && echo written").stdout,
        scope.hako("exec", scope.id, "sh", "-c", "head -c 1 /dev/forbidden").stderr.includes("not permitted"),
      ];
      const before = look();
      expect(before.slice(3)).toEqual(["written\n", true]);
      systemctl("daemon-reload");
      expect(look()).toEqual(before);
      scope.ok("update", "--pids-limit", "40", scope.id);
      expect(look().slice(3)).toEqual(["written\n", true]);
      // v1's list of devices can't be begun anew with cgroups below it, by nobody
      mkdirSync(join(cgroupOf(pid, "devices"), "below"));
      scope.ok("update", "--pids-limit", "50", scope.id);
      expect(look().slice(1)).toEqual(["50", ...before.slice(2)]);
    },
    NEEDS,
  );

  e2e("of devices that systemd can't say are ours alone", () => {
    using scope = new Scope();
    scope.start(["sleep", "100"], ({ linux }) => {
      const rule = (allow: boolean, minor?: number) => ({ allow, type: "c", major: 1, minor, access: "rwm" });
      linux.resources.devices = [{ allow: false, access: "rwm" }, rule(true), rule(false, 11)];
      linux.devices = [{ type: "c", path: "/dev/forbidden", major: 1, minor: 11, fileMode: 0o666 }];
    });
    expect(show(scope.unit, "DevicePolicy")).toEqual(["auto"]);
    expect(scope.ok("exec", scope.id, "sh", "-c", "echo x >/dev/full || echo full").stdout).toBe("full\n");
    expect(scope.hako("exec", scope.id, "head", "-c", "1", "/dev/forbidden").stderr).toContain(
      "not permitted",
    );
  }, [...NEEDS, needsV2]);

  e2e("of unified are properties where systemd has one", () => {
    using scope = new Scope();
    const pid = scope.start(["sleep", "100"], ({ linux }) => {
      linux.resources.unified = {
        "memory.high": String(32 * MIB),
        "memory.min": String(8 * MIB),
        "cpu.max": "max 20000",
        "cpu.weight": "77",
        "pids.max": "25",
      };
    });
    expect(show(scope.unit, "MemoryHigh", "MemoryMin", "CPUWeight", "TasksMax")).toEqual(
      [32 * MIB, 8 * MIB, 77, 25].map(String),
    );
    expect(fileOf(pid, "cpu", "", "cpu.max")).toBe("max 20000");
  }, [...NEEDS, needsV2]);
});

describe("annotations", () => {
  e2e(
    "set properties of the unit @v2",
    () => {
      using scope = new Scope();
      scope.start(["sleep", "100"], (config) => {
        config.annotations = {
          "org.systemd.property.TimeoutStopSec": "uint64 7",
          "org.systemd.property.CollectMode": "'inactive-or-failed'",
          "org.systemd.property.Before": "['shutdown.target']",
          "org.systemd.property.Description": "'a web server'",
        };
      });
      expect(show(scope.unit, "TimeoutStopUSec", "CollectMode", "Description", "Before")).toEqual([
        "7s",
        "inactive-or-failed",
        "a web server",
        "shutdown.target",
      ]);
    },
    NEEDS,
  );

  e2e(
    "that are wrong are refused by name, and nothing is left",
    () => {
      const wrong = [
        ["TimeoutStopSec", "'soon'", "type s is not a number of seconds"],
        ["CollectMode", "inactive", '"inactive" is no value'],
        ["A1", "true", "not the name of a property"],
        ["NoSuchProperty", "true", "NoSuchProperty"],
      ] as const;
      for (const [name, value, why] of wrong) {
        using scope = new Scope();
        const bundle = scope.bundle(["true"], (config) => {
          config.annotations = { [`org.systemd.property.${name}`]: value };
        });
        const result = scope.hako("create", "--bundle", bundle, scope.id);
        expect([result.status, result.stderr]).toEqual([1, expect.stringContaining(why)]);
        expect(units(scope.unit)).toBe("");
        expect(scope.hako("state", scope.id).stderr).toContain("does not exist");
      }
    },
    NEEDS,
  );
});

/** Units that come and go in the containers' slice: systemd then takes from v1's cgroups beside them what it has no use for. */
const PASSING = "systemd-run -q --scope -p 'DeviceAllow=/dev/null rw' true && systemd-run -q --scope true";

const needsSystemdRun = needsProgram("systemd-run");

describe("units that come and go beside a container", () => {
  e2e(
    "take none of its cgroups while it is made",
    () => {
      using first = new Scope();
      const found = first.box.path("found");
      const dirs = `find /sys/fs/cgroup -type d -name ${first.unit}`;
      const hook = `for dir in $(${dirs}); do echo $dir $(cat $dir/cgroup.procs); done > ${found}`;
      const pid = first.start(["sleep", "100"], (config) => {
        config.hooks = { createRuntime: [{ path: "/bin/sh", args: ["sh", "-c", hook] }] };
      });
      // systemd removes what is empty
      const rows = readFileSync(found, "utf8").trim().split("\n");
      expect(rows.filter((row) => !/ \d/.test(row))).toEqual([]);
      for (const row of rows) {
        const [dir = ""] = row.split(" ");
        expect([dir, readFileSync(join(dir, "cgroup.procs"), "utf8")]).toEqual([dir, `${pid}\n`]);
      }
    },
    NEEDS,
  );

  e2e("fail no create", async () => {
    const passers = spawn("/bin/sh", ["-c", `while :; do ${PASSING}; done`], { stdio: "ignore" });
    try {
      for (let number = 0; number < 10; number++) {
        using scope = new Scope();
        scope.start(["sleep", "100"], ({ linux }) => {
          if (number % 2 === 0) linux.resources.devices = [{ allow: true, access: "rwm" }];
        });
      }
    } finally {
      passers.kill("SIGKILL");
    }
  }, [...NEEDS, needsSystemdRun]);

  e2e("leave a container with all devices where it is", () => {
    using scope = new Scope();
    const { id } = scope;
    const pid = scope.start(["sleep", "100"], ({ linux }) => {
      linux.resources.devices = [{ allow: true, access: "rwm" }];
    });
    const before = readFileSync(`/proc/${pid}/cgroup`, "utf8");
    expect(execute("/bin/sh", ["-c", PASSING])).toMatchObject({ status: 0 });
    expect(readFileSync(`/proc/${pid}/cgroup`, "utf8")).toBe(before);
    const inside = scope.ok("exec", id, "cat", "/proc/self/cgroup").stdout;
    expect(inside).toBe(scope.ok("exec", id, "cat", "/proc/1/cgroup").stdout);
    scope.ok("update", "--pids-limit", "40", id);
    expect(fileOf(pid, "pids", "pids.max", "pids.max")).toBe("40");
  }, [...NEEDS, needsSystemdRun]);
});
