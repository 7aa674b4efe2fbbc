// Containers of an ordinary user: no right of root's but through newuidmap and newgidmap.
import { expect } from "bun:test";
import {
  chmodSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { AS_USER, Home, MAPS, NEEDS, NEEDS_MAPS, SUBORDINATE, USER } from "./rootless-home";
import {
  type BundleConfig,
  busyboxRootfs,
  e2e,
  execute,
  expectUnchanged,
  hostSnapshot,
  until,
} from "./support";

e2e(
  "one id: run, and nothing is left",
  async () => {
    using home = new Home();
    const before = hostSnapshot(join(home.runtime, "hako"));
    const line =
      "id -u; cat /proc/self/uid_map; cat /proc/self/setgroups; echo x > /dev/null; echo $$; touch /made; ls /sys | head -1";
    const bundle = home.bundle(["sh", "-c", line], (config) => {
      config.root.readonly = false;
    });
    const result = home.hako("run", "--bundle", bundle, home.box.id());
    expect([result.status, result.stdout.replaceAll(/ +/g, " ").split("\n").slice(0, 4)]).toEqual([
      0,
      ["0", ` 0 ${USER} 1`, "deny", "1"],
    ]);
    expect(statSync(join(bundle, "rootfs/made")).uid).toBe(USER);
    await expectUnchanged(before, join(home.runtime, "hako"));
  },
  NEEDS,
);

e2e(
  "create, start, exec, state, kill and delete; state is below XDG_RUNTIME_DIR",
  () => {
    using home = new Home();
    const id = home.box.id();
    expect(home.hako("create", "--bundle", home.bundle(["sleep", "600"]), id)).toMatchObject({ status: 0 });
    expect(readdirSync(join(home.runtime, "hako"))).toContain(id);
    // else it could be tidied up
    expect(statSync(join(home.runtime, "hako")).mode & 0o1000).toBe(0o1000);
    expect(home.hako("start", id).status).toBe(0);
    expect(JSON.parse(home.hako("state", id).stdout).status).toBe("running");
    const exec = home.hako("exec", id, "sh", "-c", "id -u; hostname; readlink /proc/self/ns/user; exit 4");
    expect(exec.status).toBe(4);
    expect(exec.stdout).toContain("0\n");
    expect(home.hako("kill", id, "KILL").status).toBe(0);
    expect(home.hako("delete", "--force", id).status).toBe(0);
  },
  NEEDS,
);

e2e(
  "without XDG_RUNTIME_DIR: /run/user/UID, or a directory in /tmp that is the user's alone",
  () => {
    using home = new Home();
    const rootfs = join(home.bundle(["true"]), "rootfs");
    const place = `/tmp/hako-${USER}`;
    // an empty /tmp, in which only hako and the root file system are; of others' users too
    const hako = (before: string, ...args: string[]) => {
      const line = [
        `mkdir -p ${home.box.dir}/tmp; chmod 1777 ${home.box.dir}/tmp`,
        `mount -t tmpfs tmpfs /mnt; mkdir /mnt/rootfs; mount --bind ${rootfs} /mnt/rootfs`,
        `touch /mnt/hako; mount --bind ${home.hakoPath} /mnt/hako; mount --bind ${home.box.dir}/tmp /tmp`,
        `cd /; ${before || ":"}; exec "$@"`,
      ].join("; ");
      const words = ["--mount", "sh", "-c", line, "sh", ...AS_USER, "/mnt/hako", ...args];
      return execute("unshare", words, { env: { PATH: process.env.PATH ?? "" } });
    };
    const run = (before: string) =>
      hako(before, "run", "--rootfs", "/mnt/rootfs", "--keep", "--", "id", "-u");
    const ids = (before: string) => hako(before, "list", "--quiet");
    expect(run("")).toMatchObject({ status: 0, stdout: "0\n", stderr: "" });
    expect(statSync(join(home.box.dir, `tmp/hako-${USER}`))).toMatchObject({ uid: USER, mode: 0o40700 });
    const [id = ""] = ids("").stdout.split("\n");
    expect(id).toStartWith("run-");
    // an environment that su has left
    const ofSu = `mkdir -p /run/user/0; export XDG_RUNTIME_DIR=/run/user/0`;
    expect(ids(ofSu).stdout).toBe(`${id}\n`);
    expect(hako("", "delete", id)).toMatchObject({ status: 0 });
    const session = `mount -t tmpfs tmpfs /run; mkdir -p /run/user/${USER}; chown ${USER}:${USER} /run/user/${USER}`;
    const inSession = `${session}; ls -A /run/user/${USER}`;
    expect(hako(session, "run", "--rootfs", "/mnt/rootfs", "--", "id", "-u").status).toBe(0);
    expect(ids(inSession).status).toBe(0);
    const hostile: [string, string][] = [
      [`mkdir -m 700 ${place}`, "belongs to user 0"],
      [`install -d -m 700 -o 12 ${place}`, "belongs to user 12"],
      [`mkdir -m 777 ${place}`, "belongs to user 0"],
      [`ln -s /mnt ${place}`, "belongs to user 0"],
      [`ln -s /mnt ${place}; chown -h ${USER} ${place}`, "is no directory"],
      [`install -d -m 755 -o ${USER} ${place}`, "is open to others"],
      [`touch ${place}; chown ${USER} ${place}`, "is no directory"],
    ];
    for (const [make, why] of hostile) {
      for (const result of [run(`rm -rf ${place}; ${make}`), ids(`rm -rf ${place}; ${make}`)]) {
        expect([make, result.stdout]).toEqual([make, ""]);
        expect(result.stderr).toContain(`state directory ${place}/hako: ${place} ${why}`);
      }
    }
  },
  NEEDS,
);

e2e(
  "exec: a directory of PATH that only the container's users may search; oomScoreAdj",
  () => {
    using home = new Home();
    const id = home.box.id();
    const bundle = home.bundle(["sleep", "600"], (config) => {
      Object.assign(config.linux, MAPS);
      config.process.oomScoreAdj = 300;
    });
    // of the container's user 1000: to the caller, who is its root outside, it is closed
    const closed = join(bundle, "rootfs/closed");
    mkdirSync(closed);
    writeFileSync(join(closed, "hidden"), "#!/bin/sh\necho hidden\n", { mode: 0o755 });
    execute("chown", ["-R", `${SUBORDINATE + 999}`, closed]);
    chmodSync(closed, 0o700);
    expect(home.hako("run", "--detach", "--bundle", bundle, id)).toMatchObject({ status: 0 });
    const exec = (...words: string[]) => home.hako("exec", "--env", "PATH=/closed:/bin", ...words);
    expect(exec(id, "cat", "/proc/self/oom_score_adj")).toMatchObject({ status: 0, stdout: "300\n" });
    expect(exec("--user", "1000:1000", id, "hidden")).toMatchObject({ status: 0, stdout: "hidden\n" });
    const last = (...words: string[]) => home.hako("exec", "--env", "PATH=/bin:/closed", ...words);
    expect(last("--user", "1000:1000", id, "hidden")).toMatchObject({ status: 0, stdout: "hidden\n" });
    for (const path of ["/closed:/bin", "/bin:/closed"]) {
      const none = home.hako("exec", "--user", "1000:1000", "--env", `PATH=${path}`, id, "none");
      expect(none.status).toBe(255);
      expect(none.stderr).toContain('exec: "none": executable file not found in $PATH');
    }
    const shut = home.hako("exec", "--user", "5:5", "--env", "PATH=/closed", id, "hidden");
    expect(shut.stderr).toContain('exec: "hidden": permission denied');
    expect(home.hako("delete", "--force", id).status).toBe(0);
  },
  NEEDS_MAPS,
);

e2e(
  "exec: the first process has changed its root",
  async () => {
    using home = new Home();
    const id = home.box.id();
    const bundle = home.bundle(["busybox", "chroot", "/jail", "sleep", "600"], (config) => {
      Object.assign(config.linux, MAPS);
      const names = [...(config.process.capabilities?.bounding ?? []), "CAP_SYS_CHROOT"];
      config.process.capabilities = { bounding: names, effective: names, permitted: names };
    });
    busyboxRootfs(join(bundle, "rootfs/jail"));
    writeFileSync(join(bundle, "rootfs/only"), "outside the jail\n");
    expect(home.hako("run", "--detach", "--bundle", bundle, id)).toMatchObject({ status: 0 });
    const { pid } = JSON.parse(home.hako("state", id).stdout);
    await until("the jail is entered", () =>
      readFileSync(`/proc/${pid}/cmdline`, "utf8").startsWith("sleep"),
    );
    expect(home.hako("exec", id, "cat", "/only")).toMatchObject({
      status: 0,
      stdout: "outside the jail\n",
    });
  },
  NEEDS_MAPS,
);

e2e(
  "run --rootfs with a directory",
  () => {
    using home = new Home();
    const rootfs = join(home.bundle(["true"]), "rootfs");
    const run = (...words: string[]) => home.hako("run", "--rootfs", ...words);
    const result = run(rootfs, "-e", "A=b", home.box.id(), "--", "sh", "-c", "echo $$ $A; id -u; exit 4");
    expect(result).toMatchObject({ status: 4, stdout: "2 b\n0\n" });
    const own = run(
      rootfs,
      "--user",
      `${USER}`,
      "--",
      "sh",
      "-c",
      "id -u; id -g; touch /made; ls -n /made; grep Cap /proc/self/status",
    );
    expect(own).toMatchObject({ status: 0, stderr: "" });
    expect(own.stdout).toStartWith(`${USER}\n${USER}\n`);
    expect(own.stdout).toContain(` ${USER} `);
    expect(own.stdout.match(/Cap\w+:\t0{16}\n/g)).toHaveLength(5);
    expect(run(rootfs, "--map-root", "--", "id", "-u")).toMatchObject({ status: 0, stdout: "0\n" });
    expect(run(rootfs, "--user", "5", "--", "id")).toMatchObject({ status: 125, stdout: "" });
  },
  NEEDS,
);

e2e(
  "masked and read-only paths are the same, made at once or one by one",
  () => {
    using home = new Home();
    const line = [
      "cut -d' ' -f4-6 /proc/self/mountinfo | grep -E ' /(proc|sys)' | sort -u",
      "for f in /proc/keys /proc/timer_list; do test -e $f && wc -c < $f; done; ls -A /sys/firmware /proc/acpi",
      "echo 1 > /proc/sys/kernel/panic",
    ];
    const run = (change: (linux: BundleConfig["linux"]) => void) =>
      home.hako(
        ...["run", "--bundle"],
        home.bundle(["sh", "-c", line.join("; ")], (config) => {
          config.linux.namespaces.push({ type: "network" });
          const sys = config.mounts.find(({ destination }) => destination === "/sys");
          Object.assign(sys ?? {}, {
            type: "sysfs",
            source: "sysfs",
            options: ["nosuid", "noexec", "nodev", "ro"],
          });
          change(config.linux);
        }),
        home.box.id(),
      );
    const atOnce = run(() => {});
    // a process that only hako sees: one is looked at after the other
    const oneByOne = run((linux) => {
      linux.maskedPaths = [...(linux.maskedPaths ?? []), "/nowhere", `/proc/${process.pid}`];
    });
    expect(atOnce.stdout).toContain(" /proc/sys ro");
    expect(atOnce.stderr).toContain("Read-only file system");
    expect(oneByOne).toMatchObject({ stdout: atOnce.stdout, stderr: atOnce.stderr });
    // what is no such file, and what is there twice
    const odd = run((linux) => {
      linux.maskedPaths = ["/proc/keys/x", "/proc/keys", "/proc//keys", "/proc/self/../acpi"];
      linux.readonlyPaths = ["/proc/sys", "/proc/sys/kernel", "/proc/none/x"];
    });
    expect(odd.stderr).toContain("Read-only file system");
    expect(odd.stdout).toContain("/proc/keys");
  },
  NEEDS,
);

e2e(
  "usual mounts are the same, made at once or one by one",
  () => {
    using home = new Home();
    const line = [
      "cut -d' ' -f4-6,8- /proc/self/mountinfo | grep -E '^[^ ]+ /(proc|sys|dev)'",
      "stat -c '%a %n' /proc /sys /dev /dev/pts /dev/shm /dev/mqueue",
    ].join("; ");
    const run = (change: (config: BundleConfig) => void) => {
      const bundle = home.bundle(["sh", "-c", line], (config) => {
        config.linux.namespaces.push({ type: "network" });
        change(config);
      });
      return { bundle, run: () => home.hako("run", "--bundle", bundle, home.box.id()) };
    };
    const atOnce = run(() => {}).run();
    expect(atOnce).toMatchObject({ status: 0, stderr: "" });
    expect(atOnce.stdout).toContain("1777 /dev/shm");
    // what the first one is anyway is more than the usual steps
    const oneByOne = run(({ mounts }) => {
      const [first] = mounts;
      if (first !== undefined) first.options = [...(first.options ?? []), "private"];
    }).run();
    expect(oneByOne).toMatchObject({ status: 0, stdout: atOnce.stdout, stderr: "" });
    // from the middle on
    const twice = run(({ mounts }) => {
      mounts.push({ destination: "/dev/shm", type: "tmpfs", source: "again", options: ["size=4k"] });
    }).run();
    expect(twice.stdout).toContain(" /dev/shm rw,relatime tmpfs again ");
    const link = run(() => {});
    const rootfs = join(link.bundle, "rootfs");
    rmSync(join(rootfs, "proc"), { recursive: true, force: true });
    expect(link.run()).toMatchObject({ status: 0, stdout: atOnce.stdout });
    rmSync(join(rootfs, "proc"), { recursive: true });
    mkdirSync(join(rootfs, "other"));
    symlinkSync("other", join(rootfs, "proc"));
    expect(link.run().stderr).toContain("/proc must be an ordinary directory");
  },
  NEEDS,
);

e2e(
  "without a pid namespace and a cgroup, kill and kill --all reach the first process",
  async () => {
    using home = new Home();
    for (const words of [["TERM"], ["KILL"], ["--all", "KILL"], ["--all", "9"]]) {
      const id = home.box.id();
      const line = "trap 'exit 0' TERM; while :; do sleep 0.1; done";
      const bundle = home.bundle(["sh", "-c", line], (config) => {
        config.linux.namespaces = config.linux.namespaces.filter(({ type }) => type !== "pid");
        const proc = config.mounts.find(({ type }) => type === "proc");
        Object.assign(proc ?? {}, { type: "bind", source: "/proc", options: ["rbind"] });
      });
      expect(home.hako("run", "--detach", "--bundle", bundle, id)).toMatchObject({ status: 0 });
      const [first = "", second] = words;
      const operands = second === undefined ? [id, first] : [first, id, second];
      expect(home.hako("kill", ...operands)).toMatchObject({ status: 0 });
      await until(`${id} has ended`, () => JSON.parse(home.hako("state", id).stdout).status === "stopped");
      expect(home.hako("kill", "--all", id, "KILL").status).toBe(0);
      expect(home.hako("delete", id).status).toBe(0);
    }
  },
  NEEDS,
);

e2e(
  "without a cgroup all processes are those of the pid namespace: --grace and kill --all end what a shell waits for",
  async () => {
    using home = new Home();
    // a shell runs its trap when the program that it waits for has ended
    const bundle = home.bundle(["sh", "-c", "trap 'echo cleaned up; exit 4' TERM; echo on; sleep 600"]);
    const begun = performance.now();
    const graced = home.hako("run", "--timeout", "500ms", "--grace", "1m", "--bundle", bundle, home.box.id());
    expect(graced).toMatchObject({ status: 124, stdout: "on\ncleaned up\n" });
    const id = home.box.id();
    const file = join(home.runtime, "output");
    expect(home.hako("run", "--detach", "--output", file, "--bundle", bundle, id)).toMatchObject({
      status: 0,
    });
    await until("its trap is set", () => home.hako("logs", id).stdout === "on\n");
    expect(home.hako("kill", "--all", id, "TERM")).toMatchObject({ status: 0, stderr: "" });
    await until("its trap has run", () => home.hako("logs", id).stdout.endsWith("cleaned up\n"));
    expect(performance.now() - begun).toBeLessThan(40_000);
    expect(home.hako("delete", "--force", id).status).toBe(0);
  },
  NEEDS,
);

e2e(
  "subordinate ids by newuidmap and newgidmap",
  () => {
    using home = new Home();
    const bundle = home.bundle(
      ["sh", "-c", "cat /proc/self/uid_map; id -u; id -G; touch /tmp/x; stat -c %u /tmp/x"],
      (config) => {
        Object.assign(config.linux, MAPS);
        config.process.user = { uid: 1000, gid: 1000, additionalGids: [5] };
        config.mounts.push({ destination: "/tmp", type: "tmpfs", source: "tmpfs", options: ["mode=1777"] });
      },
    );
    const result = home.hako("run", "--bundle", bundle, home.box.id());
    expect([result.status, result.stderr.replace(/^.*warn.*$/gim, "").trim()]).toEqual([0, ""]);
    expect(result.stdout.replaceAll(/ +/g, " ")).toBe(
      ` 0 ${USER} 1\n 1 ${SUBORDINATE} 65536\n1000\n1000 5\n1000\n`,
    );
  },
  NEEDS_MAPS,
);

e2e(
  "what an ordinary user can't have is named",
  () => {
    using home = new Home();
    const id = home.box.id();
    const rows: [(config: BundleConfig) => void, RegExp][] = [
      [
        (config) => {
          config.linux.namespaces = config.linux.namespaces.filter(({ type }) => type !== "user");
          config.linux.uidMappings = [];
          config.linux.gidMappings = [];
        },
        /config \/linux\/namespaces: a rootless container needs/,
      ],
      [
        (config) => {
          config.linux.uidMappings = [{ containerID: 0, hostID: 0, size: 10 }];
        },
        /config \/linux\/uidMappings: .*newuidmap/,
      ],
      [
        (config) => {
          config.linux.resources = { memory: { limit: 64 << 20 } };
        },
        /\/linux\/resources\/memory\/limit: no memory controller for this container: .*\(limits need a cgroup/,
      ],
    ];
    for (const [change, expected] of rows) {
      const result = home.hako("create", "--bundle", home.bundle(["true"], change), id);
      expect(result.status).toBe(1);
      expect(result.stderr).toMatch(expected);
      expect(home.hako("state", id).status).toBe(1);
    }
    expect(home.hako("--rootless=false", "create", "--bundle", home.bundle(["true"]), id).stderr).toContain(
      "--rootless=false",
    );
    expect(home.hako("--rootless=maybe", "list").status).toBe(2);
  },
  NEEDS_MAPS,
);
