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
  needsHako,
  needsProgram,
  type Result,
  until,
} from "./support";
import {
  cgroupOf,
  MIB,
  NEEDS,
  needsUserSystemd,
  needsV2,
  Scope,
  show,
  systemctl,
  USER,
  units,
} from "./systemd-scope";

describe("a scope", () => {
  e2e(
    "is made, shown by systemd, and gone with the container @v2",
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
    "run to the end of the program, with its status @v2",
    () => {
      using scope = new Scope();
      const bundle = scope.bundle(["sh", "-c", "cat /proc/self/cgroup; exit 7"]);
      expect(scope.hako("run", "--bundle", bundle, scope.id).status).toBe(7);
      expect(units(scope.unit)).toBe("");
    },
    NEEDS,
  );

  e2e(
    "in a slice below a slice, and in the root @v2",
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
    "create that is killed leaves what delete --force removes @v2",
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
    "a container that ran out of memory leaves no failed unit @v2",
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

describe("--cgroup-manager=disabled @v2", () => {
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

describe("an ordinary user @v2", () => {
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

describe("limits of an ordinary user's run --rootfs @v2", () => {
  e2e("are a scope's, without a flag and without XDG_RUNTIME_DIR", () => {
    using box = new Box();
    chmodSync(box.dir, 0o755);
    const hako = join(box.dir, "hako");
    copyFileSync(HAKO, hako);
    const run = (words: string[], env: string[]) =>
      asUser(
        "env",
        [...env, hako, ...words, "run", "--rootfs", "/", "--memory", "64M", "--pids", "20"].concat([
          "--",
          "sh",
          "-c",
          "cat /proc/self/cgroup /sys/fs/cgroup/memory.max /sys/fs/cgroup/pids.max",
        ]),
      );
    // the first process is one more
    for (const env of [[], ["-u", "XDG_RUNTIME_DIR"]])
      expect(run([], env)).toMatchObject({ status: 0, stdout: `0::/\n${64 * MIB}\n21\n`, stderr: "" });
    const refused = run(["--cgroup-manager", "cgroupfs"], []);
    expect(refused).toMatchObject({ status: 125, stdout: "" });
    expect(refused.stderr).toContain("limits need a cgroup");
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
