// @cgroup-v2
// Every failure of docs/troubleshooting.md, provoked: the error names it in one line, with what to try.
import { describe, expect } from "bun:test";
import {
  chmodSync,
  closeSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmdirSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
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
  type Result,
} from "./support";

type Mutate = (config: BundleConfig) => void;

/** The program of a bundle is what is written to /bin/program. */
function bundleWith(box: Box, content: string | Uint8Array, mutate: Mutate = () => {}, mode = 0o755): string {
  const bundle = box.bundle(["/bin/program"], mutate);
  const path = join(bundle, "rootfs/bin/program");
  writeFileSync(path, content);
  chmodSync(path, mode);
  return bundle;
}

/** One line with all of the words; the status of a failed command. */
function expectError(result: Result, ...words: string[]): void {
  expect(result.stderr.trimEnd().split("\n")).toHaveLength(1);
  for (const word of words) expect(result.stderr).toContain(word);
  expect(result.status).not.toBe(0);
}

const ELF = readFileSync("/proc/self/exe").subarray(0, 1 << 16);
const OWN = process.arch === "arm64" ? "aarch64" : "x86-64";
const OTHER = process.arch === "arm64" ? ([62, "x86-64"] as const) : ([183, "aarch64"] as const);

/** What a program of glibc names as its loader. */
const LOADER = /\/lib(64)?\/ld-linux[\w.-]*/;
const needsLoader = LOADER.test(readFileSync("/bin/true").toString("latin1"))
  ? undefined
  : "/bin/true has no loader of glibc";

function foreignProgram(): Buffer {
  const bytes = Buffer.from(ELF);
  bytes[18] = OTHER[0];
  return bytes;
}

describe("the program", () => {
  const rows: [string, string | Uint8Array, string[]][] = [
    [
      "a missing interpreter",
      "#!/no/such\n",
      [
        "execve /bin/program: no such file or directory: /bin/program is a script for /no/such, which is not there",
      ],
    ],
    [
      "a carriage return after #!",
      "#!/bin/sh\r\necho hello\r\n",
      ["no such file or directory", "ends in a carriage return", '"/bin/sh\\r"', "Unix line ends"],
    ],
    ["text without #!", "echo hello\n", ["exec format error", 'text without "#!"', '"#!/bin/sh"']],
    ["an empty file", "", ["exec format error: the file is empty"]],
    [
      "another machine's",
      foreignProgram(),
      ["exec format error", `the program is for ${OTHER[1]}, this machine is ${OWN}`],
    ],
    ["a missing loader", ELF, ["no such file or directory: it needs the loader /lib", "musl"]],
    [
      "bytes of no format",
      Uint8Array.of(0, 1, 2, 3),
      ["exec format error", "neither a program of a known format"],
    ],
  ];
  for (const [name, content, words] of rows) {
    e2e(name, async () => {
      using box = new Box();
      const before = hostSnapshot(box.root);
      expectError(box.hako("run", "--bundle", bundleWith(box, content), box.id()), ...words);
      await expectUnchanged(before, box.root);
    }, [needsHako]);
  }

  /** /bin/program is one of the host's with shared libraries; its loader is at the path that the program names. */
  function bundleWithLoader(box: Box, content: (loader: string) => Uint8Array): [string, string] {
    const program = readFileSync("/bin/true");
    const loader = LOADER.exec(program.toString("latin1"))?.[0] ?? "";
    const bundle = bundleWith(box, program);
    const path = join(bundle, "rootfs", loader);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, content(loader), { mode: 0o755 });
    return [bundle, loader];
  }

  e2e("a missing library: the program's loader tells", () => {
    using box = new Box();
    const [bundle] = bundleWithLoader(box, (loader) => readFileSync(loader));
    const result = box.hako("run", "--bundle", bundle, box.id());
    expect(result).toMatchObject({
      status: 127,
      stderr: expect.stringMatching(/^\S+: error while loading shared libraries: libc\.so\.6: /),
    });
  }, [needsHako, needsLoader]);

  e2e("a loader that is none", async () => {
    using box = new Box();
    const before = hostSnapshot(box.root);
    const [bundle, loader] = bundleWithLoader(box, () => Buffer.alloc(4096, "x"));
    expectError(
      box.hako("run", "--bundle", bundle, box.id()),
      `accessing a corrupted shared library: its loader ${loader}`,
    );
    await expectUnchanged(before, box.root);
  }, [needsHako, needsLoader]);

  e2e("by exec, and under a seccomp profile that forbids to look", () => {
    using box = new Box();
    const profile = {
      defaultAction: "SCMP_ACT_ALLOW",
      syscalls: [{ names: ["open", "openat", "openat2", "faccessat2", "statx"], action: "SCMP_ACT_ERRNO" }],
    };
    const bundle = bundleWith(box, "#!/no/such\n", (config) =>
      Object.assign(config.linux, { seccomp: profile }),
    );
    expectError(box.hako("run", "--bundle", bundle, box.id()), "is a script for /no/such");
    const id = box.id();
    const other = box.bundle(["sleep", "600"]);
    writeFileSync(join(other, "rootfs/bin/program"), "#!/no/such\n", { mode: 0o755 });
    box.ok("run", "--detach", "--bundle", other, id);
    const result = box.hako("exec", id, "program");
    expectError(result, "is a script for /no/such");
    expect(result.status).toBe(255);
  }, [needsHako]);

  e2e("status 127 and 126 where they are a shell's", () => {
    using box = new Box();
    const script = box.path("script");
    writeFileSync(script, "#!/no/such\n", { mode: 0o755 });
    const netns = box.hako("netns", "exec", "/proc/self/ns/net", "--", script);
    expectError(netns, "no such file or directory", "is a script for /no/such");
    expect(netns.status).toBe(127);
    writeFileSync(script, "echo\n");
    expect(box.hako("netns", "exec", "/proc/self/ns/net", "--", script).status).toBe(126);
  }, [needsHako]);

  e2e("its mode, and the user that it is not for", () => {
    using box = new Box();
    const bundle = bundleWith(box, "#!/bin/sh\n", undefined, 0o644);
    expectError(
      box.hako("run", "--bundle", bundle, box.id()),
      "permission denied",
      "its mode is 644",
      "chmod a+x",
    );
    const other = bundleWith(
      box,
      "#!/bin/sh\n",
      ({ process }) => {
        process.user = { uid: 1000, gid: 1000 };
      },
      0o700,
    );
    expectError(
      box.hako("run", "--bundle", other, box.id()),
      "permission denied",
      "user 1000 may not execute it",
    );
  }, [needsHako]);

  e2e("a mount with noexec", () => {
    using box = new Box();
    for (const name of ["/bin/sh", "sh"]) {
      const result = box.run([name], ({ mounts }) => {
        mounts.push({ destination: "/bin", type: "bind", source: "/bin", options: ["bind", "noexec"] });
      });
      expectError(result, "permission denied", "on a mount with the option noexec");
    }
  }, [needsHako]);

  e2e("somebody writes to it", () => {
    using box = new Box();
    const bundle = bundleWith(box, readFileSync("/bin/busybox"));
    const writer = openSync(join(bundle, "rootfs/bin/program"), "r+");
    try {
      expectError(box.hako("run", "--bundle", bundle, box.id()), "text file busy", "open for writing");
    } finally {
      closeSync(writer);
    }
  }, [needsHako, needsProgram("/bin/busybox")]);

  e2e("too many words; a command line in one word; no PATH", () => {
    using box = new Box();
    expectError(box.run(["true", "x".repeat(200_000)]), "argument list too long", "over 128 KiB");
    expectError(box.run(["ls -l"]), "executable file not found in $PATH", "an entry for each word");
    const result = box.run(["ls"], ({ process }) => {
      process.env = [];
    });
    expectError(result, "executable file not found in $PATH", "has no PATH");
  }, [needsHako]);

  e2e("the working directory", () => {
    using box = new Box();
    const inDirectory = (cwd: string, more: Mutate = () => {}) =>
      box.run(["true"], (config) => {
        config.process.cwd = cwd;
        more(config);
      });
    expectError(inDirectory("/etc/passwd"), "not a directory", "is a file of the image");
    const readonly = inDirectory("/new", ({ root, mounts }) => {
      root.readonly = true;
      mounts.push({ destination: "/data", type: "tmpfs", source: "tmpfs", options: ["ro"] });
    });
    expect(readonly.status).toBe(0);
    expectError(inDirectory("/sys/new"), "can't be made");
    const id = box.id();
    box.ok("run", "--detach", "--bundle", box.bundle(["sleep", "600"]), id);
    expectError(
      box.hako("exec", "--cwd", "/none", id, "true"),
      "/none: no such file or directory",
      "make it in the",
    );
  }, [needsHako]);
});

describe("seccomp", () => {
  const withProfile =
    (seccomp: object, noNewPrivileges = true) =>
    (config: BundleConfig) => {
      Object.assign(config.linux, { seccomp });
      config.process.noNewPrivileges = noNewPrivileges;
    };

  e2e("a profile that lets no program start is refused by create", async () => {
    using box = new Box();
    const before = hostSnapshot(box.root);
    const actions = ["ERRNO", "KILL", "KILL_PROCESS", "TRAP", "TRACE"].map((word) => `SCMP_ACT_${word}`);
    for (const action of actions) {
      const profile = { defaultAction: "SCMP_ACT_ALLOW", syscalls: [{ names: ["execve"], action }] };
      expectError(
        box.run(["true"], withProfile(profile)),
        `the profile answers execve with ${action}`,
        "allow execve",
      );
    }
    const forbidden = {
      defaultAction: "SCMP_ACT_ALLOW",
      syscalls: [{ names: ["execve"], action: "SCMP_ACT_TRAP" }],
    };
    const checked = box.hako("validate", "--bundle", box.bundle(["true"], withProfile(forbidden)));
    expectError(checked, "config.json: /linux/seccomp: no program could be started", "SCMP_ACT_TRAP");
    const narrow = {
      defaultAction: "SCMP_ACT_KILL",
      syscalls: [{ names: ["read"], action: "SCMP_ACT_ALLOW" }],
    };
    expectError(box.run(["true"], withProfile(narrow)), "the profile answers execve with");
    const capset = {
      defaultAction: "SCMP_ACT_ALLOW",
      syscalls: [{ names: ["capset"], action: "SCMP_ACT_KILL" }],
    };
    expectError(
      box.run(["true"], withProfile(capset, false)),
      "capset with SCMP_ACT_KILL",
      "noNewPrivileges",
    );
    expect(box.run(["true"], withProfile(capset)).status).toBe(0);
    await expectUnchanged(before, box.root);
  }, [needsHako]);

  e2e("a program that the profile kills has status 159", () => {
    using box = new Box();
    const mkdir = { names: ["mkdir", "mkdirat"], action: "SCMP_ACT_KILL_PROCESS" };
    const profile = { defaultAction: "SCMP_ACT_ALLOW", syscalls: [mkdir] };
    expect(box.run(["mkdir", "/tmp/x"], withProfile(profile))).toMatchObject({ status: 159, stderr: "" });
  }, [needsHako]);

  for (const action of ["SCMP_ACT_KILL_THREAD", "SCMP_ACT_KILL_PROCESS"]) {
    e2e(`a program that can't be executed under ${action}: nobody waits for ever`, async () => {
      using box = new Box();
      const before = hostSnapshot(box.root);
      const profile = { defaultAction: action, syscalls: [{ names: ["execve"], action: "SCMP_ACT_ALLOW" }] };
      const bundle = bundleWith(box, "#!/no/such\n", withProfile(profile));
      const id = box.id();
      box.ok("create", "--bundle", bundle, id);
      const result = box.hakoWith({ timeout: 20_000 }, "start", id);
      expectError(result, "died before it could execute the program");
      box.ok("delete", "--force", id);
      await expectUnchanged(before, box.root);
    }, [needsHako]);
  }
});

describe("mounts", () => {
  const bind =
    (source: string, destination: string, options: string[] = ["bind"]) =>
    (config: BundleConfig) => {
      config.mounts.push({ destination, type: "bind", source, options });
    };

  e2e("a source that doesn't exist; a file and a directory; an unknown file system", () => {
    using box = new Box();
    expectError(
      box.run(["true"], bind(`${box.dir}/no/such`, "/x")),
      "open_tree",
      "no such file or directory",
      `${box.dir} is the last part of it that does`,
    );
    expectError(
      box.run(["true"], bind(box.dir, "/etc/passwd")),
      `${box.dir}, a directory, can't be mounted on /etc/passwd, a file`,
      "not a directory",
      "a file on a file",
    );
    expectError(
      box.run(["true"], bind("/etc/passwd", "/etc")),
      "/etc/passwd, a file, can't be mounted on /etc, a directory",
      "not a directory",
    );
    const unknown = box.run(["true"], ({ mounts }) => {
      mounts.push({ destination: "/x", type: "nofs", source: "x" });
    });
    expectError(unknown, "the kernel does not know this file system", "modprobe nofs");
  }, [needsHako]);

  e2e("a mount point that can't be made", () => {
    using box = new Box();
    const result = box.run(["true"], ({ mounts }) => {
      mounts.push({ destination: "/x", type: "bind", source: box.dir, options: ["bind", "ro"] });
      mounts.push({ destination: "/x/made/here", type: "tmpfs", source: "tmpfs" });
    });
    expectError(result, "read-only file system", "make it in the image");
  }, [needsHako]);

  e2e("owners that a file system can't map: it and the kernel are named", () => {
    using box = new Box();
    const maps = [{ containerID: 0, hostID: 100_000, size: 1000 }];
    const result = box.run(["true"], (config) => {
      const mount = { destination: "/x", type: "bind", source: "/proc/sys", options: ["bind"] };
      config.mounts.push(Object.assign(mount, { uidMappings: maps, gidMappings: maps }));
    });
    expectError(result, "/proc/sys is on proc: mounts of it can't be mapped on Linux ");
  }, [needsHako]);

  e2e("a masked /proc keeps a user namespace from a new one", () => {
    using box = new Box();
    const bundle = box.bundle(["true"], (config) => {
      config.linux.namespaces.push({ type: "user" });
      config.linux.uidMappings = [{ containerID: 0, hostID: 0, size: 65_536 }];
      config.linux.gidMappings = [{ containerID: 0, hostID: 0, size: 65_536 }];
    });
    const line = 'mount -t tmpfs tmpfs /proc/driver && exec "$0" "$@"';
    const words = ["--root", box.root, "run", "--bundle", bundle, box.id()];
    const result = execute("unshare", ["--mount", "sh", "-c", line, HAKO, ...words]);
    expectError(result, "operation not permitted", "masked in part (/proc/", "systempaths=unconfined");
  }, [needsHako, needsProgram("unshare")]);
});

describe("cgroups", () => {
  /** A cgroup of this test's, in the hierarchy of a controller; gone with the test. */
  class OwnCgroup implements Disposable {
    readonly dir: string;

    constructor(box: Box, controller: string) {
      this.dir = join("/sys/fs/cgroup", isV2 ? "" : controller, box.id());
      mkdirSync(this.dir);
    }

    get path(): string {
      return `/${this.dir.split("/").at(-1)}`;
    }

    write(file: string, value: string): void {
      writeFileSync(join(this.dir, file), value);
    }

    [Symbol.dispose](): void {
      for (const end = Date.now() + 2000; ; Bun.sleepSync(20)) {
        try {
          rmdirSync(this.dir);
          return;
        } catch (error) {
          if (Date.now() > end) throw error;
        }
      }
    }
  }

  const needsController = (name: string) => {
    const there = isV2
      ? readFileSync("/sys/fs/cgroup/cgroup.controllers", "utf8").split(/\s/).includes(name)
      : existsSync(`/sys/fs/cgroup/${name}`);
    return there ? undefined : `no ${name} controller`;
  };

  e2e("too little memory: whose limit it was", async () => {
    using box = new Box();
    const before = hostSnapshot(box.root);
    const result = box.run(["true"], ({ linux }) => {
      linux.resources.memory = { limit: 8192 };
    });
    expectError(
      result,
      "out of memory: it reached the limit of 8192 bytes",
      isV2 ? "memory.max" : "limit_in_bytes",
    );
    await expectUnchanged(before, box.root);
  }, [needsHako, needsController("memory")]);

  e2e("too little memory in a cgroup above", () => {
    using box = new Box();
    using parent = new OwnCgroup(box, "memory");
    if (isV2) parent.write("cgroup.subtree_control", "+memory");
    const inner = join(parent.dir, "inner");
    const limit = isV2 ? "memory.max" : "memory.limit_in_bytes";
    mkdirSync(inner);
    try {
      // after what the directory takes: less than any process needs
      const most = 16384;
      parent.write(limit, String(most));
      const result = box.run(["true"], ({ linux }) => {
        linux.cgroupsPath = `${parent.path}/inner`;
      });
      expectError(result, "out of memory", `${most} bytes in ${limit} of cgroup ${parent.dir} `);
    } finally {
      rmdirSync(inner);
    }
    using full = new OwnCgroup(box, "memory");
    full.write(limit, "4096");
    const result = box.run(["true"], ({ linux }) => {
      linux.cgroupsPath = `${full.path}/inner`;
    });
    expectError(result, "a cgroup takes memory of the one above", `of ${full.dir} is 4096`);
  }, [needsHako, needsController("memory")]);

  e2e("no more processes: whose limit it is", () => {
    using box = new Box();
    using own = new OwnCgroup(box, "pids");
    const bundle = box.bundle(["true"]);
    const line = 'echo $$ > "$1/cgroup.procs"; shift; "$@"';
    // one that lets hako itself begin: it depends on how many threads it has
    let seen = "";
    for (let limit = 2; limit < 24 && !seen.includes("pids.max allows"); limit++) {
      own.write("pids.max", String(limit));
      const words = [HAKO, "--root", box.root, "run", "--bundle", bundle, box.id()];
      const result = execute("sh", ["-c", line, "sh", own.dir, ...words]);
      if (result.status === 0) break;
      seen += result.stderr;
    }
    expect(seen).toContain("clone3: resource temporarily unavailable");
    expect(seen).toMatch(new RegExp(`cgroup ${own.dir} has all the \\d+ processes that its pids.max allows`));
  }, [needsHako, needsController("pids")]);

  e2e("a frozen cgroup, and one above that is frozen", () => {
    using box = new Box();
    using parent = new OwnCgroup(box, "freezer");
    const [file, value] = isV2 ? ["cgroup.freeze", "1"] : ["freezer.state", "FROZEN"];
    parent.write(file, value);
    for (const path of [parent.path, `${parent.path}/inner`]) {
      const result = box.run(["true"], ({ linux }) => {
        linux.cgroupsPath = path;
      });
      expectError(result, `cgroup ${parent.dir} is frozen`, `> ${parent.dir}/${file}`);
    }
    parent.write(file, isV2 ? "0" : "THAWED");
  }, [needsHako, isV2 ? undefined : needsController("freezer")]);

  e2e("a cgroup in use", () => {
    using box = new Box();
    const id = box.id();
    const path = `/${box.id()}`;
    const shared: Mutate = ({ linux }) => {
      linux.cgroupsPath = path;
    };
    box.ok("run", "--detach", "--bundle", box.bundle(["sleep", "600"], shared), id);
    expectError(box.run(["true"], shared), `${path} is in use: 1 processes, ${box.state(id).pid} for one`);
    expect(box.state(id).status).toBe("running");
  }, [needsHako]);

  e2e("a controller that isn't there", () => {
    using box = new Box();
    const result = box.run(["true"], ({ linux }) => {
      linux.resources.rdma = { mlx5_0: { hcaHandles: 1 } };
    });
    expectError(result, "/linux/resources/rdma", "no rdma controller");
  }, [needsHako, needsController("rdma") === undefined ? "the rdma controller is there" : undefined]);
});

describe("cgroup v2", () => {
  e2e("a cgroup that holds processes has no limits for those below, and stays as it is", async () => {
    using box = new Box();
    const dir = `/sys/fs/cgroup/${box.id()}`;
    mkdirSync(dir);
    const sleeper = Bun.spawn(["sleep", "600"]);
    const files = () =>
      ["type", "subtree_control"].map((name) => readFileSync(`${dir}/cgroup.${name}`, "utf8"));
    try {
      writeFileSync(join(dir, "cgroup.procs"), String(sleeper.pid));
      const before = hostSnapshot(box.root);
      const run = (resources: object) =>
        box.run(["echo", "ran"], ({ linux }) => {
          linux.cgroupsPath = `/${basename(dir)}/below`;
          Object.assign(linux, { resources });
        });
      for (const resources of [{ memory: { limit: 64 << 20 } }, { pids: { limit: 20 } }]) {
        expectError(
          run(resources),
          `no ${Object.keys(resources)[0]} controller`,
          `${dir} holds processes itself, so its children get no controllers`,
          "use another cgroupsPath",
        );
      }
      expect(run({})).toMatchObject({ status: 0, stdout: "ran\n" });
      expect(files()).toEqual(["domain\n", ""]);
      await expectUnchanged(before, box.root);
    } finally {
      sleeper.kill("SIGKILL");
      await sleeper.exited;
      rmdirSync(dir);
    }
  }, [needsHako, isV2 ? undefined : "cgroup v2 is not mounted"]);
});

describe("rights of the caller", () => {
  const USER = 12_345;
  const needsUser = [needsHako, needsProgram("setpriv"), needsProgram("unshare")];

  /** hako as an ordinary user, in directories that are its own; what else is mounted before is a line of shell. */
  function asUser(box: Box, bundle: string, root = join(box.dir, "user-state"), prepare = "true"): Result {
    chmodSync(box.dir, 0o755);
    const hako = join(box.dir, "hako");
    if (!existsSync(hako)) copyFileSync(HAKO, hako);
    chmodSync(hako, 0o755);
    mkdirSync(join(box.dir, "user-state"), { recursive: true });
    execute("chown", ["-R", `${USER}:${USER}`, bundle, join(box.dir, "user-state")]);
    // newuidmap wants the user's name
    const passwd = join(box.dir, "passwd");
    writeFileSync(passwd, `${readFileSync("/etc/passwd", "utf8")}tester:x:${USER}:${USER}::/:/bin/sh\n`);
    const line = `mount --bind "$0" /etc/passwd && ${prepare} && exec setpriv "$@"`;
    const words = ["--reuid", String(USER), "--regid", String(USER), "--clear-groups", hako, "--root", root];
    return execute("unshare", [
      "--mount",
      "sh",
      "-c",
      line,
      passwd,
      ...words,
      "run",
      "--bundle",
      bundle,
      box.id(),
    ]);
  }

  const rootless =
    (more: Mutate = () => {}): Mutate =>
    (config) => {
      config.linux.namespaces = ["pid", "user", "ipc", "uts", "mount"].map((type) => ({ type }));
      config.linux.uidMappings = [{ containerID: 0, hostID: USER, size: 1 }];
      config.linux.gidMappings = [{ containerID: 0, hostID: USER, size: 1 }];
      config.linux.cgroupsPath = undefined as unknown as string;
      config.linux.resources = {};
      config.mounts = [{ destination: "/proc", type: "proc", source: "proc" }];
      config.process.rlimits = [];
      more(config);
    };

  e2e(
    "limits without delegation: systemd's drop-in is named",
    () => {
      using box = new Box();
      const bundle = box.bundle(
        ["true"],
        rootless(({ linux }) => {
          linux.resources.memory = { limit: 64 << 20 };
        }),
      );
      expectError(asUser(box, bundle), "memory controller", "user@.service.d/delegate.conf", "Delegate=cpu");
    },
    needsUser,
  );

  e2e("ids that /etc/subuid doesn't give", () => {
    using box = new Box();
    const bundle = box.bundle(
      ["true"],
      rootless(({ linux }) => {
        linux.uidMappings?.push({ containerID: 1, hostID: 700_000, size: 10 });
        linux.gidMappings?.push({ containerID: 1, hostID: 700_000, size: 10 });
      }),
    );
    expectError(asUser(box, bundle), "config /linux/gidMappings", "newgidmap", "700000:10", "/etc/subgid");
  }, [...needsUser, needsProgram("newuidmap"), needsProgram("newgidmap")]);

  e2e(
    "no helper for ids",
    () => {
      using box = new Box();
      const bundle = box.bundle(
        ["true"],
        rootless(({ linux }) => {
          linux.gidMappings?.push({ containerID: 1, hostID: 700_000, size: 10 });
        }),
      );
      chmodSync(box.dir, 0o755);
      const hako = join(box.dir, "hako");
      copyFileSync(HAKO, hako);
      const state = join(box.dir, "user-state");
      mkdirSync(state);
      execute("chown", ["-R", `${USER}:${USER}`, bundle, state]);
      const words = [hako, "--root", state, "run", "--bundle", bundle, box.id()];
      const setpriv = Bun.which("setpriv") ?? "setpriv";
      const result = execute(
        setpriv,
        ["--reuid", String(USER), "--regid", String(USER), "--clear-groups", ...words],
        {
          env: { PATH: "/nowhere" },
        },
      );
      expectError(result, "newgidmap is not installed", "uidmap");
    },
    needsUser,
  );

  e2e("a helper for ids that lost its setuid bit", () => {
    using box = new Box();
    const bundle = box.bundle(
      ["true"],
      rootless(({ linux }) => {
        linux.gidMappings?.push({ containerID: 1, hostID: 700_000, size: 10 });
      }),
    );
    const helper = join(box.dir, "newgidmap");
    copyFileSync(Bun.which("newgidmap") ?? "", helper);
    chmodSync(helper, 0o755);
    const subgid = join(box.dir, "subgid");
    writeFileSync(subgid, "tester:700000:10\n");
    const line = `mount --bind ${subgid} /etc/subgid && PATH=${box.dir}:$PATH`;
    const result = asUser(box, bundle, join(box.dir, "user-state"), line);
    expectError(result, "config /linux/gidMappings", `${helper} needs its setuid bit or file capability`);
  }, [...needsUser, needsProgram("newgidmap")]);

  e2e("no user namespaces", () => {
    using box = new Box();
    const bundle = box.bundle(["true"], ({ linux }) => {
      linux.namespaces.push({ type: "user" });
      linux.uidMappings = [{ containerID: 0, hostID: 0, size: 65_536 }];
      linux.gidMappings = [{ containerID: 0, hostID: 0, size: 65_536 }];
    });
    // in a user namespace of its own, whose limits are its own
    const line = 'echo 0 > /proc/sys/user/max_user_namespaces && exec "$0" "$@"';
    const words = [HAKO, "--root", box.root, "run", "--bundle", bundle, box.id()];
    const result = execute("unshare", ["--user", "--map-root-user", "--mount", "sh", "-c", line, ...words]);
    expectError(result, "clone3: no space left on device", "user.max_user_namespaces is 0", "sysctl -w");
  }, [needsHako, needsProgram("unshare")]);

  e2e("a hard limit above one's own", () => {
    using box = new Box();
    const result = box.run(["true"], ({ process }) => {
      process.rlimits = [{ type: "RLIMIT_NOFILE", soft: 2 ** 30 * 2, hard: 2 ** 30 * 2 }];
    });
    expectError(result, "config /process/rlimits/0", "operation not permitted");
  }, [needsHako]);

  e2e(
    "a state directory of somebody else, read-only, or on a full file system",
    () => {
      using box = new Box();
      const bundle = box.bundle(["true"], rootless());
      mkdirSync(box.root, { mode: 0o755 });
      expectError(
        asUser(box, bundle, box.root),
        `state directory ${box.root}`,
        "permission denied",
        "another --root",
      );
      const plain = box.bundle(["true"]);
      const words = [HAKO, "--root", join(box.root, "s"), "run", "--bundle", plain, box.id()];
      const inTmpfs = (options: string) =>
        execute("unshare", [
          "--mount",
          "sh",
          "-c",
          `mount -t tmpfs -o ${options} tmpfs ${box.root} && exec "$0" "$@"`,
          ...words,
        ]);
      expectError(
        inTmpfs("ro"),
        `state directory ${box.root}/s`,
        "read-only file system",
        "choose another --root",
      );
      expectError(inTmpfs("nr_inodes=3"), "no space left on device", "no more inodes: see df -i");
      const full = execute("unshare", [
        "--mount",
        "sh",
        "-c",
        `mount -t tmpfs -o size=64k tmpfs ${box.root} && head -c 100k /dev/zero > ${box.root}/all 2> /dev/null; exec "$0" "$@"`,
        ...words,
      ]);
      expectError(full, "no space left on device", "no more space: see df");
    },
    needsUser,
  );
});

describe("hooks and sockets", () => {
  const hook =
    (kind: string, line: string, more: object = {}) =>
    (config: BundleConfig) => {
      config.hooks = { [kind]: [{ path: "/bin/sh", args: ["sh", "-c", line], ...more }] };
    };

  e2e("which hook it was, how it ended, and its last words", () => {
    using box = new Box();
    expectError(
      box.run(["true"], hook("createRuntime", "echo out; echo one >&2; echo two >&2; exit 3")),
      "config /hooks/createRuntime/0: hook /bin/sh: exited with status 3: one; two",
    );
    expectError(box.run(["true"], hook("prestart", "kill -9 $$")), "hook /bin/sh: was killed by SIGKILL");
    const slow = hook("createRuntime", "echo waiting >&2; sleep 30", { timeout: 1 });
    expectError(box.run(["true"], slow), "ended after its timeout of 1 s: waiting");
    const much = hook("poststart", "seq 1 2000 >&2; echo the end >&2; exit 1");
    expectError(box.run(["sleep", "5"], much), "config /hooks/poststart/0", "2000; the end");
    const script = box.path("hook");
    writeFileSync(script, "#!/no/such\n", { mode: 0o755 });
    const result = box.run(["true"], (config) => {
      config.hooks = { createRuntime: [{ path: script }] };
    });
    expectError(result, `hook ${script}: no such file or directory: ${script} is a script for /no/such`);
  }, [needsHako]);

  e2e("a console socket that nobody listens on", () => {
    using box = new Box();
    const bundle = box.bundle(["true"], ({ process }) => {
      process.terminal = true;
    });
    const file = box.path("file");
    writeFileSync(file, "");
    const create = (path: string) =>
      box.hako("create", "--console-socket", path, "--bundle", bundle, box.id());
    expectError(
      create(box.path("none")),
      "--console-socket",
      "no such file or directory",
      "hako console recv",
    );
    expectError(create(file), "--console-socket", "connection refused", "nobody listens there");
  }, [needsHako]);
});
