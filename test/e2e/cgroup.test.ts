// @cgroup-v2
// Cgroups on the real hierarchies, and `hako cgroup`.
import { afterEach, describe, expect, test } from "bun:test";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { HakoError } from "../../src/base/errors";
import { type Cgroup, openCgroup, readLayout } from "../../src/cgroup";
import { loadCgroup } from "../../src/cgroup/group/stored";
import type { Resources } from "../../src/oci/config";
import { Box, type BundleConfig, e2e, isV2, needsHako, until } from "./support";

const HAKO = process.env.HAKO ?? "dist/hako";
const layout = readLayout();
const MIB = 1024 * 1024;

/** A test that needs root, and controllers; a skip says why. */
function rootTest(name: string, controllers: string[], body: () => void | Promise<void>): void {
  const offered = new Set(layout.hierarchies.flatMap((each) => each.controllers));
  const unified = layout.hierarchies.find((each) => each.unified);
  if (unified !== undefined) {
    for (const each of readFileSync(`${unified.mountpoint}/cgroup.controllers`, "utf8").trim().split(" ")) {
      offered.add(each);
    }
  }
  const missing = controllers.filter((each) => !offered.has(each));
  if (process.getuid?.() !== 0) test.skip(`${name} (skipped: needs root)`, () => {});
  else if (missing.length > 0)
    test.skip(`${name} (skipped: this host has no ${missing.join(", ")})`, () => {});
  else test(name, async () => await body());
}

const undo: (() => void)[] = [];
afterEach(() => {
  for (const action of undo.splice(0).reverse()) action();
});

let count = 0;
function make(suffix = "", resources: Resources = {}): Cgroup {
  const name = `hako-test-${process.pid}-${count++}`;
  const cgroup = openCgroup(`/${name}${suffix}`, name);
  undo.push(() => {
    cgroup.kill();
    cgroup.destroy();
  });
  cgroup.create();
  cgroup.apply(resources);
  return cgroup;
}

/** A shell that first waits for a line, so that it can be put into a cgroup. */
function shell(script: string): { pid: number; child: ChildProcess; go(): Promise<number | null> } {
  const child = spawn("sh", ["-c", `read line; ${script}`], { stdio: ["pipe", "ignore", "ignore"] });
  const ended = new Promise<number | null>((done) => child.on("exit", (status) => done(status)));
  undo.push(() => child.kill("SIGKILL"));
  return {
    pid: child.pid ?? 0,
    child,
    go() {
      child.stdin?.write("\n");
      return ended;
    },
  };
}

const value = (cgroup: Cgroup, controller: string, v1: string, v2: string) => {
  const dir = cgroup.paths[controller];
  const file = dir === undefined ? `${cgroup.paths[""]}/${v2}` : `${dir}/${v1}`;
  return readFileSync(file, "utf8").trim();
};

describe("a container's cgroups @v2", () => {
  rootTest("are made, joined, frozen, killed, removed; the record is enough to go on", ["pids"], () => {
    const cgroup = make("/inner", { pids: { limit: 10 } });
    const directories = Object.values(cgroup.paths);
    expect(directories.every((dir) => existsSync(dir))).toBe(true);
    expect(value(cgroup, "pids", "pids.max", "pids.max")).toBe("10");
    const { pid } = shell("sleep 100");
    cgroup.join(pid);
    const lines = readFileSync(`/proc/${pid}/cgroup`, "utf8").trim().split("\n");
    const elsewhere = lines.filter((line) => !line.endsWith("/inner"));
    // hierarchies that are not mounted can't be joined
    const mounted = layout.hierarchies.flatMap((each) => [each.name, ...each.controllers]);
    expect(elsewhere.filter((line) => mounted.includes(line.split(":")[1] ?? ""))).toEqual([]);

    const loaded = loadCgroup(JSON.parse(JSON.stringify(cgroup.record)));
    expect(loaded.pids()).toEqual([pid]);
    expect(loaded.frozen()).toBe(false);
    loaded.freeze();
    expect(loaded.frozen()).toBe(true);
    loaded.thaw();
    expect(loaded.frozen()).toBe(false);
    loaded.freeze();
    expect(loaded.stats().pids).toEqual({ current: 1, limit: 10 });
    loaded.kill();
    expect(loaded.pids()).toEqual([]);
    loaded.destroy();
    for (const dir of directories) {
      expect(existsSync(dir)).toBe(false);
      expect(existsSync(resolve(dir, ".."))).toBe(false);
    }
    loaded.destroy();
  });

  rootTest("share a parent, which goes with the one that made it only when it is empty", [], () => {
    const first = make("/a");
    const parent = first.mounts().hierarchies[0]?.path.replace(/\/a$/, "") ?? "";
    const second = openCgroup(`${parent}/b`, "b");
    undo.push(() => second.destroy());
    second.create();
    first.destroy();
    expect(Object.values(second.paths).every((dir) => existsSync(dir))).toBe(true);
    second.destroy();
    // it was the first one's, and the first one is gone: remove what is left by hand
    const rest = openCgroup(parent, "rest");
    for (const node of rest.record.nodes) node.made = [node.mountpoint + parent];
    rest.destroy();
    for (const dir of Object.values(rest.paths)) expect(existsSync(dir)).toBe(false);
  });

  rootTest("in use are refused, and left as they were", [], () => {
    const cgroup = make();
    const { pid } = shell("sleep 100");
    cgroup.join(pid);
    const again = openCgroup(cgroup.mounts().hierarchies[0]?.path, "again");
    expect(() => again.create()).toThrow("is in use");
    expect(cgroup.pids()).toEqual([pid]);
    expect(() => openCgroup("/..", "root").create()).toThrow("is in use");
  });

  rootTest("below them that the container made are removed too", [], () => {
    const cgroup = make();
    const dirs = Object.values(cgroup.paths).map((dir) => `${dir}/of-container/deeper`);
    spawnSync("mkdir", ["-p", ...dirs]);
    cgroup.destroy();
    expect(dirs.some((dir) => existsSync(dir))).toBe(false);
  });
});

describe("limits @v2", () => {
  rootTest("memory is raised and lowered with its swap", ["memory"], () => {
    const cgroup = make("", { memory: { limit: 64 * MIB, swap: 128 * MIB, reservation: 32 * MIB } });
    const limit = () => value(cgroup, "memory", "memory.limit_in_bytes", "memory.max");
    for (const size of [64, 256, 16]) {
      cgroup.apply({ memory: { limit: BigInt(size * MIB), swap: 2 * size * MIB } });
      expect(limit()).toBe(String(size * MIB));
    }
    cgroup.apply({ memory: { limit: 0 } });
    expect(limit()).toBe(String(16 * MIB));
    cgroup.apply({ memory: { limit: -1 } });
    expect(["max", "9223372036854771712"]).toContain(limit());
  });

  rootTest("cpu time and processors", ["cpu", "cpuset"], () => {
    const cgroup = make("", {
      cpu: { shares: 1024, quota: 20_000, period: 50_000, burst: 10_000, cpus: "0", mems: "0" },
    });
    const cpu = cgroup.paths.cpu ?? cgroup.paths[""];
    const cpuset = cgroup.paths.cpuset ?? cgroup.paths[""];
    if (cgroup.paths.cpu === undefined) {
      expect(readFileSync(`${cpu}/cpu.max`, "utf8")).toBe("20000 50000\n");
      expect(readFileSync(`${cpu}/cpu.weight`, "utf8")).toBe("100\n");
    } else {
      expect(readFileSync(`${cpu}/cpu.cfs_quota_us`, "utf8")).toBe("20000\n");
      expect(readFileSync(`${cpu}/cpu.shares`, "utf8")).toBe("1024\n");
    }
    expect(readFileSync(`${cpuset}/cpuset.cpus`, "utf8")).toBe("0\n");
    cgroup.apply({ cpu: { quota: 4000, period: 10_000, burst: 4000 } });
    cgroup.apply({ cpu: { idle: 1 } });
    cgroup.apply({ cpu: { idle: 0, shares: 512 } });
    cgroup.apply({ cpu: { quota: -1, burst: 0 } });
  });

  rootTest("a failed update leaves no trace", ["memory", "pids"], () => {
    const cgroup = make("", { memory: { limit: 64 * MIB, swap: 128 * MIB }, pids: { limit: 10 } });
    const update = {
      memory: { limit: 256 * MIB, swap: 512 * MIB },
      pids: { limit: 20 },
      unified: { "memory.nothing": "5" },
    };
    expect(() => cgroup.apply(update)).toThrow("/linux/resources/unified/memory.nothing");
    expect(value(cgroup, "memory", "memory.limit_in_bytes", "memory.max")).toBe(String(64 * MIB));
    expect(value(cgroup, "pids", "pids.max", "pids.max")).toBe("10");
  });

  rootTest("a processor that is not there: the error says whose limit it was", ["cpuset"], () => {
    const cgroup = make();
    let text = "";
    try {
      cgroup.apply({ cpu: { cpus: "4000" } });
    } catch (thrown) {
      if (thrown instanceof HakoError) text = thrown.oneLine;
    }
    expect(text).toContain("/linux/resources/cpu/cpus: write");
  });

  rootTest("huge pages, unified files", layout.version === "v2" ? ["hugetlb", "memory"] : ["pure v2"], () => {
    const cgroup = make("", {
      hugepageLimits: [{ pageSize: "2MB", limit: 2 * MIB }],
      unified: { "memory.high": "1048576" },
    });
    expect(readFileSync(`${cgroup.paths[""]}/hugetlb.2MB.max`, "utf8")).toBe(`${2 * MIB}\n`);
    expect(readFileSync(`${cgroup.paths[""]}/memory.high`, "utf8")).toBe("1048576\n");
    expect(() => cgroup.apply({ hugepageLimits: [{ pageSize: "7MB", limit: 1 }] })).toThrow(
      "no huge pages of 7MB",
    );
    expect(() => cgroup.apply({ unified: { "memory.hi": "1" } })).toThrow("memory.hi");
  });

  rootTest(
    "a cgroup without processes only gives controllers to its children",
    layout.version === "v2" ? ["pids"] : ["pure v2"],
    () => {
      const outer = make();
      const { pid } = shell("sleep 100");
      outer.join(pid);
      // memory is a domain controller: a parent with processes can't give it away
      const inner = openCgroup(`${outer.mounts().hierarchies[0]?.path}/inner`, "inner");
      undo.push(() => inner.destroy());
      inner.create();
      expect(() => inner.apply({ memory: { limit: MIB } })).toThrow("/linux/resources/memory/limit");
    },
  );

  rootTest(
    "a v2 controller is enabled when a limit needs it",
    layout.version === "v2" ? ["pids"] : ["pure v2"],
    () => {
      // on a hybrid host nothing is enabled beforehand
      const outer = `hako-test-${process.pid}-outer`;
      const cgroup = openCgroup(`/${outer}/inner`, "inner", { ...layout, version: "hybrid" });
      undo.push(() => cgroup.destroy());
      cgroup.create();
      expect(existsSync(`${cgroup.paths[""]}/pids.max`)).toBe(false);
      cgroup.apply({ pids: { limit: 3 } });
      expect(readFileSync(`${cgroup.paths[""]}/pids.max`, "utf8")).toBe("3\n");
    },
  );

  const devices = layout.version === "v2" ? [] : ["devices"];
  rootTest(
    "devices: only those of the rules and the default ones open, also after an update",
    devices,
    async () => {
      const cgroup = make("", { devices: [{ allow: false, access: "rwm" }] });
      const open = async (path: string, mode: string) => {
        const { pid, go } = shell(`exec 3${mode}${path}`);
        cgroup.join(pid);
        return (await go()) === 0;
      };
      expect(await open("/dev/null", "<>")).toBe(true);
      expect(await open("/dev/urandom", "<")).toBe(true);
      expect(await open("/dev/kmsg", "<")).toBe(false);
      cgroup.apply({
        devices: [
          { allow: false, access: "rwm" },
          { allow: true, type: "c", major: 1, minor: 11, access: "r" },
        ],
      });
      expect(await open("/dev/kmsg", "<")).toBe(true);
      expect(await open("/dev/kmsg", "<>")).toBe(false);
      cgroup.apply({ pids: { limit: 50 } });
      expect(await open("/dev/kmsg", "<")).toBe(true);
      cgroup.apply({ devices: [{ allow: true, access: "rwm" }] });
      expect(await open("/dev/kmsg", "<>")).toBe(true);
    },
  );

  rootTest("where no cgroup may be made, only limits fail", ["memory"], () => {
    const script = `
      const { openCgroup } = await import(${JSON.stringify(resolve("src/cgroup/index.ts"))});
      const cgroup = openCgroup("/hako-test-unprivileged", "x");
      cgroup.create(); cgroup.apply({}); cgroup.join(process.pid); cgroup.destroy();
      try { cgroup.apply({ memory: { limit: 1048576 } }); } catch (error) { console.log(error.oneLine); }`;
    const result = spawnSync(process.execPath, ["-e", script], {
      uid: 65534,
      gid: 65534,
      env: { PATH: "/usr/bin:/bin", HOME: "/" },
      cwd: "/",
      encoding: "utf8",
    });
    expect(result.stderr).toBe("");
    expect(result.stdout).toContain("/linux/resources/memory/limit: no memory controller for this container");
    expect(result.stdout).toContain("permission denied");
  });
});

describe("hako cgroup @v2", () => {
  const hako = (...args: string[]) => spawnSync(HAKO, ["cgroup", ...args], { encoding: "utf8" });

  test("root, version, mounted", () => {
    const root = hako("root");
    expect(root.stderr).toBe("");
    expect(existsSync(root.stdout.trim())).toBe(true);
    expect(hako("version").stdout).toBe(`${layout.version}\n`);
    const [first] = layout.hierarchies;
    expect(hako("mounted", first?.mountpoint ?? "").status).toBe(0);
    expect(hako("mounted", "/proc").status).toBe(1);
    expect(hako("mounted", "/missing").status).toBe(1);
    expect(hako("mounted").status).toBe(2);
    expect(hako("root", "--mountinfo", "/dev/null").stderr).toContain("no cgroup hierarchy is mounted");
    expect(hako("show", "missing").status).toBe(1);
  });

  e2e("show: directories, limits, use", () => {
    using box = new Box();
    const id = box.id();
    const bundle = box.bundle(["sleep", "600"], (config) => {
      config.linux.resources = {
        memory: { limit: 64 * MIB },
        cpu: { quota: 50_000, period: 100_000 },
        pids: { limit: 7 },
      };
    });
    box.ok("run", "--detach", "--bundle", bundle, id);
    const report = JSON.parse(box.ok("cgroup", "show", id, "--format", "json").stdout);
    expect(report.version).toBe(layout.version);
    expect(report.pids).toEqual([box.state(id).pid]);
    for (const dir of Object.values<string>(report.paths)) expect(existsSync(dir)).toBe(true);
    const row = (name: string) =>
      report.resources.find(({ resource }: { resource: string }) => resource === name);
    expect(row("memory").limit).toBe(64 * MIB);
    expect(row("memory").use).toBeGreaterThan(0);
    expect(row("processes")).toMatchObject({ limit: 7, use: 1 });
    expect(row("cpu quota").limit).toBe(0.5);
    const table = box.ok("cgroup", "show", id).stdout;
    expect(table).toMatch(/^CONTROLLER +DIRECTORY\n/);
    expect(table).toMatch(/^memory +64 MiB +[\d.]+ [KM]iB +(-|[\d.]+ [KM]iB)$/m);
    expect(table).toMatch(/^processes +7 +1 +(-|\d+)$/m);
    expect(table).toMatch(/^cpu quota +0\.5 +- +-$/m);
    expect(table).toMatch(/^cpu time +- +0\.\d\d s +-$/m);
    expect(row("cpu time").use).toBeNumber();
  }, [needsHako]);

  e2e("show: what there was: the most memory, kills, throttling, also when it has stopped @v2", async () => {
    using box = new Box();
    const id = box.id();
    const line = "x=1; (while :; do x=$x$x$x$x; done); i=0; while [ $i -lt 10000 ]; do i=$((i+1)); done";
    const bundle = box.bundle(["sh", "-c", line], (config) => {
      config.linux.resources = {
        memory: { limit: 16 * MIB, swap: 16 * MIB },
        cpu: { quota: 5000, period: 50_000 },
      };
    });
    box.ok("run", "--detach", "--bundle", bundle, id);
    await until("it has stopped", () => box.state(id).status === "stopped", 60_000);
    const { resources } = JSON.parse(box.ok("cgroup", "show", id, "--json").stdout);
    const row = (name: string) => resources.find(({ resource }: { resource: string }) => resource === name);
    expect(row("out-of-memory kills").use).toBe(1);
    // v2 has it since Linux 5.19
    if (row("memory").peak !== undefined) expect(row("memory").peak).toBeGreaterThan(8 * MIB);
    expect(row("throttled periods").use).toBeGreaterThan(0);
    expect(row("throttled periods").use).toBeLessThanOrEqual(row("cpu periods").use);
    expect(row("throttled time").use).toBeGreaterThan(0);
    expect(box.ok("cgroup", "show", id).stdout).toMatch(/^throttled time +- +[\d.]+ s +-$/m);
  }, [needsHako]);

  e2e("show: a record is refused in the words of every command", () => {
    using box = new Box();
    const record = (text: string) => {
      mkdirSync(`${box.root}/odd`, { recursive: true, mode: 0o700 });
      writeFileSync(`${box.root}/odd/state.json`, text);
    };
    const said = () => {
      const [shown, state] = [box.hako("cgroup", "show", "odd"), box.hako("state", "odd")];
      expect(shown.status).toBe(state.status);
      expect(shown.stderr).toBe(state.stderr);
      return shown.stderr;
    };
    expect(said()).toContain("does not exist");
    record("broken");
    expect(said()).toContain("state.json is broken (hako delete --force odd");
    record('{ "id": "odd", "config": {}, "init_process_pid": 1 }');
    expect(said()).toContain("is runc's");
    chmodSync(box.root, 0o777);
    expect(said()).toContain("others may write to it");
  }, [needsHako]);
});

describe("ownership @v2", () => {
  const needsV2 = isV2 ? undefined : "on cgroup v1 a container's cgroups stay root's";
  e2e("a container with its own namespaces and a writable mount can make cgroups", () => {
    using box = new Box();
    chmodSync(box.dir, 0o755);
    const map = [{ containerID: 0, hostID: 100_000, size: 65_536 }];
    const own = (options: string[]) => (config: BundleConfig) => {
      const namespaces = config.linux.namespaces.filter(({ type }) => type !== "cgroup");
      config.linux.namespaces = [...namespaces, { type: "cgroup" }, { type: "user" }];
      config.linux.uidMappings = map;
      config.linux.gidMappings = map;
      config.mounts = config.mounts.filter(({ destination }) => destination !== "/sys/fs/cgroup");
      config.mounts.push({ destination: "/sys/fs/cgroup", type: "cgroup", source: "cgroup", options });
    };
    const line = "cd /sys/fs/cgroup; stat -c %u . cgroup.procs pids.max; mkdir below && echo made; true";
    expect(box.sh(line, own(["rw"]))).toBe("0\n0\n65534\nmade\n");
    expect(box.sh(line, own(["ro"]))).toBe("65534\n65534\n65534\n");
  }, [needsV2, needsHako]);
});

describe("without cgroups", () => {
  e2e("ps shows the processes of the pid namespace, and those that descend from the first", async () => {
    using box = new Box();
    const run = (mutate: (config: BundleConfig) => void) => {
      const bundle = box.bundle(["sh", "-c", "sleep 600 & sleep 600; true"], mutate);
      const id = box.id();
      box.ok("--cgroup-manager", "disabled", "run", "--detach", "--bundle", bundle, id);
      return id;
    };
    const shown = (id: string) => JSON.parse(box.ok("ps", "--format", "json", id).stdout) as number[];
    for (const share of [false, true]) {
      const id = run(({ linux }) => {
        if (share) linux.namespaces = linux.namespaces.filter(({ type }) => type !== "pid");
      });
      const { pid } = box.state(id);
      await until("its children are there", () => shown(id).length === 3);
      expect(shown(id)).toContain(pid);
      for (const each of shown(id)) {
        const status = readFileSync(`/proc/${each}/status`, "utf8");
        expect(each === pid || status.includes(`\nPPid:\t${pid}\n`)).toBe(true);
      }
      if (!share) {
        box.ok("exec", "--detach", id, "sleep", "500");
        expect(shown(id).length).toBe(4);
      }
      const children = shown(id);
      box.ok("kill", id, "KILL");
      await box.waitFor(id, "stopped");
      expect(shown(id)).toEqual([]);
      for (const each of share ? children : []) if (each !== pid) process.kill(each, "SIGKILL");
      box.ok("delete", id);
    }
  }, [needsHako]);
});

describe("delete --force", () => {
  const freezer = layout.hierarchies.find(({ controllers }) => controllers.includes("freezer"));
  const needsFreezer =
    freezer === undefined ? "no freezer of cgroup v1: elsewhere what is frozen dies" : undefined;

  for (const [what, from] of [
    ["all of a container that somebody put", 0],
    ["what a container's first process waits for, put", 1],
  ] as const) {
    e2e(`ends ${what} into another cgroup, which is frozen and stays so`, async () => {
      using box = new Box();
      const other = `${freezer?.mountpoint}/${box.id()}`;
      mkdirSync(other);
      try {
        const id = box.started(["sh", "-c", "sleep 600 & sleep 600; true"]);
        const shown = () => JSON.parse(box.ok("ps", "--format", "json", id).stdout) as number[];
        await until("its children are there", () => shown().length === 3);
        const pids = [box.state(id).pid, ...shown().filter((pid) => pid !== box.state(id).pid)];
        for (const pid of pids.slice(from)) writeFileSync(`${other}/cgroup.procs`, String(pid));
        writeFileSync(`${other}/freezer.state`, "FROZEN");
        box.ok("delete", "--force", id);
        await until(
          "the host's init has collected them",
          () => !pids.some((pid) => existsSync(`/proc/${pid}`)),
        );
        expect(readFileSync(`${other}/freezer.state`, "utf8")).toBe("FROZEN\n");
      } finally {
        writeFileSync(`${other}/freezer.state`, "THAWED");
        rmdirSync(other);
      }
    }, [needsHako, needsFreezer]);
  }
});
