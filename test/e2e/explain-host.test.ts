// @cgroup-v2
// Failures of docs/troubleshooting.md that the host or the caller is the cause of, provoked: the error names it in one line, with what to try.
import { describe, expect } from "bun:test";
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmdirSync,
  writeFileSync,
} from "node:fs";
import { basename, join } from "node:path";
import { expectError, type Mutate } from "./explaining";
import {
  Box,
  e2e,
  execute,
  expectUnchanged,
  HAKO,
  hostSnapshot,
  isV2,
  needsHako,
  needsProgram,
  PATIENCE_MS,
  type Result,
} from "./support";

describe("cgroups @v2", () => {
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
      for (const end = Date.now() + PATIENCE_MS; ; Bun.sleepSync(20)) {
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

  for (const memory of [{ limit: 8192 }, { limit: 8192, swap: 8192 }]) {
    e2e(`too little memory: whose limit it was, of ${JSON.stringify(memory)}`, async () => {
      using box = new Box();
      const before = hostSnapshot(box.root);
      const result = box.run(["true"], ({ linux }) => {
        linux.resources.memory = memory;
      });
      expectError(
        result,
        "config /linux/resources/memory/limit: out of memory: it reached the limit of 8192 bytes",
        isV2 ? "memory.max" : "memory.limit_in_bytes",
      );
      await expectUnchanged(before, box.root);
    }, [needsHako, needsController("memory")]);
  }

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
    // of another state directory, with the same id
    using elsewhere = new Box();
    box.ok("run", "--detach", "--rootfs", "/", "--name", `${id}-b`, "--", "sleep", "600");
    const taken = elsewhere.hako("run", "--rootfs", "/", "--name", `${id}-b`, "--", "true");
    expectError({ ...taken, status: 1 }, "is in use", "choose another id");
    expect(taken.status).toBe(125);
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

describe("cgroup v2 @v2", () => {
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
    "limits without delegation: systemd's drop-in is named @v2",
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
