// @cgroup-v2
// What config.json asks for, as a program in the container sees it.
import { describe, expect } from "bun:test";
import { execFileSync, spawn } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import {
  Box,
  type BundleConfig,
  e2e,
  execute,
  expectUnchanged,
  HAKO,
  hostSnapshot,
  IS_HAKO,
  isV2,
  type Needs,
  needsHako,
  needsProgram,
} from "./support";

function without(config: BundleConfig, ...types: string[]): void {
  config.linux.namespaces = config.linux.namespaces.filter((namespace) => !types.includes(namespace.type));
}

/** A line of shell that prints where links point. (busybox's readlink takes one.) */
function readLinks(dir: string, ...links: string[]): string {
  return `cd ${dir}; for link in ${links.join(" ")}; do readlink $link; done`;
}

function hostNamespace(type: string): string {
  return readlinkSync(`/proc/self/ns/${type}`);
}

/** Can this host make a user namespace with a full mapping? */
const needsUserNamespace: Needs =
  execute("unshare", ["--user", "--map-root-user", "true"]).status === 0 ? undefined : "no user namespaces";

describe("namespaces", () => {
  const FILES: Record<string, string> = {
    pid: "pid",
    network: "net",
    ipc: "ipc",
    uts: "uts",
    mount: "mnt",
    cgroup: "cgroup",
  };

  e2e("listed ones are new, the others are the host's", () => {
    using box = new Box();
    const types = Object.keys(FILES);
    const seen = box
      .sh(readLinks("/proc/self/ns", ...Object.values(FILES)), (config) => {
        config.linux.namespaces.push({ type: "cgroup" });
      })
      .trim()
      .split("\n");
    for (const [index, type] of types.entries()) {
      expect(seen[index]).toMatch(/^\w+:\[\d+\]$/);
      expect(seen[index]).not.toBe(hostNamespace(FILES[type] ?? ""));
    }
    const shared = box.sh(readLinks("/proc/self/ns", "net", "ipc", "uts", "cgroup", "user"), (config) => {
      without(config, "network", "ipc", "uts");
      delete config.hostname;
      // a new sysfs needs a network namespace of one's own
      config.mounts = config.mounts.filter((mount) => mount.destination !== "/dev/mqueue");
    });
    expect(shared.trim().split("\n")).toEqual(["net", "ipc", "uts", "cgroup", "user"].map(hostNamespace));
  });

  e2e("joined by path", () => {
    using box = new Box();
    const holder = spawn("unshare", ["--net", "--ipc", "--uts", "sleep", "600"], { stdio: "ignore" });
    try {
      const own = (type: string): string => readlinkSync(`/proc/${holder.pid}/ns/${type}`);
      for (const end = Date.now() + 5000; own("net") === hostNamespace("net") && Date.now() < end; )
        Bun.sleepSync(10);
      for (const end = Date.now() + 5000; own("uts") === hostNamespace("uts") && Date.now() < end; )
        Bun.sleepSync(10);
      const seen = box.sh(readLinks("/proc/self/ns", "net", "ipc", "uts"), (config) => {
        without(config, "network", "ipc", "uts");
        delete config.hostname;
        for (const [type, file] of [
          ["network", "net"],
          ["ipc", "ipc"],
          ["uts", "uts"],
        ])
          config.linux.namespaces.push({ type: type ?? "", path: `/proc/${holder.pid}/ns/${file}` });
      });
      expect(seen.trim().split("\n")).toEqual(["net", "ipc", "uts"].map(own));
    } finally {
      holder.kill("SIGKILL");
    }
  });

  e2e("a joined pid namespace: the program is not its first process", async () => {
    using box = new Box();
    const id = box.id();
    box.ok("run", "--detach", "--bundle", box.bundle(["sleep", "600"]), id);
    const { pid } = box.state(id);
    const out = box.sh("readlink /proc/self/ns/pid; echo $$", (config) => {
      without(config, "pid");
      config.linux.namespaces.push({ type: "pid", path: `/proc/${pid}/ns/pid` });
    });
    const [namespace, number] = out.trim().split("\n");
    expect(namespace).toBe(readlinkSync(`/proc/${pid}/ns/pid`));
    expect(Number(number)).toBeGreaterThan(1);
  });

  e2e("a path of the wrong type is refused", () => {
    using box = new Box();
    const result = box.run(["true"], (config) => {
      without(config, "network");
      config.linux.namespaces.push({ type: "network", path: "/proc/self/ns/uts" });
    });
    expect(result.status).toBe(1);
  });

  e2e("host name, domain name, loopback", () => {
    using box = new Box();
    const out = box.sh("hostname; cat /proc/sys/kernel/domainname; ip -o addr show lo", (config) => {
      config.hostname = "crate";
      if (IS_HAKO) config.domainname = "example.org";
    });
    const [hostname, domain, address] = out.split("\n");
    expect(hostname).toBe("crate");
    if (IS_HAKO) expect(domain).toBe("example.org");
    expect(address).toContain("127.0.0.1/8");
  });

  e2e("a user namespace with its maps", () => {
    using box = new Box();
    chmodSync(box.dir, 0o755);
    const out = box.sh(
      "cat /proc/self/uid_map /proc/self/gid_map; id -u; id -g; touch /tmp/mine; stat -c %u:%g /tmp/mine; stat -c %u:%g /dev",
      (config) => {
        config.linux.namespaces.push({ type: "user" });
        config.linux.uidMappings = [{ containerID: 0, hostID: 100000, size: 65536 }];
        config.linux.gidMappings = [{ containerID: 0, hostID: 200000, size: 65536 }];
        config.mounts.push({ destination: "/tmp", type: "tmpfs", source: "tmpfs", options: ["mode=1777"] });
      },
    );
    const lines = out.trim().split("\n");
    expect(lines[0]?.trim().split(/ +/)).toEqual(["0", "100000", "65536"]);
    expect(lines[1]?.trim().split(/ +/)).toEqual(["0", "200000", "65536"]);
    expect(lines.slice(2)).toEqual(["0", "0", "0:0", "0:0"]);
  }, [needsUserNamespace]);
});

describe("mounts", () => {
  e2e("of each type, with their options", () => {
    using box = new Box();
    const out = box.sh("cat /proc/self/mountinfo", (config) => {
      config.mounts.push({
        destination: "/data/deep",
        type: "tmpfs",
        source: "data",
        options: ["nosuid", "nodev", "noexec", "ro", "size=1m", "mode=700"],
      });
    });
    const rows = new Map(
      out
        .trim()
        .split("\n")
        .map((line) => {
          const words = line.split(" ");
          const dash = words.indexOf("-");
          return [
            words[4] ?? "",
            {
              options: words[5]?.split(",") ?? [],
              type: words[dash + 1] ?? "",
              super: words[dash + 3] ?? "",
            },
          ];
        }),
    );
    expect(rows.get("/proc")?.type).toBe("proc");
    expect(rows.get("/dev")?.type).toBe("tmpfs");
    expect(rows.get("/dev/pts")?.type).toBe("devpts");
    expect(rows.get("/dev/pts")?.super).toContain("gid=5");
    expect(rows.get("/dev/mqueue")?.type).toBe("mqueue");
    expect(rows.get("/sys")).toMatchObject({
      type: "sysfs",
      options: expect.arrayContaining(["ro", "nosuid"]),
    });
    expect(rows.get("/data/deep")?.options).toEqual(
      expect.arrayContaining(["ro", "nosuid", "nodev", "noexec"]),
    );
    expect(rows.get("/data/deep")?.super).toContain("mode=700");
  });

  e2e("binds: directories, files, read-only, recursive, a missing target is made", () => {
    using box = new Box();
    const source = box.path("source");
    mkdirSync(join(source, "sub"), { recursive: true });
    writeFileSync(join(source, "file"), "from the host\n");
    const out = box.sh(
      "cat /a/b/file /f; touch /rw/new; touch /a/b/x 2>&1; touch /rro/x 2>&1; true",
      (config) => {
        const bind = (destination: string, from: string, ...options: string[]): void => {
          config.mounts.push({ destination, type: "bind", source: from, options });
        };
        bind("/a/b", source, "rbind", "ro");
        bind("/f", join(source, "file"), "bind", "ro");
        bind("/rw", join(source, "sub"), "bind");
        config.mounts.push({ destination: "/rro", source, options: ["rbind", "ro", "nosuid"] });
      },
    );
    expect(out).toContain("from the host\nfrom the host\n");
    expect(out.match(/Read-only file system/g)?.length).toBe(2);
    expect(existsSync(join(source, "sub/new"))).toBe(true);
  });

  e2e("a target behind a symlink stays in the root file system", () => {
    using box = new Box();
    const outside = box.path("outside");
    mkdirSync(outside);
    const bundle = box.bundle(["sh", "-c", "cat /link/mark; mount | grep -c marker"], (config) => {
      config.mounts.push({ destination: "/link", type: "tmpfs", source: "marker" });
      config.mounts.push({ destination: "/up/x", type: "tmpfs", source: "marker" });
    });
    symlinkSync(outside, join(bundle, "rootfs/link"));
    symlinkSync("../../../../../..", join(bundle, "rootfs/up"));
    box.hako("run", "--bundle", bundle, box.id());
    expect(existsSync(join(outside, "mark"))).toBe(false);
    expect(readFileSync("/proc/self/mountinfo", "utf8")).not.toContain("marker");
    expect(existsSync("/x")).toBe(false);
  });

  e2e("/proc that is a symlink in the root file system is refused", () => {
    using box = new Box();
    const bundle = box.bundle(["true"]);
    rmSync(join(bundle, "rootfs/proc"), { recursive: true });
    symlinkSync("/tmp", join(bundle, "rootfs/proc"));
    expect(box.hako("run", "--bundle", bundle, box.id()).status).toBe(1);
  });

  e2e("/dev that is a symlink in the root file system makes nothing on the host", async () => {
    using box = new Box();
    const outside = box.path("outside");
    mkdirSync(outside);
    const bundle = box.bundle(["true"], (config) => {
      config.mounts = config.mounts.filter((mount) => !mount.destination.startsWith("/dev"));
    });
    rmSync(join(bundle, "rootfs/dev"), { recursive: true });
    symlinkSync(outside, join(bundle, "rootfs/dev"));
    box.hako("run", "--bundle", bundle, box.id());
    expect(execute("ls", [outside]).stdout).toBe("");
  }, [needsHako]);

  e2e("an overlay", () => {
    using box = new Box();
    // upper directories need a file system that can hold them: a tmpfs in the container's own mount namespace
    for (const dir of ["lower", "upper", "work"]) mkdirSync(box.path(dir));
    writeFileSync(box.path("lower/file"), "lower\n");
    const options = `lowerdir=${box.path("lower")},upperdir=${box.path("upper")},workdir=${box.path("work")}`;
    const result = box.run(["sh", "-c", "cat /o/file; echo new > /o/new"], (config) => {
      config.mounts.push({
        destination: "/o",
        type: "overlay",
        source: "overlay",
        options: options.split(","),
      });
    });
    if (result.status !== 0 && /invalid argument|not supported/i.test(result.stderr)) return;
    expect(result.stdout).toBe("lower\n");
    expect(existsSync(box.path("upper/new"))).toBe(true);
    expect(existsSync(box.path("lower/new"))).toBe(false);
  });

  e2e("a tmpfs has the mode of the directory that it covers; where there was none anybody may write", () => {
    using box = new Box();
    const out = box.sh("stat -c %a /root /new /given", (config) => {
      for (const [destination, options] of [
        ["/root", []],
        ["/new", []],
        ["/given", ["mode=750"]],
      ] as const) {
        config.mounts.push({ destination, type: "tmpfs", source: "tmpfs", options: [...options] });
      }
    });
    expect(out).toBe("755\n1777\n750\n");
  });

  e2e("tmpcopyup brings the directory's files along", () => {
    using box = new Box();
    const out = box.sh("cat /etc/group; stat -f -c %T /etc", (config) => {
      config.mounts.push({
        destination: "/etc",
        type: "tmpfs",
        source: "tmpfs",
        options: ["rw", "nosuid", "tmpcopyup"],
      });
    });
    expect(out).toContain("root:x:0:");
    expect(out).toContain("tmpfs");
  });

  e2e("flags that only mount(2) takes", () => {
    using box = new Box();
    const out = box.sh("grep ' /tmp ' /proc/mounts", (config) => {
      const options = ["iversion", "silent", "lazytime", "nosuid", "size=64k"];
      config.mounts.push({ destination: "/tmp", type: "tmpfs", source: "tmpfs", options });
    });
    expect(out).toMatch(/^tmpfs \/tmp tmpfs rw,(lazytime,)?nosuid,.*size=64k/);
    const copied = box.sh("head -1 /etc/group; touch /etc/x 2>&1 || true", (config) => {
      const options = ["ro", "silent", "tmpcopyup"];
      config.mounts.push({ destination: "/etc", type: "tmpfs", source: "tmpfs", options });
    });
    expect(copied).toMatch(/^root:x:0:\n.*Read-only file system\n$/);
  });

  e2e("src-nofollow binds a link itself, dest-nofollow mounts on one", () => {
    using box = new Box();
    symlinkSync("/etc/group", box.path("link"));
    writeFileSync(box.path("file"), "theirs\n");
    const bind = (destination: string, source: string, ...options: string[]) => ({
      destination,
      source: box.path(source),
      options: ["bind", ...options],
    });
    const prepared = (config: BundleConfig) => {
      config.mounts.push(
        bind("/tmp/followed", "file"),
        bind("/tmp/bound", "link", "src-nofollow", "dest-nofollow"),
        bind("/etc/alias", "file", "dest-nofollow"),
      );
    };
    const bundle = box.bundle(
      ["sh", "-c", "cat /tmp/followed; readlink /tmp/bound; cat /etc/alias; cat /etc/passwd | head -1"],
      prepared,
    );
    symlinkSync("/nowhere", join(bundle, "rootfs/tmp/bound"));
    symlinkSync("passwd", join(bundle, "rootfs/etc/alias"));
    const { stdout, stderr } = box.hako("run", "--bundle", bundle, box.id());
    expect([stdout, stderr]).toEqual(["theirs\n/etc/group\ntheirs\nroot:x:0:0:root:/root:/bin/sh\n", ""]);
  }, [needsHako]);

  e2e("cgroups, with and without a namespace of their own", () => {
    using box = new Box();
    for (const namespace of [true, false]) {
      // without a cgroup namespace the whole hierarchy of v2 is there, and its paths are the host's
      const own = namespace ? "" : "$(cut -d: -f3 /proc/self/cgroup)";
      const file = isV2 ? `/sys/fs/cgroup${own}/cgroup.procs` : "/sys/fs/cgroup/memory/cgroup.procs";
      const out = box.sh(`cat ${file}; touch /sys/fs/cgroup/x 2>&1 || true`, (config) => {
        if (namespace) config.linux.namespaces.push({ type: "cgroup" });
      });
      expect(out.split("\n")).toContain("1");
      expect(out).toMatch(/Read-only file system|Permission denied/);
    }
  });

  e2e("the options of the host's cgroup2 stay as they are", () => {
    using box = new Box();
    const options = () =>
      /^\S+ \/sys\/fs\/cgroup cgroup2 (\S+)/m.exec(readFileSync("/proc/mounts", "utf8"))?.[1];
    execFileSync("mount", ["-o", "remount,nsdelegate,memory_recursiveprot", "/sys/fs/cgroup"]);
    const before = options();
    expect(before).toContain("nsdelegate");
    box.sh("cat /sys/fs/cgroup/cgroup.controllers");
    expect(options()).toBe(before);
  }, [isV2 ? undefined : "this host has no pure v2"]);
});

describe("propagation", () => {
  for (const [value, wanted] of [
    ["private", /^\S+ \S+ \S+ \S+ \/ \S+ - /m],
    ["shared", /^\S+ \S+ \S+ \S+ \/ \S+ shared:\d+ /m],
    ["slave", /^\S+ \S+ \S+ \S+ \/ \S+ (master:\d+ )?- /m],
  ] as const) {
    e2e(
      `rootfsPropagation ${value}`,
      async () => {
        using box = new Box();
        const before = hostSnapshot(box.root);
        const out = box.sh("cat /proc/self/mountinfo", (config) => {
          config.linux.rootfsPropagation = value;
        });
        expect(out).toMatch(wanted);
        await expectUnchanged(before, box.root);
      },
      value === "shared" ? [needsHako] : [],
    );
  }

  e2e("a mount's own propagation", () => {
    using box = new Box();
    const source = box.path("source");
    mkdirSync(source);
    const out = box.sh("grep ' /s ' /proc/self/mountinfo", (config) => {
      config.mounts.push({ destination: "/s", type: "bind", source, options: ["rbind", "rshared"] });
    });
    expect(out).toContain("shared:");
  });
});

describe("root file system", () => {
  e2e("read-only root", () => {
    using box = new Box();
    const out = box.sh("touch /x 2>&1; touch /dev/shm/x && echo written", (config) => {
      config.root.readonly = true;
    });
    expect(out).toContain("Read-only file system");
    expect(out).toContain("written");
  });

  e2e("masked and read-only paths; missing ones are no error", () => {
    using box = new Box();
    const bundle = box.bundle(
      [
        "sh",
        "-c",
        "cat /etc/passwd | wc -c; ls /secret | wc -l; echo x > /etc/group; cat /proc/timer_list | wc -c",
      ],
      (config) => {
        config.linux.maskedPaths = ["/etc/passwd", "/secret", "/not/there", "/proc/timer_list"];
        config.linux.readonlyPaths = ["/etc/group", "/not/there"];
      },
    );
    mkdirSync(join(bundle, "rootfs/secret"));
    writeFileSync(join(bundle, "rootfs/secret/key"), "key");
    const result = box.hako("run", "--bundle", bundle, box.id());
    expect(
      result.stdout
        .trim()
        .split("\n")
        .map((line) => line.trim()),
    ).toEqual(["0", "0", "0"]);
    expect(result.stderr).toContain("Read-only file system");
  });

  e2e("the usual devices and links of /dev", () => {
    using box = new Box();
    const out = box.sh(
      `cd /dev; stat -c '%n %F %t:%T %a' null zero full random urandom tty; ${readLinks("/dev", "fd", "stdin", "stdout", "stderr", "ptmx")}`,
    );
    for (const [name, numbers] of [
      ["null", "1:3"],
      ["zero", "1:5"],
      ["full", "1:7"],
      ["random", "1:8"],
      ["urandom", "1:9"],
      ["tty", "5:0"],
    ])
      expect(out).toContain(`${name} character special file ${numbers} 666`);
    expect(out).toContain("/proc/self/fd\n/proc/self/fd/0\n/proc/self/fd/1\n/proc/self/fd/2\npts/ptmx\n");
  });

  e2e("devices of config.json, and the rules for them", () => {
    using box = new Box();
    const out = box.sh(
      "stat -c '%F %t:%T %a %u:%g' /dev/mine; head -c 4 /dev/mine | wc -c; mknod /tmp/disk b 254 0 2>&1; cat /tmp/disk 2>&1 | head -c 1; head -c 1 /dev/kmsg 2>&1; true",
      (config) => {
        config.linux.devices = [
          { path: "/dev/mine", type: "c", major: 1, minor: 5, fileMode: 0o640, uid: 0, gid: 2 },
          { path: "/dev/kmsg", type: "c", major: 1, minor: 11 },
        ];
        config.linux.resources.devices = [
          { allow: false, access: "rwm" },
          { allow: true, type: "c", major: 1, minor: 5, access: "r" },
        ];
        config.process.capabilities = {
          bounding: ["CAP_MKNOD"],
          effective: ["CAP_MKNOD"],
          permitted: ["CAP_MKNOD"],
        };
      },
    );
    const lines = out.split("\n");
    expect(lines[0]).toBe("character special file 1:5 640 0:2");
    expect(lines[1]?.trim()).toBe("4");
    expect(out).toMatch(/kmsg.*Operation not permitted/);
  });
});

describe("process", () => {
  e2e("arguments, environment, working directory", () => {
    using box = new Box();
    const result = box.run(
      ["sh", "-c", 'pwd; echo "$A|$B|$0|$1"; env | wc -l', "zero", "o n e"],
      (config) => {
        config.process.env = ["PATH=/bin", "A=a b", "B=", "A=last"];
        config.process.cwd = "/made/for/it";
      },
    );
    expect(result.stdout).toContain("/made/for/it\n");
    expect(result.stdout).toContain("||zero|o n e\n".slice(1));
    expect(result.status).toBe(0);
  });

  e2e("user, additional groups, umask", () => {
    using box = new Box();
    const out = box.sh("id -u; id -g; id -G; umask; echo $HOME", (config) => {
      config.process.user = { uid: 1000, gid: 1001, additionalGids: [5, 6], umask: 0o27 };
      config.process.capabilities = {};
    });
    const [uid, gid, groups, umask] = out.split("\n");
    expect([uid, gid, umask]).toEqual(["1000", "1001", "0027"]);
    expect(groups?.split(" ").sort()).toEqual(["1001", "5", "6"]);
  });

  e2e("HOME comes from the container's passwd unless it is set", () => {
    using box = new Box();
    expect(box.sh("echo $HOME")).toBe("/root\n");
    expect(
      box.sh("echo $HOME", (config) => {
        config.process.env.push("HOME=/elsewhere");
      }),
    ).toBe("/elsewhere\n");
    expect(
      box.sh("echo $HOME", (config) => {
        config.process.user = { uid: 1000, gid: 1000 };
      }),
    ).toBe("/tmp\n");
  });

  e2e("capabilities, and no_new_privs", () => {
    using box = new Box();
    const status = (mutate: (config: BundleConfig) => void): Record<string, string> =>
      Object.fromEntries(
        box
          .sh("cat /proc/self/status", mutate)
          .split("\n")
          .map((line) => line.split(":\t") as [string, string]),
      );
    const kill = ["CAP_KILL"];
    const root = status((config) => {
      config.process.capabilities = {
        bounding: ["CAP_KILL", "CAP_CHOWN"],
        effective: kill,
        permitted: kill,
        inheritable: [],
        ambient: [],
      };
      config.process.noNewPrivileges = false;
    });
    // root's program gains what is in the bounding set at execve
    expect(root).toMatchObject({ CapInh: "0000000000000000", CapBnd: "0000000000000021", NoNewPrivs: "0" });
    const user = status((config) => {
      config.process.user = { uid: 1000, gid: 1000 };
      config.process.capabilities = {
        bounding: kill,
        effective: kill,
        permitted: kill,
        inheritable: kill,
        ambient: kill,
      };
    });
    const bit = "0000000000000020";
    expect(user).toMatchObject({
      CapInh: bit,
      CapPrm: bit,
      CapEff: bit,
      CapBnd: bit,
      CapAmb: bit,
      NoNewPrivs: "1",
    });
    const none = status((config) => {
      delete config.process.capabilities;
      config.process.user = { uid: 1000, gid: 1000 };
    });
    expect(none.CapEff).toBe("0000000000000000");
  });

  e2e("unknown capabilities are no failure", () => {
    using box = new Box();
    const result = box.run(["true"], (config) => {
      const all = ["CAP_KILL", "CAP_MOON"];
      config.process.capabilities = { bounding: all, effective: all, permitted: all };
    });
    expect(result.status).toBe(0);
  });

  e2e("capabilities that the caller lacks itself are left out, and it is said where people read", () => {
    using box = new Box();
    const wanted = ["CAP_KILL", "CAP_SYS_TIME"];
    const run = (...flags: string[]) => {
      const bundle = box.bundle(["grep", "CapEff", "/proc/self/status"], (config) => {
        config.process.capabilities = { bounding: wanted, effective: wanted, permitted: wanted };
      });
      const runtime = [HAKO, "--root", box.root, ...flags, "run", "--bundle", bundle, box.id()];
      return execute("setpriv", ["--bounding-set", "-sys_time", ...runtime]);
    };
    const plain = run();
    expect(plain).toMatchObject({ status: 0, stdout: "CapEff:\t0000000000000020\n" });
    expect(plain.stderr).toContain("config /process/capabilities: left out");
    expect(plain.stderr).toContain("CAP_SYS_TIME");
    expect(plain.stderr).not.toContain("CAP_KILL");
    // podman decodes the whole log as the one object of a failure
    const logged = run("--log", box.path("log"), "--log-format", "json");
    expect(logged).toMatchObject({ status: 0, stderr: "" });
    expect(existsSync(box.path("log"))).toBe(false);
    run("--log", box.path("log"), "--log-format", "json", "--debug");
    expect(readFileSync(box.path("log"), "utf8")).toContain("CAP_SYS_TIME");
  }, [needsHako, needsProgram("setpriv")]);

  e2e("rlimits", () => {
    using box = new Box();
    const out = box.sh("cat /proc/self/limits", (config) => {
      config.process.rlimits = [
        { type: "RLIMIT_NOFILE", soft: 123, hard: 456 },
        { type: "RLIMIT_CORE", soft: 0, hard: 0 },
      ];
    });
    expect(out).toMatch(/Max open files +123 +456/);
    expect(out).toMatch(/Max core file size +0 +0/);
    const repeated = box.run(["true"], (config) => {
      config.process.rlimits = [
        { type: "RLIMIT_NOFILE", soft: 1, hard: 456 },
        { type: "RLIMIT_NOFILE", soft: 123, hard: 456 },
      ];
    });
    if (IS_HAKO) expect(repeated.status).toBe(1);
  });

  e2e("without rlimits the program gets the caller's", () => {
    using box = new Box();
    const bundle = box.bundle(["sh", "-c", "ulimit -Sn; ulimit -Hn"], (config) => {
      config.process.rlimits = [];
    });
    const line = `ulimit -Sn 777; "$0" --root "$1" run --bundle "$2" "$3"; exit $?`;
    const runtime = execute("readlink", ["-f", process.env.HAKO ?? "dist/hako"], {
      cwd: process.cwd(),
    }).stdout.trim();
    const result = execute("sh", ["-c", line, runtime, box.root, bundle, box.id()]);
    expect(result.stdout.split("\n")[0]).toBe("777");
  }, [needsHako]);

  e2e("oom_score_adj", () => {
    using box = new Box();
    const out = box.sh("cat /proc/self/oom_score_adj", (config) => {
      config.process.oomScoreAdj = 321;
    });
    expect(out).toBe("321\n");
  });

  e2e("sysctl of the container's namespaces; of the host: refused", () => {
    using box = new Box();
    const out = box.sh("cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/shm_rmid_forced", (config) => {
      config.linux.sysctl = { "net.ipv4.ip_forward": "1", "kernel.shm_rmid_forced": "1" };
    });
    expect(out).toBe("1\n1\n");
    for (const name of ["kernel.panic", "kernel/../vm.swappiness"]) {
      const result = box.run(["true"], (config) => {
        config.linux.sysctl = { [name]: "1" };
      });
      expect(result.status).toBe(1);
    }
  });

  e2e("a terminal: size, controlling terminal, /dev/console", () => {
    using box = new Box();
    const bundle = box.bundle(
      ["sh", "-c", "tty; stty size; ls -l /dev/console; echo x > /dev/tty"],
      (config) => {
        config.process.terminal = true;
        config.process.consoleSize = { height: 33, width: 99 };
      },
    );
    const runtime = execute("readlink", ["-f", process.env.HAKO ?? "dist/hako"], {
      cwd: process.cwd(),
    }).stdout.trim();
    const result = execute("script", [
      "-qec",
      `${runtime} --root ${box.root} run --bundle ${bundle} ${box.id()}`,
      "/dev/null",
    ]);
    expect(result.stdout).toContain("/dev/pts/0\r\n");
    if (IS_HAKO) expect(result.stdout).toContain("/dev/console");
    expect(result.stdout).toContain("x\r\n");
    expect(result.status).toBe(0);
  }, [needsProgram("script")]);
});

describe("resources", () => {
  e2e("memory, pids and cpu limits are in the cgroup", () => {
    using box = new Box();
    const id = box.id();
    const bundle = box.bundle(["sleep", "600"], (config) => {
      config.linux.resources = {
        ...config.linux.resources,
        memory: { limit: 64 << 20 },
        pids: { limit: 50 },
        cpu: { quota: 50_000, period: 100_000, shares: 512 },
      };
    });
    box.ok("run", "--detach", "--bundle", bundle, id);
    const path = (controller: string): string => {
      const lines = readFileSync(`/proc/${box.state(id).pid}/cgroup`, "utf8")
        .trim()
        .split("\n");
      const line = lines
        .map((text) => text.split(":"))
        .find((words) => (isV2 ? words[0] === "0" : words[1]?.split(",").includes(controller)));
      return `/sys/fs/cgroup${isV2 ? "" : `/${controller}`}${line?.[2] ?? "?"}`;
    };
    const read = (controller: string, v1: string, v2: string): string =>
      readFileSync(join(path(controller), isV2 ? v2 : v1), "utf8").trim();
    expect(read("memory", "memory.limit_in_bytes", "memory.max")).toBe(String(64 << 20));
    expect(read("pids", "pids.max", "pids.max")).toBe("50");
    expect(read("cpu", "cpu.cfs_quota_us", "cpu.max").split(" ")[0]).toBe("50000");
    if (!isV2) expect(read("cpu", "cpu.shares", "")).toBe("512");
  });

  e2e("more memory than the limit ends the program", () => {
    using box = new Box();
    const result = box.run(
      ["sh", "-c", "dd if=/dev/zero of=/dev/shm/x bs=1M count=60; echo survived"],
      (config) => {
        config.linux.resources.memory = { limit: 16 << 20, swap: 16 << 20 };
      },
    );
    expect(/Killed|137/.test(result.stderr + String(result.status))).toBe(true);
  });
});

describe("what the host does not have is refused by name", () => {
  const rows: [string, (config: BundleConfig) => void, RegExp][] = [
    ["an AppArmor profile", (config) => Object.assign(config.process, { apparmorProfile: "x" }), /apparmor/i],
    ["intelRdt", (config) => Object.assign(config.linux, { intelRdt: { closID: "x" } }), /intelRdt/],
  ];
  for (const [name, mutate, text] of rows) {
    e2e(name, async () => {
      using box = new Box();
      const before = hostSnapshot(box.root);
      const result = box.run(["true"], mutate);
      expect(result.status).toBe(1);
      expect(result.stderr).toMatch(text);
      await expectUnchanged(before, box.root);
    }, [needsHako]);
  }
});
