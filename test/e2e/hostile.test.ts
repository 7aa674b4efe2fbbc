// @cgroup-v2
// Root file systems, callers and containers that mean harm: nothing reaches the host, nothing hangs.
import { describe, expect } from "bun:test";
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { basename, join } from "node:path";
import {
  Box,
  e2e,
  execute,
  expectUnchanged,
  HAKO,
  hostSnapshot,
  names,
  needsHako,
  needsProgram,
  until,
} from "./support";

const SLEEP = ["sleep", "600"];

describe("the root file system", () => {
  e2e("/etc/passwd is a named pipe: nobody waits", () => {
    using box = new Box();
    const bundle = box.bundle(["sh", "-c", "echo $HOME"], (config) => {
      config.process.env = ["PATH=/bin"];
    });
    rmSync(join(bundle, "rootfs/etc/passwd"));
    execute("mkfifo", [join(bundle, "rootfs/etc/passwd")]);
    const result = box.hakoWith({ timeout: 10_000 }, "run", "--bundle", bundle, box.id());
    expect(result).toMatchObject({ status: 0, stdout: "/\n" });
  });

  e2e("/etc/passwd and /etc/group are nothing but rows: exec takes memory for few of them", () => {
    using box = new Box();
    const bundle = box.bundle(SLEEP);
    const id = box.id();
    box.ok("run", "--detach", "--bundle", bundle, id);
    // as much as is read at all; all rows at once took a gigabyte
    for (const file of ["passwd", "group"])
      writeFileSync(join(bundle, "rootfs/etc", file), ":\n".repeat(1 << 23));
    const command = [HAKO, "--root", box.root, "exec", "--user", "1000", id];
    // busybox's id would read the files itself
    command.push("grep", "Uid:\t1000\t", "/proc/self/status");
    const done = Bun.spawnSync(command, { stdin: "ignore", timeout: 60_000 });
    expect(done.exitCode).toBe(0);
    expect(done.resourceUsage.maxRSS).toBeLessThan(400 << 20);
  }, [needsHako]);

  e2e("a program with the name of hako's own process: start comes back", () => {
    using box = new Box();
    const bundle = box.bundle(["/hako:[init]"]);
    const script = "#!/bin/sh\nwhile :; do sleep 1; done\n";
    writeFileSync(join(bundle, "rootfs/hako:[init]"), script, { mode: 0o755 });
    const id = box.id();
    box.ok("create", "--bundle", bundle, id);
    expect(box.hakoWith({ timeout: 10_000 }, "start", id)).toMatchObject({ status: 0, signal: null });
    expect(box.state(id).status).toBe("running");
  }, [needsHako]);

  e2e("/dev/null is a link to a secret: masked paths don't show it", () => {
    using box = new Box();
    const bundle = box.bundle(["cat", "/proc/kcore"], (config) => {
      // no /dev of ours: the image's is used
      config.mounts = config.mounts.filter((mount) => !mount.destination.startsWith("/dev"));
      config.linux.maskedPaths = ["/proc/keys"];
    });
    const dev = join(bundle, "rootfs/dev");
    writeFileSync(join(bundle, "rootfs/secret"), "secret");
    symlinkSync("/secret", join(dev, "null"));
    const result = box.hako("run", "--bundle", bundle, box.id());
    expect(result.stdout).not.toContain("secret");
  });

  e2e("links out of it, for every kind of target", async () => {
    using box = new Box();
    const outside = box.path("outside");
    mkdirSync(outside);
    const before = hostSnapshot(box.root);
    const rows: [string, string][] = [
      ["up", "../../../../../../../../../../.."],
      ["absolute", outside],
    ];
    for (const [name, target] of rows) {
      const source = box.path(`source-${name}`);
      writeFileSync(source, "data");
      const bundle = box.bundle(["cat", `/${name}${name === "up" ? outside : ""}/file`], (config) => {
        config.mounts.push({
          destination: `/${name}${name === "up" ? outside : ""}/file`,
          type: "bind",
          source,
          options: ["bind"],
        });
      });
      symlinkSync(target, join(bundle, "rootfs", name));
      const result = box.hako("run", "--bundle", bundle, box.id());
      expect(result).toMatchObject({ status: 0, stdout: "data" });
      expect(existsSync(join(outside, "file"))).toBe(false);
    }
    await expectUnchanged(before, box.root);
  });

  e2e("the working directory is a descriptor's: refused", () => {
    using box = new Box();
    const host = openSync("/", "r");
    for (const cwd of ["/proc/self/fd/3", "/proc/self/fd/7", "/proc/1/fd/3", "/proc/self/cwd/.."]) {
      const bundle = box.bundle(["ls", "."], (config) => {
        config.process.cwd = cwd;
      });
      const result = box.hakoWith(
        { extraFds: [host, host, host, host, host] },
        "run",
        "--bundle",
        bundle,
        box.id(),
      );
      // where it is no directory at all the error is another one; what counts is that the host's root isn't listed
      expect(result.stdout).not.toContain("boot");
    }
    closeSync(host);
  });
});

describe("the container's first process while it waits", () => {
  e2e("can't be looked into by a container of the same pid namespace", async () => {
    using box = new Box();
    const first = box.id();
    box.ok("run", "--detach", "--bundle", box.bundle(SLEEP), first);
    const { pid } = box.state(first);
    const waiting = box.id();
    const join = (config: { linux: { namespaces: { type: string; path?: string }[] } }): void => {
      config.linux.namespaces = config.linux.namespaces.map((namespace) =>
        namespace.type === "pid" ? { type: "pid", path: `/proc/${pid}/ns/pid` } : namespace,
      );
    };
    box.ok("create", "--bundle", box.bundle(["true"], join), waiting);
    const spy = box.run(
      [
        "sh",
        "-c",
        "for p in /proc/[0-9]*; do grep -q 'hako' $p/comm && { readlink $p/exe $p/fd/5; cat $p/environ; ls $p/root/; echo x > $p/oom_score_adj; }; done; true",
      ],
      join,
    );
    expect(spy.stdout.trim()).toBe("");
    expect(spy.stderr).toContain("ermission denied");
  });

  e2e("is sealed: its executable is not hako's file, but some hundred bytes in memory that nobody can change", () => {
    using box = new Box();
    const id = box.id();
    box.ok("create", "--bundle", box.bundle(["true"]), id);
    const { pid } = box.state(id);
    expect(statSync(`/proc/${pid}/exe`).ino).not.toBe(statSync(HAKO).ino);
    expect(readlinkSync(`/proc/${pid}/exe`)).toStartWith("/memfd:");
    expect(statSync(`/proc/${pid}/exe`).size).toBeLessThan(100_000);
    const mode = execute("sh", ["-c", `echo x >> /proc/${pid}/exe`]);
    expect(mode.status).not.toBe(0);
    expect(mode.stderr).toMatch(/Operation not permitted|Text file busy/);
    // it waits, with little memory
    const own = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
    expect(Number(/^Pss:\s+(\d+) kB/m.exec(own)?.[1])).toBeLessThan(256);
  }, [needsHako]);

  e2e("its socket and its record are its owner's", () => {
    using box = new Box();
    const id = box.id();
    box.ok("create", "--bundle", box.bundle(["true"]), id);
    const mode = (name: string) => (statSync(join(box.root, id, name)).mode & 0o777).toString(8);
    expect(mode("start.sock")).toBe("600");
    expect(mode("state.json")).toBe("600");
  }, [needsHako]);

  e2e("has no descriptor but its own", () => {
    using box = new Box();
    const id = box.id();
    const fds = Array.from({ length: 5 }, () => openSync("/etc/passwd", "r"));
    box.hakoWith({ extraFds: fds }, "create", "--bundle", box.bundle(["true"]), id);
    for (const fd of fds) closeSync(fd);
    const { pid } = box.state(id);
    const links = execute("sh", ["-c", `for fd in /proc/${pid}/fd/*; do readlink $fd; done`]).stdout;
    expect(links).not.toContain("passwd");
    expect(links).not.toContain(box.root);
    expect(links).not.toContain("/sys/fs/cgroup");
  }, [needsHako]);
});

describe("devices and the host's kernel", () => {
  e2e("a disk's node can be made but not opened @v2", () => {
    using box = new Box();
    const out = box.sh(
      "mknod /tmp/disk b 254 0 && head -c 1 /tmp/disk 2>&1; cat /dev/null && echo null",
      (config) => {
        for (const set of ["bounding", "effective", "permitted"] as const)
          config.process.capabilities?.[set]?.push("CAP_MKNOD");
        config.mounts.push({ destination: "/tmp", type: "tmpfs", source: "tmpfs", options: ["dev"] });
        config.linux.resources = {
          devices: [
            { allow: false, access: "rwm" },
            { allow: true, type: "b", access: "m" },
          ],
        };
      },
    );
    expect(out).toContain("Operation not permitted");
    expect(out).toContain("null");
  });

  e2e("run --rootfs /: nothing of the host can be written, by any way", async () => {
    using box = new Box();
    const before = hostSnapshot(box.root);
    const places = ["/", "/etc", "/root", "/usr", "/var/tmp", "/run", "/tmp"];
    const line = `for d in ${places.join(" ")}; do echo x > $d/hako-e2e-mark 2>/dev/null; rm -rf $d/hako-e2e-keep; done; mount -o remount,rw / 2>&1; ls /proc/1/root/.. >/dev/null; echo done`;
    writeFileSync("/var/tmp/hako-e2e-keep", "");
    const result = box.hako("run", "--rootfs", "/", box.id(), "--", "sh", "-c", line);
    expect(result.stdout).toContain("done");
    for (const place of places) expect(existsSync(join(place, "hako-e2e-mark"))).toBe(false);
    expect(existsSync("/var/tmp/hako-e2e-keep")).toBe(true);
    rmSync("/var/tmp/hako-e2e-keep");
    await expectUnchanged(before, box.root);
  }, [needsHako]);
});

describe("hooks", () => {
  e2e("get their own environment and no descriptor of ours", () => {
    using box = new Box();
    const report = box.path("report");
    const fds = [openSync("/etc/passwd", "r")];
    const bundle = box.bundle(["true"], (config) => {
      config.hooks = {
        createRuntime: [
          {
            path: "/bin/sh",
            args: [
              "sh",
              "-c",
              `env > ${report}; ls -l /proc/self/fd >> ${report}; grep -E 'SigIgn|SigBlk' /proc/self/status >> ${report}`,
            ],
            env: ["PATH=/usr/bin:/bin"],
          },
        ],
      };
    });
    const options = { extraFds: fds, env: { PATH: "/usr/bin:/bin:/usr/sbin", SECRET: "secret" } };
    expect(box.hakoWith(options, "run", "--bundle", bundle, box.id()).status).toBe(0);
    for (const fd of fds) closeSync(fd);
    const text = readFileSync(report, "utf8");
    expect(text).not.toContain("SECRET");
    expect(text).not.toContain("passwd");
    expect(text).not.toContain(box.root);
    expect(text).toContain("SigIgn:\t0000000000000000");
    expect(text).toContain("SigBlk:\t0000000000000000");
  });
});

describe("kill and delete", () => {
  e2e("cgroups deeper than a path goes, with names of any bytes: none is out of reach @v2", async () => {
    using box = new Box();
    // its processes end only when they are found
    const bundle = box.bundle(["sh", "-c", "sleep 600 & sleep 600"], (config) => {
      config.linux.namespaces = config.linux.namespaces.filter(({ type }) => type !== "pid");
    });
    const id = box.id();
    box.ok("run", "--detach", "--bundle", bundle, id);
    const pids = () => (JSON.parse(box.ok("ps", "--json", id).stdout) as number[]).length;
    await until("both run", () => pids() === 2);
    const { init, cgroup } = JSON.parse(readFileSync(join(box.root, id, "state.json"), "utf8"));
    for (const { mountpoint, path } of cgroup.nodes) {
      execute("sh", ["-c", `mkdir "$0/$(printf '\\377\\376')"`, mountpoint + path]);
      let fd = openSync(mountpoint + path, "r");
      for (let depth = 0; depth < 25; depth++) {
        const below = `/proc/self/fd/${fd}/${"x".repeat(200)}`;
        mkdirSync(below);
        const next = openSync(below, "r");
        closeSync(fd);
        fd = next;
      }
      // a v1 cpuset takes nobody before it has processors
      if (!mountpoint.endsWith("cpuset")) writeFileSync(`/proc/self/fd/${fd}/cgroup.procs`, String(init.pid));
      closeSync(fd);
    }
    expect(pids()).toBe(2);
    box.ok("kill", "--all", id, "KILL");
    await until("none runs", () => pids() === 0);
    box.ok("delete", id);
    for (const { mountpoint, path } of cgroup.nodes) expect(existsSync(mountpoint + path)).toBe(false);
  }, [needsHako]);

  e2e("a cgroup that others use is not taken, and its processes live @v2", () => {
    using box = new Box();
    const bundle = (path: string) =>
      box.bundle(SLEEP, (config) => {
        config.linux.cgroupsPath = path;
      });
    const first = box.id();
    const path = `/${first}`;
    box.ok("run", "--detach", "--bundle", bundle(path), first);
    const { pid } = box.state(first);
    const second = box.hako("create", "--bundle", bundle(path), box.id());
    expect(second.status).toBe(1);
    expect(second.stderr).toContain("in use");
    expect(readlinkSync(`/proc/${pid}/exe`)).toContain("busybox");
    expect(box.state(first).status).toBe("running");
  }, [needsHako, needsProgram("mkfifo")]);

  e2e("a directory that hako has not made is not removed, whatever --root and id say", () => {
    using box = new Box();
    box.started();
    const bundle = box.bundle(["true"]);
    const file = join(box.root, "home/user/file");
    mkdirSync(join(box.root, "home/user"), { recursive: true });
    writeFileSync(file, "");
    for (const [root, id] of [
      [box.root, "home"],
      [box.dir, basename(bundle)],
    ]) {
      const result = execute(HAKO, ["--root", root ?? "", "delete", "--force", id ?? ""]);
      expect(result.status).toBe(1);
      expect(result.stderr).toContain(`${root}/${id} is no container's: hako has not made `);
    }
    expect([existsSync(file), existsSync(join(bundle, "config.json"))]).toEqual([true, true]);
    // the host's root directory is full of others'
    for (const words of [["list"], ["delete", "--force", "home"], ["create", "--bundle", bundle, "home"]]) {
      const result = execute(HAKO, ["--root", "/", ...words]);
      expect([result.status, result.stderr]).toEqual([
        2,
        "hako: --root /: the root directory can't be the state directory\n",
      ]);
    }
    const store = names(join(box.root, "containers-mapping"));
    for (const command of ["delete", "create", "state"]) {
      const flags = command === "create" ? ["--bundle", bundle] : command === "delete" ? ["--force"] : [];
      const result = box.hako(command, ...flags, "containers-mapping");
      expect(result.status).toBe(2);
      expect(result.stderr).toContain('invalid container id "containers-mapping"');
    }
    expect(names(join(box.root, "containers-mapping"))).toEqual(store);
  }, [needsHako]);

  e2e("what is left of a create that was killed is removed @v2", () => {
    using box = new Box();
    const id = box.id();
    const bundle = box.bundle(["true"], ({ linux }) => {
      linux.cgroupsPath = `/${id}`;
    });
    box.ok("create", "--bundle", bundle, id);
    box.ok("kill", id, "KILL");
    rmSync(join(box.root, id, "state.json"));
    mkdirSync(join(box.root, id, "rootfs"));
    const empty = box.id();
    mkdirSync(join(box.root, empty));
    for (const each of [id, empty]) {
      expect(box.hako("delete", each).status).toBe(1);
      box.ok("delete", "--force", each);
      expect(existsSync(join(box.root, each))).toBe(false);
    }
    for (const controller of names("/sys/fs/cgroup"))
      execute("rmdir", [join("/sys/fs/cgroup", controller, id)]);
  }, [needsHako]);

  e2e("the root cgroup is nobody's @v2", () => {
    using box = new Box();
    const result = box.hako(
      "create",
      "--bundle",
      box.bundle(SLEEP, (config) => {
        config.linux.cgroupsPath = "/";
      }),
      box.id(),
    );
    expect(result.status).toBe(1);
  }, [needsHako]);
});

describe("what is the host's stays so", () => {
  e2e("/proc/self/exe as the program is refused: it would be hako's own", () => {
    using box = new Box();
    const id = box.started(SLEEP);
    const rootfs = join(box.state(id).bundle, "rootfs");
    symlinkSync("/proc/self/exe", join(rootfs, "tmp/link"));
    writeFileSync(join(rootfs, "tmp/script"), "#!/proc/self/exe\n", { mode: 0o755 });
    for (const program of ["/proc/self/exe", "/proc/thread-self/exe", "/tmp/link", "/tmp/script"]) {
      for (const flags of [[], ["--detach"], ["--pid-file", box.path("pid")]]) {
        const { status, stdout, stderr } = box.hako("exec", ...flags, id, program);
        expect([program, flags, status, stdout]).toEqual([program, flags, 255, ""]);
        expect(stderr).toContain(`exec: ${JSON.stringify(program)}: permission denied: `);
        expect(stderr).toContain("it leads to the process that shall execute it, which is hako's");
      }
    }
    expect(existsSync(box.path("pid"))).toBe(false);
    const create = box.run(["/proc/self/exe"]);
    expect([create.status, create.stdout]).toEqual([1, ""]);
    expect(create.stderr).toContain("it leads to the process that shall execute it, which is hako's");
  }, [needsHako]);

  /** Runs a line in a mount namespace where the rootfs has the host's /dev, and a mount is shared. */
  function inNamespace(box: Box, bundle: string, line: string): string {
    const script = `mount --bind ${bundle} ${bundle} && mount --make-shared ${bundle} &&
      mkdir -p ${box.dir}/shared && mount -t tmpfs shared ${box.dir}/shared && mount --make-shared ${box.dir}/shared &&
      ${line}`;
    const { status, stdout, stderr } = execute("unshare", ["--mount", "sh", "-c", script]);
    expect([status, stderr]).toEqual([0, ""]);
    return stdout;
  }

  e2e("the host's /dev in a root file system keeps its ptmx, and its modes", () => {
    using box = new Box();
    const bundle = box.bundle(["ls", "/dev"], (config) => {
      config.mounts = config.mounts.filter(({ destination }) => !destination.startsWith("/dev"));
    });
    const dev = join(bundle, "rootfs/dev");
    // a file system in the place of the host's /dev: the test must not cost the host its own
    const line = `mount -t tmpfs -o mode=755 dev /dev && mknod -m 600 /dev/null c 1 3 && mknod -m 666 /dev/ptmx c 5 2 &&
      for name in zero full random urandom tty; do mknod -m 660 /dev/$name c 1 5; done && mkdir /dev/pts /dev/shm &&
      mount --rbind /dev ${dev} && ls -lA /dev > ${box.dir}/before &&
      ${HAKO} --root ${box.root} run --bundle ${bundle} ${box.id()} && ls -lA /dev | diff ${box.dir}/before -`;
    expect(inNamespace(box, bundle, line)).toContain("ptmx\n");
  }, [needsHako]);

  for (const propagation of ["private", "slave", "unbindable", "rprivate", "rslave"]) {
    e2e(`nothing that a container mounts appears outside: rootfsPropagation ${propagation}`, () => {
      using box = new Box();
      const program = "mkdir /shared/in && mount -t tmpfs x /shared/in && mount -t tmpfs y /tmp && cat; true";
      const bundle = box.bundle(["sh", "-c", program], (config) => {
        config.linux.rootfsPropagation = propagation;
        for (const set of Object.values(config.process.capabilities ?? {})) set.push("CAP_SYS_ADMIN");
        config.mounts.push({
          destination: "/shared",
          type: "bind",
          source: `${box.dir}/shared`,
          options: ["bind"],
        });
      });
      const id = box.id();
      // but for that which keeps the exit status (Linux 6.15)
      const count = "grep -vc pidfs /proc/self/mountinfo";
      const line = `${count}; mkfifo ${box.dir}/wait; exec 4<>${box.dir}/wait;
        ${HAKO} --root ${box.root} run --detach --bundle ${bundle} ${id} <&4 >${box.dir}/said 2>&1;
        for i in $(seq 100); do ${HAKO} --root ${box.root} exec ${id} grep -q " /tmp tmpfs" /proc/mounts && break; sleep 0.2; done;
        ${HAKO} --root ${box.root} exec ${id} grep -c " /shared/in tmpfs" /proc/mounts;
        ${count}; ${HAKO} --root ${box.root} delete --force ${id}`;
      const [before, inside, after] = inNamespace(box, bundle, line).trim().split("\n");
      expect([inside, after]).toEqual(["1", before]);
    }, [needsHako]);
  }
});
