// @cgroup-v2
// Failures of docs/troubleshooting.md that a bundle is the cause of, provoked: the error names it in one line, with what to try.
import { describe, expect } from "bun:test";
import { closeSync, mkdirSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { bundleWith, expectError, type Mutate } from "./explaining";
import {
  Box,
  type BundleConfig,
  e2e,
  execute,
  expectUnchanged,
  HAKO,
  hostSnapshot,
  needsHako,
  needsProgram,
} from "./support";

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
      "(chmod a+x it)",
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
    expectError(box.run([""]), 'exec: "": executable file not found in $PATH', "a variable without a value");
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
    expectError(
      inDirectory("/etc/passwd"),
      "hako: config /process/cwd: ",
      "not a directory",
      "is a file of the image",
    );
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
      expectError(result, "execve /bin/program", "is a script for /no/such");
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
    const none = box.run(["true"], ({ mounts }) => {
      mounts.push({ destination: "/x" });
    });
    expectError(none, "config /mounts/7", "its type is missing");
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
