// @cgroup-v2
// Mounts, their propagation and the root file system that config.json asks for, as a program in the container sees them.
import { describe, expect } from "bun:test";
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { MOUNT_OPTIONS } from "../../src/oci/mount-options";
import {
  Box,
  type BundleConfig,
  e2e,
  execute,
  expectUnchanged,
  HAKO,
  hostSnapshot,
  isV2,
  needsHako,
  needsProgram,
  needsUserNamespace,
  type Result,
  readLinks,
  SLEEP,
} from "./support";

/**
 * A container with mounts on /m, in a user namespace with the caller's: the first one's source is on a mount with the options of
 * `locked`, which was made outside of it. What it prints is the line of /proc/mounts.
 */
function lockedBind(box: Box, locked: string, mounts: { source?: string; options: string[] }[]): Result {
  const source = mkdtempSync(box.path("locked-"));
  const bundle = box.bundle(["grep", " /m ", "/proc/mounts"], (config) => {
    config.mounts = config.mounts.filter(({ destination }) => destination === "/proc");
    config.mounts.push(...mounts.map((mount) => ({ destination: "/m", type: "bind", source, ...mount })));
    config.linux.namespaces = ["pid", "mount", "ipc", "uts"].map((type) => ({ type }));
    config.linux.resources = {};
    delete config.linux.cgroupsPath;
    config.process.rlimits = [];
  });
  const line = `mount --bind ${source} ${source}; mount -o remount,bind,${locked} ${source}; exec unshare -Urm "$@"`;
  const words = [HAKO, "--root", box.root, "run", "--bundle", bundle, box.id()];
  return execute("unshare", ["--mount", "sh", "-c", line, "sh", ...words]);
}

/** A user namespace of its own, whose root is the host's 100000. */
function inUserNamespace(config: BundleConfig): void {
  const maps = [{ containerID: 0, hostID: 100_000, size: 65_536 }];
  config.linux.namespaces.push({ type: "user" });
  config.linux.uidMappings = maps;
  config.linux.gidMappings = maps;
}

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

  e2e("what tmpcopyup copies is the container's memory", () => {
    using box = new Box();
    const id = box.id();
    const bundle = box.bundle(["sleep", "600"], (config) => {
      config.mounts.push({ destination: "/data", type: "tmpfs", source: "tmpfs", options: ["tmpcopyup"] });
    });
    mkdirSync(join(bundle, "rootfs/data"));
    writeFileSync(join(bundle, "rootfs/data/big"), Buffer.alloc(8 << 20, 1));
    box.ok("create", "--bundle", bundle, id);
    const { data } = JSON.parse(box.ok("events", "--stats", id).stdout);
    expect(data.memory.usage.usage).toBeGreaterThan(8 << 20);
  });

  e2e("an overlay of a directory with a comma in its name", () => {
    using box = new Box();
    mkdirSync(box.path("low,1"));
    mkdirSync(box.path("low2"));
    writeFileSync(box.path("low,1/first"), "");
    writeFileSync(box.path("low2/second"), "");
    const layers = `lowerdir=${box.path("low\\,1")}:${box.path("low2")}`;
    const out = box.sh("ls /data", (config) => {
      config.mounts.push({ destination: "/data", type: "overlay", source: "overlay", options: [layers] });
    });
    expect(out).toBe("first\nsecond\n");
  });

  e2e("an overlay in a user namespace whose root has no way to its layers", async () => {
    using box = new Box();
    const before = hostSnapshot(box.root);
    chmodSync(box.dir, 0o755);
    const store = box.path("store");
    mkdirSync(store, { mode: 0o700 });
    for (const layer of ["lower", "upper", "work"]) {
      mkdirSync(join(store, layer));
      chownSync(join(store, layer), 100_000, 100_000);
    }
    writeFileSync(join(store, "lower/file"), "below\n");
    chownSync(join(store, "lower/file"), 100_000, 100_000);
    const layers = ["lower", "upper", "work"].map((layer) => `${layer}dir=${join(store, layer)}`);
    const run = (line: string, options: string[]) =>
      box.run(["sh", "-c", line], (config) => {
        inUserNamespace(config);
        config.mounts.push({ destination: "/root", type: "overlay", source: "overlay", options });
      });
    const line = "cat /root/file; echo above > /root/file; touch /root/made; stat -c %u /root/file";
    expect(run(line, layers)).toMatchObject({ status: 0, stdout: "below\n0\n", stderr: "" });
    expect(readFileSync(join(store, "lower/file"), "utf8")).toBe("below\n");
    expect(readFileSync(join(store, "upper/file"), "utf8")).toBe("above\n");
    expect(statSync(join(store, "upper/made")).uid).toBe(100_000);
    const readonly = run("cat /root/file; touch /root/x", [...layers, "ro"]);
    expect(readonly.stdout).toBe("above\n");
    expect(readonly.stderr).toContain("Read-only file system");
    // what isn't there is said as ever, and nothing stays mounted
    const missing = run("true", [`lowerdir=${join(store, "none")}:${join(store, "lower")}`]);
    expect(missing.status).toBe(1);
    expect(missing.stderr).toMatch(/config \/mounts\/\d+: mount overlay on \/root: /);
    await expectUnchanged(before, box.root);
  }, [needsHako, needsUserNamespace]);

  e2e("binds in a user namespace whose root could not open the source", () => {
    using box = new Box();
    chmodSync(box.dir, 0o755);
    mkdirSync(box.path("secret"), { mode: 0o700 });
    mkdirSync(box.path("secret/deep"));
    writeFileSync(box.path("secret/deep/file"), "there\n");
    symlinkSync("/etc", box.path("secret/link"));
    const program = ["sh", "-c", "cat /data/file /one; ls -d /linked/passwd"];
    const bundle = box.bundle(program, (config) => {
      config.linux.namespaces.push({ type: "user" });
      config.linux.uidMappings = [{ containerID: 0, hostID: 100000, size: 65536 }];
      config.linux.gidMappings = [{ containerID: 0, hostID: 100000, size: 65536 }];
      config.mounts.push(
        { destination: "/data", type: "bind", source: box.path("secret/deep"), options: ["rbind"] },
        { destination: "/one", type: "bind", source: box.path("secret/deep/file"), options: ["bind", "ro"] },
        { destination: "/linked", type: "bind", source: box.path("secret/link"), options: ["bind", "ro"] },
      );
    });
    for (const name of ["data", "linked"]) mkdirSync(join(bundle, "rootfs", name));
    writeFileSync(join(bundle, "rootfs/one"), "");
    const result = box.hako("run", "--bundle", bundle, box.id());
    expect(result).toMatchObject({ status: 0, stdout: "there\nthere\n/linked/passwd\n" });
  }, [needsUserNamespace]);

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

  e2e("what nobody knows is no option of a bind mount or of a cgroup mount: it may have been ro", () => {
    using box = new Box();
    for (const word of ["RO", "r0", "readonly", "size=1m", "ro ", "noexec,RO"]) {
      for (const [type, options] of [
        ["bind", []],
        ["none", ["rbind"]],
        ["none", ["bind", "remount"]],
      ] as const) {
        const result = box.run(["true"], (config) => {
          config.mounts.push({ destination: "/tmp", type, source: "/etc", options: [...options, word] });
        });
        expect([word, result.status]).toEqual([word, 1]);
        expect(result.stderr).toContain(`/options/${options.length}: bind mounts cannot have any`);
      }
      const cgroup = box.run(["true"], (config) => {
        for (const { type, options } of config.mounts) if (type === "cgroup") options?.push(word);
      });
      expect([word, cgroup.status]).toEqual([word, 1]);
      expect(cgroup.stderr).toContain("cgroup mounts have no such option");
    }
    expect(box.ok("list", "-q").stdout).toBe("");
  }, [needsHako]);

  e2e("options of the host's cgroups: a warning", () => {
    using box = new Box();
    const result = box.run(["true"], (config) => {
      for (const { type, options } of config.mounts) if (type === "cgroup") options?.push("nsdelegate");
    });
    expect(result.status).toBe(0);
    expect(result.stderr).toContain("cgroup mount on /sys/fs/cgroup: no effect: nsdelegate");
  }, [needsHako]);

  e2e("what a new file system doesn't know it refuses itself, as with runc", () => {
    using box = new Box();
    for (const type of ["tmpfs", "mqueue", "devpts"]) {
      const result = box.run(["true"], (config) => {
        config.mounts.push({ destination: "/tmp", type, source: type, options: ["RO"] });
      });
      expect([type, result.status]).toEqual([type, 1]);
      expect(result.stderr).toContain("invalid argument");
    }
  });

  e2e("recursive words of a cgroup mount are about all of it", () => {
    using box = new Box();
    const out = box.sh(
      "grep ' /sys/fs/cgroup' /proc/mounts; touch /sys/fs/cgroup/x 2>&1 || true",
      (config) => {
        for (const { type, options } of config.mounts)
          if (type === "cgroup") options?.splice(0, options.length, "rro", "nosymfollow");
      },
    );
    for (const line of out.trim().split("\n").slice(0, -1)) expect(line).toMatch(/ (tmpfs|cgroup2?) ro,/);
    expect(out).toContain("Read-only file system");
  }, [needsHako]);

  e2e("cgroups, with and without a namespace of their own @v2", () => {
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

  e2e("the options of the host's cgroup2 stay as they are @v2", () => {
    using box = new Box();
    const options = () =>
      /^\S+ \/sys\/fs\/cgroup cgroup2 (\S+)/m.exec(readFileSync("/proc/mounts", "utf8"))?.[1];
    execFileSync("mount", ["-o", "remount,nsdelegate,memory_recursiveprot", "/sys/fs/cgroup"]);
    const before = options();
    expect(before).toContain("nsdelegate");
    box.sh("cat /sys/fs/cgroup/cgroup.controllers");
    expect(options()).toBe(before);
  }, [isV2 ? undefined : "this host has no pure v2"]);

  e2e("the host's cgroup2 in a user namespace without a cgroup namespace is read-only, also with rw @v2", () => {
    using box = new Box();
    const maps = [{ containerID: 0, hostID: 0, size: 65_536 }];
    const out = box.sh("grep ' /sys/fs/cgroup cgroup2 ' /proc/mounts", (config) => {
      config.linux.namespaces.push({ type: "user" });
      config.linux.uidMappings = maps;
      config.linux.gidMappings = maps;
      const mount = config.mounts.find(({ type }) => type === "cgroup");
      if (mount !== undefined) mount.options = ["nosuid", "noexec", "nodev", "rw"];
    });
    expect(out).toMatch(/^\S+ \/sys\/fs\/cgroup cgroup2 ro,/m);
  }, [isV2 ? undefined : "this host has no pure v2", needsUserNamespace]);
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

/** Options that a new tmpfs doesn't show in /proc/self/mountinfo, and where it is shown what they do. */
const SHOWN_ELSEWHERE: Readonly<Record<string, string>> = {
  defaults: "by its definition nothing",
  bind: "binds: directories, files",
  rbind: "binds: directories, files",
  remount: "remount.test.ts",
  tmpcopyup: "tmpcopyup brings the directory's files along",
  idmap: "idmap.test.ts",
  ridmap: "idmap.test.ts",
  "src-nofollow": "src-nofollow binds a link itself",
  "dest-nofollow": "src-nofollow binds a link itself",
  iversion: "flags that only mount(2) takes",
  noiversion: "unit/mount-options.test.ts: the opposite of one takes it back",
  silent: "flags that only mount(2) takes",
  loud: "unit/mount-options.test.ts: the opposite of one takes it back",
  // the kernel has no mandatory locks since 5.15
  mand: "nothing is left of it",
  nomand: "nothing is left of it",
};

/** What has to be there for an option to change it: the later of two that contradict each other counts. */
function before(option: string): string[] {
  const plain = option.replace(
    /^r(?=(rw|suid|dev|exec|diratime|symfollow|atime|relatime|norelatime|nostrictatime|private)$)/,
    "",
  );
  const recursive = plain === option ? "" : "r";
  const opposites: Record<string, string> = {
    rw: "ro",
    suid: "nosuid",
    dev: "nodev",
    exec: "noexec",
    diratime: "nodiratime",
    symfollow: "nosymfollow",
    atime: "noatime",
    relatime: "noatime",
    norelatime: "noatime",
    nostrictatime: "noatime",
    private: "shared",
    async: "sync",
    nolazytime: "lazytime",
  };
  const opposite = opposites[plain];
  if (opposite !== undefined) return [`${recursive}${opposite}`];
  // of what is shared there can be a slave; it has no master here, and is private
  return /slave$/.test(option) ? ["shared"] : [];
}

e2e("every option that is in the table changes the mount, or it is shown elsewhere that it does something", () => {
  using box = new Box();
  const tried = [...MOUNT_OPTIONS.keys()].filter((option) => !Object.hasOwn(SHOWN_ELSEWHERE, option));
  const out = box.sh("cat /proc/self/mountinfo", (config) => {
    tried.forEach((option, index) => {
      const mount = (name: string, options: string[]) => ({
        destination: `/m/${name}${index}`,
        type: "tmpfs",
        source: "tmpfs",
        options,
      });
      config.mounts.push(mount("a", before(option)), mount("b", [...before(option), option]));
    });
  });
  const shown = (place: string) => {
    const words =
      out
        .split("\n")
        .find((line) => line.includes(` ${place} `))
        ?.split(" ") ?? [];
    return words.slice(5).join(" ").replaceAll(/:\d+/g, "");
  };
  const unchanged = tried.filter((_, index) => shown(`/m/a${index}`) === shown(`/m/b${index}`));
  expect(unchanged).toEqual([]);
  expect(tried.length).toBeGreaterThan(40);
}, [needsHako]);

describe("root file system", () => {
  e2e("read-only root", () => {
    using box = new Box();
    const out = box.sh("touch /x 2>&1; touch /dev/shm/x && echo written", (config) => {
      config.root.readonly = true;
    });
    expect(out).toContain("Read-only file system");
    expect(out).toContain("written");
  });

  e2e("the root itself as a read-only path", () => {
    using box = new Box();
    const out = box.sh("touch /file 2>&1 || true; touch /dev/file && echo made", (config) => {
      config.root.readonly = false;
      config.linux.readonlyPaths = ["/"];
    });
    expect(out).toMatch(/Read-only file system\nmade\n$/);
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

  for (const [locked, options, left] of [
    ["ro", ["rw"], "ro"],
    ["ro,nosuid,nodev,noexec", ["rw", "suid", "dev", "exec"], "ro,nosuid,nodev,noexec"],
    ["ro", ["rw", "nosuid", "noexec"], "ro,nosuid,noexec"],
    ["nosuid,nodev", ["exec", "suid", "ro"], "ro,nosuid,nodev"],
    ["noexec", ["relatime", "rw", "exec"], "rw,noexec"],
    ["ro", [], "ro"],
  ] as const) {
    e2e(`a source whose mount is ${locked} for a user namespace stays so with ${options.join() || "nothing"}`, () => {
      using box = new Box();
      const out = lockedBind(box, locked, [{ options: ["rbind", ...options] }]);
      expect(out).toMatchObject({ status: 0, stderr: "" });
      expect(out.stdout.split(" ")[3]?.replace(/,relatime.*/, "")).toBe(left);
    }, [needsHako, needsUserNamespace, needsProgram("unshare")]);
  }

  e2e("and a remount leaves it; what would have to be cleared for another option is refused", () => {
    using box = new Box();
    const again = { source: "none", options: ["bind", "remount", "nodev"] };
    const remounted = lockedBind(box, "ro,nosuid", [{ options: ["bind"] }, again]);
    expect(remounted.stdout.split(" ")[3]?.replace(/,relatime.*/, "")).toBe("ro,nosuid,nodev");
    for (const option of ["rrw", "noatime"]) {
      const { status, stderr } = lockedBind(box, "ro,nosuid", [{ options: ["bind", option] }]);
      expect({ option, status }).toEqual({ option, status: 1 });
      expect(stderr).toMatch(
        /mount_setattr \S*: operation not permitted \(the kernel locks how \S* is mounted \(ro,nosuid/,
      );
    }
  }, [needsHako, needsUserNamespace, needsProgram("unshare")]);

  e2e("in a user namespace: devices and a host's sysfs take no more rights than new ones would @v2", () => {
    using box = new Box();
    chmodSync(box.dir, 0o755);
    const out = box.sh("cat /proc/self/mountinfo", (config) => {
      config.linux.namespaces = [...config.linux.namespaces, { type: "user" }].filter(
        ({ type }) => type !== "network",
      );
      config.linux.uidMappings = [{ containerID: 0, hostID: 100_000, size: 65_536 }];
      config.linux.gidMappings = [{ containerID: 0, hostID: 100_000, size: 65_536 }];
      config.mounts = config.mounts.filter(({ destination }) => destination !== "/sys/fs/cgroup");
    });
    const mounts = out
      .trim()
      .split("\n")
      .map((line) => line.split(" "))
      .map(([, , , , target = "", options = ""]) => ({ target, options: options.split(",") }));
    const devices = mounts.filter(({ target }) => /^\/dev\/(null|zero|full|u?random|tty)$/.test(target));
    expect(devices.length).toBe(6);
    for (const { options } of devices) {
      expect(options).toEqual(expect.arrayContaining(["nosuid", "noexec"]));
    }
    const kernel = mounts.filter(({ target }) => `${target}/`.startsWith("/sys/"));
    expect(kernel.length).toBeGreaterThan(1);
    expect(kernel.filter(({ options }) => !options.includes("ro"))).toEqual([]);
  }, [needsHako, needsUserNamespace]);

  e2e("devices of config.json in a user namespace: under any name, with the owner and mode that it says", async () => {
    using box = new Box();
    chmodSync(box.dir, 0o755);
    const before = hostSnapshot(box.root);
    const id = box.started(SLEEP, (config) => {
      config.linux.namespaces.push({ type: "user" });
      config.linux.uidMappings = [{ containerID: 0, hostID: 100_000, size: 65_536 }];
      config.linux.gidMappings = [{ containerID: 0, hostID: 200_000, size: 65_536 }];
      config.linux.devices = [
        { path: "/dev/pipe", type: "p", fileMode: 0o600, uid: 0, gid: 0 },
        { path: "/dev/not-on-the-host", type: "c", major: 1, minor: 5, fileMode: 0o640, uid: 3, gid: 2 },
        { path: "/dev/null", type: "c", major: 1, minor: 3, fileMode: 0o622 },
      ];
      config.linux.resources.devices = [{ allow: true, access: "rwm" }];
    });
    const line =
      "stat -c '%n %F %t:%T %a %u:%g' pipe not-on-the-host null; head -c 4 zero | wc -c; echo > null";
    expect(
      box
        .ok("exec", id, "sh", "-c", `cd /dev; ${line}`)
        .stdout.trim()
        .split(/\s*\n\s*/),
    ).toEqual([
      "pipe fifo 0:0 600 0:0",
      "not-on-the-host character special file 1:5 640 3:2",
      "null character special file 1:3 622 0:0",
      "4",
    ]);
    const reader = ["exec", "--user", "3:3", id, "head", "-c", "3", "/dev/not-on-the-host"];
    expect(box.ok(...reader).stdout).toBe("\0\0\0");
    box.ok("delete", "--force", id);
    await expectUnchanged(before, box.root);
  }, [needsHako, needsUserNamespace]);

  e2e("devices of config.json, and the rules for them @v2", () => {
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
