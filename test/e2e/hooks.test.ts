// @cgroup-v2
// Hooks: when they run, what they are told, and what comes of a failing one.
import { describe, expect } from "bun:test";
import { existsSync, mkdirSync, readFileSync, readlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expectError } from "./explaining";
import { Home, NEEDS } from "./rootless-home";
import {
  Box,
  type BundleConfig,
  e2e,
  execute,
  expectUnchanged,
  hostSnapshot,
  IS_HAKO,
  needsHako,
  needsProgram,
  needsUserNamespace,
  SLEEP,
} from "./support";

describe("hooks", () => {
  const KINDS = ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"];

  /** A hook that appends its kind and the state from its stdin to a file. */
  function recorder(kind: string, file: string): { path: string; args: string[]; env: string[] } {
    return {
      path: "/bin/sh",
      args: ["sh", "-c", `read -r state; echo "${kind} $MARK $state" >> ${file}`],
      env: ["MARK=mark", "PATH=/bin:/usr/bin"],
    };
  }

  e2e("of all six kinds run in order, with the state on stdin", async () => {
    using box = new Box();
    const id = box.id();
    const shared = box.path("shared");
    mkdirSync(shared);
    const bundle = box.bundle(["true"], (config) => {
      config.mounts.push({ destination: "/shared", type: "bind", source: shared, options: ["bind", "rw"] });
      config.hooks = Object.fromEntries(
        KINDS.map((kind) => [
          kind,
          [recorder(kind, kind === "startContainer" ? "/shared/log" : `${shared}/log`)],
        ]),
      );
    });
    box.ok("create", "--bundle", bundle, id);
    const { pid } = box.state(id);
    box.ok("start", id);
    await box.waitFor(id, "stopped");
    box.ok("delete", id);
    const lines = readFileSync(join(shared, "log"), "utf8").trim().split("\n");
    const seen = lines.map((line) => {
      const [kind = "", mark, ...state] = line.split(" ");
      expect(mark).toBe("mark");
      return { kind, state: JSON.parse(state.join(" ")) as Record<string, unknown> };
    });
    expect(seen.map((entry) => entry.kind).sort()).toEqual([...KINDS].sort());
    // the program may have ended before poststart hooks run; the others have a fixed order
    const order = seen.map((entry) => entry.kind).filter((kind) => kind !== "poststart");
    expect(order).toEqual(KINDS.filter((kind) => kind !== "poststart"));
    for (const { kind, state } of seen) {
      expect(state).toMatchObject({ id, bundle });
      expect(String(state.ociVersion)).toMatch(/^1\./);
      if (["prestart", "createRuntime"].includes(kind)) expect(state.pid).toBe(pid);
      const status: Record<string, string[]> = {
        prestart: ["creating", "created"],
        createRuntime: ["creating", "created"],
        createContainer: ["creating", "created"],
        startContainer: ["created"],
        poststart: ["running"],
        poststop: ["stopped"],
      };
      if (IS_HAKO) expect(status[kind]).toContain(String(state.status));
    }
  });

  e2e("in the container begin in its root, those at start with the program's environment", () => {
    using box = new Box();
    const bundle = box.bundle(["true"], (config) => {
      config.process.env = ["PATH=/bin:/usr/bin", "WORD=program"];
      config.hooks = {
        createContainer: [{ path: "/bin/sh", args: ["sh", "-c", "echo =$WORD > ./tmp/create"] }],
        startContainer: [
          { path: "/bin/sh", args: ["sh", "-c", "echo $WORD $HOME > ./tmp/start"] },
          { path: "/bin/sh", args: ["sh", "-c", "echo =$WORD > ./tmp/own"], env: ["OWN=1"] },
        ],
      };
    });
    box.ok("run", "--bundle", bundle, box.id());
    const written = ["create", "start", "own"].map((name) =>
      readFileSync(join(bundle, "rootfs/tmp", name), "utf8"),
    );
    expect(written).toEqual(["=\n", "program /root\n", "=\n"]);
  });

  for (const kind of KINDS) {
    const fatal = kind !== "poststop";
    e2e(
      `a failing ${kind} hook ${fatal ? "stops the container" : "is only a warning"}`,
      async () => {
        using box = new Box();
        const before = hostSnapshot(box.root);
        const mark = box.path("mark");
        const result = box.run(["echo", "ran"], (config) => {
          config.hooks = {
            [kind]: [
              { path: "/bin/sh", args: ["sh", "-c", "echo broken >&2; exit 9"] },
              { path: "/bin/sh", args: ["sh", "-c", `cat >/dev/null; echo next > ${mark}`] },
            ],
          };
        });
        if (fatal) {
          expect(result.status).toBeGreaterThan(0);
          // the program may have run before poststart hooks do
          if (kind !== "poststart") expect(result.stdout).toBe("");
          expect(result.stderr).toContain("hook");
          expect(result.stderr).toContain("9");
          expect(existsSync(mark)).toBe(false);
        } else {
          expect(result).toMatchObject({ status: 0, stdout: "ran\n" });
          expect(existsSync(mark)).toBe(true);
        }
        await expectUnchanged(before, box.root);
      },
      kind === "poststart" || kind === "poststop" || kind === "startContainer" ? [needsHako] : [],
    );
  }

  e2e("a failing poststart hook of start leaves a stopped container, whose delete runs poststop hooks", async () => {
    // runtime.md "Lifecycle": it goes on at delete; runc runs poststart hooks at create, which leaves nothing when it fails
    using box = new Box();
    const mark = box.path("mark");
    const id = box.id();
    const bundle = box.bundle(["sleep", "600"], (config) => {
      config.hooks = {
        poststart: [{ path: "/bin/false" }],
        poststop: [{ path: "/bin/sh", args: ["sh", "-c", `cat > ${mark}`] }],
      };
    });
    box.ok("create", "--bundle", bundle, id);
    expectError(box.hako("start", id), "config /hooks/poststart/0", "exited with status 1");
    expect(box.state(id).status).toBe("stopped");
    expect(existsSync(mark)).toBe(false);
    box.ok("delete", id);
    expect(JSON.parse(readFileSync(mark, "utf8"))).toMatchObject({ id, status: "stopped" });
  }, [needsHako]);

  e2e("a hook that takes too long is ended", async () => {
    using box = new Box();
    const before = hostSnapshot(box.root);
    const start = Date.now();
    const result = box.run(["true"], (config) => {
      config.hooks = {
        createRuntime: [{ path: "/bin/sleep", args: ["sleep", "100"], timeout: 1 }],
      };
    });
    expect(result.status).toBe(1);
    expect(Date.now() - start).toBeLessThan(20_000);
    await expectUnchanged(before, box.root);
  });

  e2e("before the program see its process in the container's cgroups @v2", async () => {
    using box = new Box();
    const out = box.path("cgroups");
    mkdirSync(out);
    const look = (kind: string, pid: string) => ({
      path: "/bin/sh",
      args: ["sh", "-c", `cat /proc/${pid}/cgroup > ${out}/${kind}; cat >/dev/null`],
    });
    const ofState = '$(sed "s/.*\\"pid\\":\\([0-9]*\\).*/\\1/")';
    const id = box.id();
    const bundle = box.bundle(["sleep", "600"], (config) => {
      config.hooks = {
        prestart: [look("prestart", ofState)],
        createRuntime: [look("createRuntime", ofState)],
        createContainer: [look("createContainer", "self")],
      };
    });
    box.ok("create", "--bundle", bundle, id);
    const program = readFileSync(`/proc/${box.state(id).pid}/cgroup`, "utf8");
    for (const kind of ["prestart", "createRuntime", "createContainer"]) {
      expect([kind, readFileSync(join(out, kind), "utf8")]).toEqual([kind, program]);
    }
    expect(program).toContain(box.names);
  });

  for (const [what, args, last] of [
    ["a hook", ["true"], "/bin/false"],
    ["the program", ["/nosuch"], "/bin/true"],
  ] as const) {
    e2e(`create fails for ${what}: poststop hooks clean up what the first ones made`, async () => {
      using box = new Box();
      const before = hostSnapshot(box.root);
      const [made, kept] = [box.path("made"), box.path("kept")];
      const id = box.id();
      const bundle = box.bundle([...args], (config) => {
        config.hooks = {
          prestart: [{ path: "/bin/sh", args: ["sh", "-c", `cat >/dev/null; echo > ${made}`] }],
          poststop: [{ path: "/bin/sh", args: ["sh", "-c", `cat > ${kept}; rm ${made}`] }],
          createRuntime: [{ path: last }],
        };
      });
      const result = box.hako("create", "--bundle", bundle, id);
      expect(result.status).not.toBe(0);
      expect(existsSync(made)).toBe(false);
      expect(JSON.parse(readFileSync(kept, "utf8"))).toMatchObject({ id, status: "stopped" });
      await expectUnchanged(before, box.root);
    });
  }

  e2e("the container's process is killed while it is made: create says so, and nothing is left", async () => {
    using box = new Box();
    const before = hostSnapshot(box.root);
    const kill = "kill -KILL $(sed 's/.*\"pid\":\\([0-9]*\\).*/\\1/')";
    const result = box.run(["true"], (config) => {
      config.hooks = { createRuntime: [{ path: "/bin/sh", args: ["sh", "-c", kill] }] };
    });
    expect(result.status).toBe(1);
    expect(result.stderr).toMatch(/the container's process was killed by signal 9 before it was ready/);
    await expectUnchanged(before, box.root);
  }, [needsHako]);

  e2e("create fails before any hook: there is nothing that poststop could clean up", () => {
    using box = new Box();
    const mark = box.path("mark");
    const result = box.run(["true"], (config) => {
      config.mounts.push({ destination: "/data", type: "bind", source: "/nosuch", options: ["bind"] });
      config.hooks = { poststop: [{ path: "/bin/touch", args: ["touch", mark] }] };
    });
    expect(result.status).toBe(1);
    expect(existsSync(mark)).toBe(false);
  }, [needsHako]);

  e2e("one that says very much fails nothing", () => {
    using box = new Box();
    const args = ["sh", "-c", "cat >/dev/null; head -c 3000000 /dev/zero"];
    const result = box.run(["echo", "ran"], (config) => {
      config.hooks = { createRuntime: [{ path: "/bin/sh", args }], poststop: [{ path: "/bin/sh", args }] };
    });
    expect(result).toMatchObject({ status: 0, stdout: "ran\n" });
  });
});

describe("hooks of a container in a pid namespace that it joins", () => {
  const NAMESPACES = ["mnt", "net", "ipc", "uts", "pid"];
  const HOOK = "/bin/sh";
  const env = ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"];
  /** Reads the state, of which `pid` is what it names. */
  const READ = `read -r state; pid=$(echo "$state" | sed 's/.*"pid":\\([0-9]*\\).*/\\1/')`;

  function hook(line: string) {
    return { path: HOOK, args: ["sh", "-c", `${READ}; ${line}`], env };
  }

  /** A pod's first container, and what makes others join it. */
  function pod(box: Box): (config: BundleConfig) => void {
    const { pid } = box.state(box.started());
    return (config) => {
      config.linux.namespaces = config.linux.namespaces.map((namespace) =>
        namespace.type === "pid" ? { type: "pid", path: `/proc/${pid}/ns/pid` } : namespace,
      );
    };
  }

  const namespacesOf = (pid: number | string) =>
    NAMESPACES.map((type) => readlinkSync(`/proc/${pid}/ns/${type}`));

  e2e("before the program are told of a process outside that holds its namespaces and cgroups @v2", () => {
    using box = new Box();
    const join_ = pod(box);
    const id = box.id();
    const log = box.path("log");
    const links = NAMESPACES.map((type) => `$(readlink /proc/$pid/ns/${type})`).join(" ");
    const told = (kind: string) => hook(`echo ${kind} $pid ${links} $(md5sum < /proc/$pid/cgroup) >> ${log}`);
    const bundle = box.bundle(SLEEP, (config) => {
      join_(config);
      config.hooks = Object.fromEntries(
        ["prestart", "createRuntime", "createContainer"].map((kind) => [kind, [told(kind)]]),
      );
    });
    box.ok("create", "--bundle", bundle, id);
    const { pid } = box.state(id);
    const rows = readFileSync(log, "utf8")
      .trim()
      .split("\n")
      .map((line) => line.split(" "));
    expect(rows.map(([kind]) => kind)).toEqual(["prestart", "createRuntime", "createContainer"]);
    const own = namespacesOf(pid);
    const cgroups = execute("sh", ["-c", `md5sum < /proc/${pid}/cgroup`])
      .stdout.trim()
      .split(" ");
    for (const [, outside, ...rest] of rows) {
      expect(outside).not.toBe(String(pid));
      // it has ended since, and what it held is the container's
      expect(existsSync(`/proc/${outside}`)).toBe(false);
      expect(rest.slice(0, 4)).toEqual(own.slice(0, 4));
      // what it does not have: the pid namespace, in which others could get at it
      if (IS_HAKO) expect(rest[4]).toBe(readlinkSync("/proc/self/ns/pid"));
      expect(rest[5]).toBe(cgroups[0] ?? "");
    }
  }, [needsHako]);

  e2e("may keep its network namespace, as docker's network does (libnetwork-setkey)", () => {
    using box = new Box();
    const join_ = pod(box);
    const id = box.id();
    const key = box.path("key");
    const bundle = box.bundle(SLEEP, (config) => {
      join_(config);
      config.hooks = { prestart: [hook(`: > ${key}; mount --bind /proc/$pid/ns/net ${key}`)] };
    });
    try {
      box.ok("create", "--bundle", bundle, id);
      box.ok("start", id);
      const { pid } = box.state(id);
      const kept = execute("nsenter", [`--net=${key}`, "readlink", "/proc/self/ns/net"]).stdout.trim();
      expect(kept).toBe(readlinkSync(`/proc/${pid}/ns/net`));
    } finally {
      execute("umount", [key]);
    }
  }, [needsProgram("nsenter")]);

  e2e("may mount in its root file system from within its mount namespace, as NVIDIA's does", () => {
    using box = new Box();
    const join_ = pod(box);
    const id = box.id();
    const library = box.path("library");
    writeFileSync(library, "of the host\n");
    const bundle = box.bundle(["cat", "/lib/library"], (config) => {
      join_(config);
      const { path: _, ...root } = config.root;
      expect(root).toBeDefined();
      // the configuration is found by the bundle, the device rules by the cgroup of the process
      const inside = `touch "$root/lib/library"; mount --bind ${library} "$root/lib/library"`;
      const line = `root=$(echo "$state" | sed 's/.*"bundle":"\\([^"]*\\)".*/\\1/')/rootfs; mkdir -p "$root/lib"; grep -q ${box.names} /proc/$pid/cgroup && test -d /proc/$pid/root/proc && nsenter -t $pid -m sh -c 'root=$1; ${inside}' sh "$root"`;
      config.hooks = { prestart: [hook(line)] };
    });
    const ran = box.hako("run", "--bundle", bundle, id);
    expect([ran.status, ran.stdout, ran.stderr]).toEqual([0, "of the host\n", ""]);
    // nothing of it is the host's
    expect(readFileSync("/proc/self/mountinfo", "utf8")).not.toContain("lib/library");
  }, [needsProgram("nsenter")]);

  e2e("at start know the process as the pid namespace does", async () => {
    using box = new Box();
    const join_ = pod(box);
    const id = box.id();
    const bundle = box.bundle(SLEEP, (config) => {
      join_(config);
      config.hooks = { startContainer: [hook("echo $pid > /tmp/pid")] };
    });
    box.ok("create", "--bundle", bundle, id);
    box.ok("start", id);
    const { pid } = box.state(id);
    const inside = /^NSpid:.*\t(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
    expect(readFileSync(join(bundle, "rootfs/tmp/pid"), "utf8")).toBe(`${inside}\n`);
  });

  e2e(
    "of an ordinary user can't look at it; those of one that joins nothing can",
    () => {
      using home = new Home();
      const first = home.box.id();
      const started = home.hako("run", "--detach", "--bundle", home.bundle(SLEEP), first);
      expect([started.status, started.stderr]).toEqual([0, ""]);
      const { pid } = JSON.parse(home.hako("state", first).stdout);
      const log = join(home.runtime, "log");
      const seen = (change: (config: BundleConfig) => void) => {
        const bundle = home.bundle(["true"], (config) => {
          config.hooks = { prestart: [hook(`readlink /proc/$pid/ns/net > ${log} || :`)] };
          change(config);
        });
        const ran = home.hako("run", "--bundle", bundle, home.box.id());
        expect([ran.status, ran.stderr]).toEqual([0, ""]);
        return readFileSync(log, "utf8");
      };
      expect(seen(() => {})).toMatch(/^net:/);
      const joined = seen((config) => {
        for (const namespace of config.linux.namespaces)
          if (["user", "pid"].includes(namespace.type)) namespace.path = `/proc/${pid}/ns/${namespace.type}`;
      });
      expect(joined).toBe("");
    },
    NEEDS,
  );

  const map = [{ containerID: 0, hostID: 0, size: 65_536 }];
  const newUser = (config: BundleConfig) => {
    config.linux.namespaces.push({ type: "user" });
    Object.assign(config.linux, { uidMappings: map, gidMappings: map });
    // no kernel makes a procfs for a pid namespace of somebody else's
    config.mounts = [{ destination: "/proc", type: "bind", source: "/proc", options: ["rbind"] }];
  };

  e2e("with a new user namespace too: what runs in the container would be born among others, and is refused", async () => {
    using box = new Box();
    const join_ = pod(box);
    const before = hostSnapshot(box.root);
    const made = (hooks: BundleConfig["hooks"]) =>
      box.run(["true"], (config) => {
        join_(config);
        newUser(config);
        config.hooks = hooks;
      });
    const ran = made({ prestart: [hook("true")], createRuntime: [hook("true")] });
    expect([ran.status, ran.stderr]).toEqual([0, ""]);
    expectError(
      made({ createContainer: [hook("true")] }),
      "config /hooks/createContainer: not with a pid namespace that is joined and a user namespace that is new",
      "join the user namespace too",
    );
    await expectUnchanged(before, box.root);
  }, [needsHako, needsUserNamespace]);

  e2e("that follow a process by its pid are refused by name", () => {
    using box = new Box();
    const join_ = pod(box);
    const path = box.path("oci-seccomp-bpf-hook");
    const ran = (change: (config: BundleConfig) => void) =>
      box.run(["true"], (config) => {
        change(config);
        config.hooks = { prestart: [{ path, args: [path, "-o", "/tmp/profile"] }] };
      });
    expectError(
      ran(join_),
      "config /hooks/prestart/0: oci-seccomp-bpf-hook follows the process that it is told of",
      "a pid namespace of its own",
    );
    writeFileSync(path, "#!/bin/sh\n", { mode: 0o755 });
    expect(ran(() => {}).stderr).toBe("");
  }, [needsHako]);
});
