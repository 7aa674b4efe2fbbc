// @systemd
// The systemd cgroup driver. Where systemd is not the first process: scripts/with-systemd bun test ./test/e2e/systemd.test.ts
import { describe, expect } from "bun:test";
import { spawn } from "node:child_process";
import {
  chmodSync,
  chownSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import {
  Box,
  type BundleConfig,
  busyboxRootfs,
  e2e,
  execute,
  HAKO,
  isV2,
  type Needs,
  needsHako,
  needsProgram,
  type Result,
  until,
} from "./support";

const needsSystemd: Needs = existsSync("/run/systemd/private")
  ? undefined
  : "no systemd runs here (scripts/with-systemd starts one)";
const NEEDS = [needsHako, needsSystemd, needsProgram("systemctl")];
/** Of the user that scripts/with-systemd makes, with a systemd of its own. */
const USER = Number(process.env.HAKO_SYSTEMD_USER ?? 0);
const needsUserSystemd: Needs =
  USER !== 0 && existsSync(`/run/user/${USER}/systemd/private`) ? undefined : "no user's systemd runs here";
const needsV2: Needs = isV2 ? undefined : "cgroup v2 is not mounted";
const MIB = 1024 * 1024;

function systemctl(...args: string[]): Result {
  return execute("systemctl", args);
}

/** Properties of a unit, in the order that they are asked for. */
function show(unit: string, ...names: string[]): string[] {
  const lines = systemctl("show", unit, ...names.map((name) => `--property=${name}`)).stdout.split("\n");
  return names.map((name) => lines.find((line) => line.startsWith(`${name}=`))?.slice(name.length + 1) ?? "");
}

/** What systemd knows of units with such names. */
function units(pattern: string): string {
  return systemctl("list-units", "--all", "--no-legend", "--plain", pattern).stdout;
}

/** The directory of a process in the hierarchy of a controller; "" is the unified one. */
function cgroupOf(pid: number, controller: string): string {
  const wanted = isV2 ? "" : controller;
  const line = readFileSync(`/proc/${pid}/cgroup`, "utf8")
    .split("\n")
    .find((each) => each.split(":")[1]?.split(",").includes(wanted));
  const path = line?.split(":")[2] ?? "";
  return isV2 ? `/sys/fs/cgroup${path}` : `/sys/fs/cgroup/${controller}${path}`;
}

function fileOf(pid: number, controller: string, v1: string, v2: string): string {
  return readFileSync(join(cgroupOf(pid, controller), isV2 ? v2 : v1), "utf8").trim();
}

/** A container of systemd's: its id, its unit's name, and a bundle whose cgroupsPath is systemd's. */
class Scope implements Disposable {
  readonly box = new Box();
  readonly id = this.box.id();
  readonly unit: string;
  readonly path: string;

  constructor(readonly slice = "") {
    this.unit = `hako-${this.id}.scope`;
    this.path = `${slice}:hako:${this.id}`;
  }

  bundle(args: string[], change: (config: BundleConfig) => void = () => {}): string {
    return this.box.bundle(args, (config) => {
      config.linux.cgroupsPath = this.path;
      change(config);
    });
  }

  hako(...args: string[]): Result {
    return this.box.hako("--systemd-cgroup", ...args);
  }

  /** A command that must succeed. */
  ok(...args: string[]): Result {
    return this.box.ok("--systemd-cgroup", ...args);
  }

  /** Makes and starts the container; its pid. */
  start(args: string[], change: (config: BundleConfig) => void = () => {}): number {
    this.ok("create", "--bundle", this.bundle(args, change), this.id);
    this.ok("start", this.id);
    return this.box.state(this.id).pid;
  }

  [Symbol.dispose](): void {
    this.box[Symbol.dispose]();
    systemctl("stop", this.unit);
    systemctl("reset-failed", this.unit);
  }
}

describe("a scope", () => {
  e2e(
    "is made, shown by systemd, and gone with the container",
    async () => {
      using scope = new Scope();
      const { id, unit } = scope;
      scope.ok("create", "--bundle", scope.bundle(["sleep", "100"]), id);
      expect(show(unit, "ActiveState", "Slice", "Description", "Delegate", "Transient")).toEqual([
        "active",
        "system.slice",
        `hako container ${id}`,
        "yes",
        "yes",
      ]);
      const accounting = ["MemoryAccounting", "CPUAccounting", "TasksAccounting"];
      expect(show(unit, ...accounting, isV2 ? "IOAccounting" : "BlockIOAccounting")).toEqual(
        Array(4).fill("yes"),
      );
      const { pid } = scope.box.state(id);
      const dir = cgroupOf(pid, "memory");
      expect(dir).toEndWith(`/system.slice/${unit}`);
      // nobody else is in it: what held it until then has gone
      expect(readFileSync(`${dir}/cgroup.procs`, "utf8")).toBe(`${pid}\n`);
      scope.ok("start", id);
      await until("the program runs", () => readFileSync(`/proc/${pid}/comm`, "utf8") === "sleep\n");
      expect(execute("cat", [`/proc/${pid}/cgroup`]).stdout).toContain(unit);
      expect(scope.ok("exec", id, "sh", "-c", "echo $((40 + 2))").stdout).toBe("42\n");
      scope.ok("pause", id);
      expect(scope.box.state(id).status).toBe("paused");
      expect(scope.hako("exec", id, "true").status).not.toBe(0);
      scope.ok("resume", id);
      scope.ok("kill", id, "KILL");
      await scope.box.waitFor(id, "stopped");
      scope.ok("delete", id);
      expect(units(unit)).toBe("");
      expect(existsSync(dir)).toBe(false);
    },
    NEEDS,
  );

  e2e(
    "over a bus as over systemd's own socket",
    () => {
      using scope = new Scope();
      const { box, id, unit } = scope;
      const bus = "unix:path=/run/dbus/system_bus_socket";
      const env = { PATH: process.env.PATH ?? "", DBUS_SYSTEM_BUS_ADDRESS: bus };
      const hako = (...args: string[]) => box.hakoWith({ env }, "--debug", "--systemd-cgroup", ...args);
      const created = hako("create", "--bundle", scope.bundle(["sleep", "100"]), id);
      expect([created.status, created.stderr]).toEqual([
        0,
        expect.stringContaining("connected to /run/dbus/"),
      ]);
      expect(show(unit, "ActiveState")).toEqual(["active"]);
      expect(hako("update", "--pids-limit", "9", id).status).toBe(0);
      expect(show(unit, "TasksMax")).toEqual(["9"]);
      expect(hako("delete", "--force", id).status).toBe(0);
      expect(units(unit)).toBe("");
    },
    NEEDS,
  );

  e2e(
    "run to the end of the program, with its status",
    () => {
      using scope = new Scope();
      const bundle = scope.bundle(["sh", "-c", "cat /proc/self/cgroup; exit 7"]);
      expect(scope.hako("run", "--bundle", bundle, scope.id).status).toBe(7);
      expect(units(scope.unit)).toBe("");
    },
    NEEDS,
  );

  e2e(
    "in a slice below a slice, and in the root",
    () => {
      using scope = new Scope("hakotest-inner.slice");
      const pid = scope.start(["sleep", "100"]);
      expect(cgroupOf(pid, "memory")).toEndWith(`/hakotest.slice/hakotest-inner.slice/${scope.unit}`);
      expect(show(scope.unit, "Slice")).toEqual(["hakotest-inner.slice"]);
      scope.ok("delete", "--force", scope.id);
      systemctl("stop", "hakotest.slice");

      using top = new Scope("-.slice");
      expect(cgroupOf(top.start(["sleep", "100"]), "memory")).toMatch(
        new RegExp(`^/sys/fs/cgroup(/memory)?/${top.unit}$`),
      );
    },
    NEEDS,
  );

  e2e(
    "without a cgroupsPath, and by crun's name of the flag",
    () => {
      using scope = new Scope();
      const bundle = scope.bundle(["sleep", "100"], ({ linux }) => {
        linux.cgroupsPath = undefined;
      });
      scope.box.ok("--cgroup-manager", "systemd", "create", "--bundle", bundle, scope.id);
      expect(show(scope.unit, "ActiveState")).toEqual(["active"]);
      // all later commands know it from the container's record
      scope.box.ok("delete", scope.id);
      expect(units(scope.unit)).toBe("");
    },
    NEEDS,
  );
});

describe("limits", () => {
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
    "set properties of the unit",
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

describe("names that are taken", () => {
  e2e("a failed unit of the same name gives way", async () => {
    using scope = new Scope();
    const leftover = ["--scope", `--unit=${scope.unit}`, "--property=RuntimeMaxSec=100ms", "sleep", "100"];
    execute("systemd-run", leftover, { timeout: 30_000 });
    await until("the unit has failed", () => show(scope.unit, "ActiveState")[0] === "failed", 30_000);
    scope.start(["sleep", "100"]);
    expect(show(scope.unit, "ActiveState", "Description")).toEqual(["active", `hako container ${scope.id}`]);
    scope.ok("delete", "--force", scope.id);
    expect(units(scope.unit)).toBe("");
  }, [...NEEDS, needsProgram("systemd-run")]);

  e2e("somebody else's unit is left alone", async () => {
    using scope = new Scope();
    const other = spawn("systemd-run", ["--scope", `--unit=${scope.unit}`, "sleep", "100"], {
      stdio: "ignore",
    });
    try {
      await until("the unit runs", () => show(scope.unit, "ActiveState")[0] === "active", 30_000);
      const result = scope.hako("create", "--bundle", scope.bundle(["true"]), scope.id);
      expect(result.status).toBe(1);
      expect(result.stderr).toContain(`systemd unit ${scope.unit} exists already and is active`);
      expect(show(scope.unit, "ActiveState")).toEqual(["active"]);
      expect(other.exitCode).toBe(null);
      expect(scope.hako("state", scope.id).stderr).toContain("does not exist");
    } finally {
      other.kill("SIGKILL");
    }
  }, [...NEEDS, needsProgram("systemd-run")]);
});

describe("what goes wrong", () => {
  e2e(
    "create that is killed leaves what delete --force removes",
    async () => {
      // the whole of it takes that long here
      using measured = new Scope();
      const begin = Date.now();
      measured.ok("create", "--bundle", measured.bundle(["sleep", "100"]), measured.id);
      const whole = Date.now() - begin;
      measured.ok("delete", "--force", measured.id);
      for (const part of [0.4, 0.6, 0.8]) {
        using scope = new Scope();
        const { id, unit, box } = scope;
        const bundle = scope.bundle(["sleep", "100"]);
        await box.later(["--systemd-cgroup", "create", "--bundle", bundle, id], Math.ceil(whole * part));
        scope.ok("delete", "--force", id);
        await until(`${unit} is gone after ${part}`, () => units(unit) === "");
        expect(execute("find", ["/sys/fs/cgroup", "-name", unit]).stdout).toBe("");
      }
    },
    NEEDS,
  );

  e2e(
    "a failing hook undoes the unit",
    () => {
      using scope = new Scope();
      const bundle = scope.bundle(["true"], (config) => {
        config.hooks = { createRuntime: [{ path: "/bin/false" }] };
      });
      expect(scope.hako("create", "--bundle", bundle, scope.id).status).toBe(1);
      expect(units(scope.unit)).toBe("");
      expect(execute("find", ["/sys/fs/cgroup", "-name", scope.unit]).stdout).toBe("");
    },
    NEEDS,
  );

  e2e(
    "a container that ran out of memory leaves no failed unit",
    async () => {
      using scope = new Scope();
      const bundle = scope.bundle(["sh", "-c", "x=0123456789; while :; do x=$x$x; done"], ({ linux }) => {
        linux.resources.memory = { limit: 8 * MIB, swap: 8 * MIB };
      });
      scope.ok("create", "--bundle", bundle, scope.id);
      scope.ok("start", scope.id);
      await scope.box.waitFor(scope.id, "stopped");
      scope.ok("delete", scope.id);
      expect(units(scope.unit)).toBe("");
    },
    NEEDS,
  );

  e2e("a path in another form", () => {
    using scope = new Scope();
    const { box, id } = scope;
    const other = box.bundle(["true"]);
    const refused = box.hako("--systemd-cgroup", "create", "--bundle", other, id);
    expect(refused.status).toBe(1);
    expect(refused.stderr).toContain("/linux/cgroupsPath: ");
    expect(refused.stderr).toContain("slice:prefix:name");
    const systemds = box.bundle(["true"], ({ linux }) => {
      linux.cgroupsPath = `system.slice:hako:${id}`;
    });
    const without = box.hako("create", "--bundle", systemds, id);
    expect(without.stderr).toContain("give --systemd-cgroup");
  }, [needsHako]);

  e2e("no systemd to ask", () => {
    using scope = new Scope();
    const { box, id } = scope;
    const line = 'mount -t tmpfs tmpfs /run; exec "$@"';
    const create = ["--root", box.root, "--systemd-cgroup", "create", "--bundle", scope.bundle(["true"]), id];
    const result = execute("unshare", ["--mount", "sh", "-c", line, "sh", HAKO, ...create]);
    expect(result.status).toBe(1);
    expect(result.stderr).toMatch(
      /^hako: systemd can't be reached: connect \/run\/.*: no such file .*is systemd running\?/,
    );
    expect(box.hako("state", id).stderr).toContain("does not exist");
  }, [needsHako, needsProgram("unshare")]);

  e2e("systemd does not come to start the scope", () => {
    using scope = new Scope();
    const slow = `hako-${scope.id}-slow.service`;
    const flags = ["--quiet", "--no-block", `--unit=${slow}`, "--property=Type=oneshot"];
    execute("systemd-run", [...flags, "sleep", "900"]);
    try {
      const bundle = scope.bundle(["true"], (config) => {
        config.annotations = { "org.systemd.property.After": `['${slow}']` };
      });
      const result = scope.hako("create", "--bundle", bundle, scope.id);
      expect(result.status).toBe(1);
      expect(result.stderr).toContain(`systemd's job to start ${scope.unit} did not end within 30 s`);
      expect(result.stderr).toContain("see journalctl -b and systemctl list-jobs");
      expect(units(scope.unit)).toBe("");
      expect(scope.hako("state", scope.id).stderr).toContain("does not exist");
    } finally {
      systemctl("stop", slow);
    }
  }, [...NEEDS, needsProgram("systemd-run")]);
});

describe("--cgroup-manager=disabled", () => {
  e2e("leaves a container in its caller's cgroups, and refuses limits", () => {
    using box = new Box();
    const id = box.id();
    const bundle = box.bundle(["sleep", "100"]);
    box.ok("--cgroup-manager", "disabled", "create", "--bundle", bundle, id);
    const { pid } = box.state(id);
    expect(readFileSync(`/proc/${pid}/cgroup`, "utf8")).toBe(readFileSync("/proc/self/cgroup", "utf8"));
    box.ok("start", id);
    box.ok("exec", id, "true");
    box.ok("delete", "--force", id);
    const limited = box.bundle(["true"], ({ linux }) => {
      linux.resources.pids = { limit: 5 };
    });
    const result = box.hako("--cgroup-manager=disabled", "run", "--bundle", limited, box.id());
    expect(result.status).toBe(1);
    expect(result.stderr).toContain("/linux/resources/pids/limit");
    expect(result.stderr).toContain("--cgroup-manager=disabled");
  }, [needsHako]);
});

/** As the user, with its systemd. */
function asUser(command: string, args: string[]): Result {
  const runtime = `/run/user/${USER}`;
  const env = { PATH: process.env.PATH ?? "", HOME: runtime, XDG_RUNTIME_DIR: runtime };
  const ids = ["--reuid", `${USER}`, "--regid", `${USER}`, "--clear-groups"];
  return execute("setpriv", [...ids, command, ...args], { env });
}

describe("an ordinary user", () => {
  e2e("has a scope of its own systemd", async () => {
    using box = new Box();
    chmodSync(box.dir, 0o755);
    const hako = join(box.dir, "hako");
    copyFileSync(HAKO, hako);
    const dir = join(box.dir, "bundle");
    mkdirSync(dir);
    chownSync(dir, USER, USER);
    asUser(hako, ["spec", "--rootless", "--bundle", dir]);
    busyboxRootfs(join(dir, "rootfs"));
    execute("chown", ["-R", `${USER}:${USER}`, dir]);
    const file = join(dir, "config.json");
    const config = JSON.parse(readFileSync(file, "utf8")) as BundleConfig;
    config.process.terminal = false;
    config.process.args = ["sleep", "100"];
    config.linux.resources = { memory: { limit: 32 * MIB }, pids: { limit: 12 } };
    const id = box.id();
    const unit = `test-${id}.scope`;
    config.linux.cgroupsPath = `:test:${id}`;
    writeFileSync(file, JSON.stringify(config));
    const ok = (...args: string[]) => {
      const result = asUser(hako, ["--systemd-cgroup", ...args]);
      if (result.status !== 0) throw new Error(`${args.join(" ")}: ${result.stderr}`);
      return result.stdout;
    };
    const properties = ["ActiveState", "Slice", "MemoryMax", "TasksMax"];
    const userShow = () =>
      asUser("systemctl", ["--user", "show", unit, ...properties.map((name) => `--property=${name}`)])
        .stdout.trim()
        .split("\n")
        .sort();
    ok("create", "--bundle", dir, id);
    ok("start", id);
    const { pid } = JSON.parse(ok("state", id)) as { pid: number };
    expect(userShow()).toEqual([
      "ActiveState=active",
      `MemoryMax=${32 * MIB}`,
      "Slice=user.slice",
      "TasksMax=12",
    ]);
    const cgroup = cgroupOf(pid, "");
    expect(cgroup).toBe(
      `/sys/fs/cgroup/user.slice/user-${USER}.slice/user@${USER}.service/user.slice/${unit}`,
    );
    expect(readFileSync(`${cgroup}/memory.max`, "utf8")).toBe(`${32 * MIB}\n`);
    // our own cgroup is not the user's: its systemd has the host's move the process
    expect(ok("exec", id, "cat", "/proc/self/cgroup").length).toBeGreaterThan(0);
    ok("update", "--pids-limit", "15", id);
    expect(userShow()).toContain("TasksMax=15");
    ok("delete", "--force", id);
    expect(userShow()).toContain("ActiveState=inactive");
    expect(existsSync(cgroup)).toBe(false);
  }, [...NEEDS, needsUserSystemd, needsV2, needsProgram("setpriv")]);
});

describe("podman", () => {
  e2e("--cgroup-manager=systemd run --memory", async () => {
    using box = new Box();
    const rootfs = box.path("rootfs");
    busyboxRootfs(rootfs);
    const own = ["root", "runroot", "tmpdir"].flatMap((name) => [`--${name}`, box.path(`podman-${name}`)]);
    const podman = (...args: string[]): Result =>
      execute(
        "podman",
        [
          ...own,
          "--storage-driver=vfs",
          "--events-backend=none",
          "--cgroup-manager=systemd",
          "--runtime",
          HAKO,
          ...args,
        ],
        {
          env: { PATH: process.env.PATH ?? "", HOME: box.dir, XDG_RUNTIME_DIR: box.path("xdg") },
          timeout: 110_000,
        },
      );
    const limits = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1000:1000", "--network", "none"];
    const file = isV2 ? "memory.max" : "memory/memory.limit_in_bytes";
    const result = podman(
      "run",
      "--rm",
      ...limits,
      "--memory",
      "48m",
      "--rootfs",
      rootfs,
      "cat",
      `/sys/fs/cgroup/${file}`,
    );
    expect(result).toMatchObject({ status: 0, stdout: `${48 * MIB}\n`, stderr: "" });
    // conmon's own ends after podman
    await until("the scopes are gone", () => !units("libpod-*.scope").includes("loaded"));
  }, [...NEEDS, needsProgram("podman"), needsProgram("conmon")]);
});
