// @cgroup-v2
// exec: a process beside the first one, with the container's namespaces, cgroups, user and limits.
import { expect } from "bun:test";
import { spawn } from "node:child_process";
import { once } from "node:events";
import {
  chmodSync,
  chownSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { Home, NEEDS } from "./rootless-home";
import {
  Box,
  busyboxRootfs,
  e2e,
  execute,
  HAKO,
  isV2,
  needsHako,
  needsProgram,
  SLEEP,
  until,
} from "./support";

e2e("exec runs a command with the container's namespaces and root, and gives its output and status", () => {
  using box = new Box();
  const id = box.started();
  const { pid } = box.state(id);
  const types = ["mnt", "uts", "ipc", "pid", "net", "cgroup"];
  const line = `for t in ${types.join(" ")}; do readlink /proc/self/ns/$t; done; cat; exit 7`;
  const result = box.hakoWith({ input: "from stdin" }, "exec", id, "sh", "-c", line);
  expect(result.status).toBe(7);
  const links = types.map((type) => readlinkSync(`/proc/${pid}/ns/${type}`));
  expect(result.stdout).toBe(`${links.join("\n")}\nfrom stdin`);
});

e2e("flags after the id belong to the command", () => {
  using box = new Box();
  const id = box.started();
  expect(box.ok("exec", id, "echo", "--tty", "-e", "x").stdout).toBe("--tty -e x\n");
});

e2e("a signal's end is 128 and its number; a failure to start is 255", () => {
  using box = new Box();
  const id = box.started();
  expect(box.hako("exec", id, "sh", "-c", "kill -9 $$").status).toBe(137);
  const missing = box.hako("exec", id, "/no/such");
  expect(missing.status).toBe(255);
  expect(missing.stderr).toMatch(
    /^hako: .*exec: "\/no\/such": stat \/no\/such: no such file or directory\n$/,
  );
  const directory = box.hako("exec", id, "/tmp");
  expect(directory.status).toBe(255);
  // the words by which podman and docker tell 126 from 127
  expect(directory.stderr).toContain("permission denied: it is a directory");
  const empty = box.ok(
    "exec",
    id,
    "sh",
    "-c",
    "echo > /tmp/empty; chmod 755 /tmp/empty; printf '\\0\\0' > /tmp/bad; chmod 755 /tmp/bad",
  );
  expect(empty.stderr).toBe("");
  const bad = box.hako("exec", id, "/tmp/bad");
  expect(bad.status).toBe(255);
  expect(bad.stderr).toContain("exec format error");
});

e2e("the program is looked up in the container's PATH, as its user may execute it", () => {
  using box = new Box();
  const rootfs = join(box.dir, "rootfs");
  busyboxRootfs(rootfs);
  const program = (path: string, mode: number, says: string): void => {
    mkdirSync(join(rootfs, dirname(path)), { recursive: true });
    writeFileSync(join(rootfs, path), `#!/bin/sh\necho ${says}\n`);
    chmodSync(join(rootfs, path), mode);
  };
  program("first/tool", 0o700, "first");
  program("second/tool", 0o755, "second");
  program("closed/secret/tool", 0o755, "closed");
  chmodSync(join(rootfs, "closed/secret"), 0o700);
  program("plain/file", 0o644, "plain");
  mkdirSync(join(rootfs, "first/dir"));
  program("second/dir", 0o755, "a file behind a directory");
  program("home/here", 0o755, "relative");
  mkdirSync(join(rootfs, "led"));
  // where only a process of the container finds itself, and through a link that is followed before ".."
  symlinkSync("/proc/self/root/second/tool", join(rootfs, "led/tool"));
  program("far/bin/tool", 0o755, "far");
  mkdirSync(join(rootfs, "far/v1"));
  symlinkSync("/far/v1", join(rootfs, "led/current"));
  symlinkSync("/second", join(rootfs, "linked"));
  symlinkSync("/circle", join(rootfs, "circle"));
  const id = box.started(SLEEP, (config) => {
    config.root.path = rootfs;
  });
  const as = (user: string, path: string, ...words: string[]) =>
    box.hako("exec", "--user", user, "--env", `PATH=${path}`, "--cwd", "/home", id, ...words);
  // of two the first that the user may execute; root may execute what is anybody's
  expect(as("1000:1000", "/first:/second", "tool").stdout).toBe("second\n");
  expect(as("0:0", "/first:/second", "tool").stdout).toBe("first\n");
  expect(as("1000:1000", "/closed/secret:/second", "tool").stdout).toBe("second\n");
  expect(as("1000:1000", "/first:/second", "dir").stdout).toBe("a file behind a directory\n");
  expect(as("1000:1000", "/nowhere:/linked", "tool").stdout).toBe("second\n");
  expect(as("1000:1000", ":/second", "here").stdout).toBe("relative\n");
  expect(as("1000:1000", "/led:/first", "tool").stdout).toBe("second\n");
  expect(as("1000:1000", "/none:/proc/self/root/second", "tool").stdout).toBe("second\n");
  expect(as("1000:1000", "/led/current/../bin:/second", "tool").stdout).toBe("far\n");
  expect(as("1000:1000", "/second", "./here").stdout).toBe("relative\n");
  const failures: [string, string, string, ...string[]][] = [
    ["/second", "none", 'exec: "none": executable file not found in $PATH'],
    ["/first:/second", "none", 'exec: "none": executable file not found in $PATH'],
    ["/first", "dir", 'exec: "dir": executable file not found in $PATH'],
    ["", "tool", "executable file not found in $PATH", "has no PATH"],
    [
      "/first",
      "tool",
      'exec: "tool": permission denied: /first/tool: its mode is 700, its owner 0, and user 1000',
    ],
    ["/closed/secret", "tool", 'exec: "tool": permission denied'],
    ["/second", "/plain/file", 'exec: "/plain/file": permission denied: /plain/file: its mode is 644'],
    ["/second", "./none", 'exec: "./none": stat ./none: no such file or directory'],
    ["/second", "/first/dir", 'exec: "/first/dir": permission denied: it is a directory'],
    ["/second", "/circle", 'unable to start container process: exec: "/circle": too many levels'],
    [
      "/second",
      "/closed/secret/tool",
      'exec: "/closed/secret/tool": permission denied (user 1000 may not search a directory on the way',
    ],
  ];
  for (const [path, name, ...said] of failures) {
    const result = as("1000:1000", path, name);
    expect([name, result.status]).toEqual([name, 255]);
    for (const words of said) expect(result.stderr).toContain(words);
  }
}, [needsHako]);

e2e("a working directory that only root may enter, or nobody", () => {
  using box = new Box();
  const rootfs = join(box.dir, "rootfs");
  busyboxRootfs(rootfs);
  mkdirSync(join(rootfs, "closed/inner"), { recursive: true });
  chmodSync(join(rootfs, "closed"), 0o700);
  writeFileSync(join(rootfs, "file"), "");
  symlinkSync("/etc", join(rootfs, "linked"));
  const id = box.started(SLEEP, (config) => {
    config.root.path = rootfs;
  });
  const at = (cwd: string) => box.hako("exec", "--user", "1000:1000", "--cwd", cwd, id, "pwd");
  expect(at("/closed/inner").stdout).toBe("/closed/inner\n");
  expect(at("/linked").stdout).toBe("/etc\n");
  expect(at("/none").stderr).toContain(
    "config /process/cwd: chdir /none: no such file or directory (make it",
  );
  expect(at("/file").stderr).toContain("config /process/cwd: chdir /file: not a directory");
  expect(at("/proc/1/root/proc/self/fd/0").status).toBe(255);
  expect(box.hako("exec", "--cwd", "/proc/1/root", id, "pwd").stderr).toContain("a link of procfs");
}, [needsHako]);

e2e("the first process may have changed its root; exec has the container's", async () => {
  using box = new Box();
  const rootfs = join(box.dir, "rootfs");
  busyboxRootfs(rootfs);
  busyboxRootfs(join(rootfs, "a/jail"));
  mkdirSync(join(rootfs, "only"));
  writeFileSync(join(rootfs, "only/outside"), "#!/bin/sh\npwd\n", { mode: 0o755 });
  writeFileSync(join(rootfs, "etc/passwd"), "root:x:0:0::/outer:/bin/sh\n");
  writeFileSync(join(rootfs, "a/jail/etc/passwd"), "root:x:0:0::/inner:/bin/sh\n");
  const id = box.id();
  const bundle = box.bundle(["busybox", "chroot", "/a/jail", "sleep", "600"], (config) => {
    config.root.path = rootfs;
    const names = [...(config.process.capabilities?.bounding ?? []), "CAP_SYS_CHROOT"];
    config.process.capabilities = { bounding: names, effective: names, permitted: names };
  });
  box.ok("run", "--detach", "--bundle", bundle, id);
  const { pid } = box.state(id);
  await until("the jail is entered", () => readFileSync(`/proc/${pid}/cmdline`, "utf8").startsWith("sleep"));
  expect(readdirSync(`/proc/${pid}/root`)).not.toContain("only");
  expect(box.ok("exec", "--env", "PATH=/only:/bin", id, "outside").stdout).toBe("/\n");
  expect(box.ok("exec", id, "sh", "-c", "echo $HOME").stdout).toBe("/outer\n");
  expect(box.ok("exec", "-t", id, "tty").stdout).toBe("/dev/pts/0\n");
}, [needsHako]);

e2e("a working directory behind one that the container may not search; one that only the user may enter", () => {
  using box = new Box();
  chmodSync(box.dir, 0o755);
  const rootfs = join(box.dir, "rootfs");
  busyboxRootfs(rootfs);
  mkdirSync(join(rootfs, "vol"));
  symlinkSync("/vol/private/sub", join(rootfs, "work"));
  mkdirSync(box.path("volume/private/sub"), { recursive: true });
  writeFileSync(box.path("volume/private/sub/file"), "of the host");
  chmodSync(box.path("volume/private"), 0o700);
  mkdirSync(join(rootfs, "own"));
  chmodSync(join(rootfs, "own"), 0o750);
  chownSync(join(rootfs, "own"), 0, 101000);
  const map = [{ containerID: 0, hostID: 100000, size: 65536 }];
  const id = box.started(SLEEP, (config) => {
    config.root.path = rootfs;
    config.linux.namespaces.push({ type: "user" });
    config.linux.uidMappings = map;
    config.linux.gidMappings = map;
    config.mounts.push({ destination: "/vol", type: "bind", source: box.path("volume"), options: ["bind"] });
  });
  const hidden = box.hako("exec", "--cwd", "/work", id, "cat", "file");
  expect([hidden.status, hidden.stdout]).toEqual([255, ""]);
  expect(hidden.stderr).toContain(
    "config /process/cwd: chdir /work: permission denied (user 0 may not enter it",
  );
  expect(box.ok("exec", "-u", "1000:1000", "--cwd", "/own", id, "pwd").stdout).toBe("/own\n");
}, [needsHako]);

e2e("user, groups, directory, variables and capabilities come from the container and from flags", () => {
  using box = new Box();
  const id = box.started(SLEEP, (config) => {
    config.process.env.push("OWN=1");
    config.process.user = { uid: 0, gid: 0, umask: 0o27 };
  });
  const plain = box.ok(
    "exec",
    id,
    "sh",
    "-c",
    "id -u; umask; echo $OWN; grep CapBnd /proc/self/status",
  ).stdout;
  expect(plain).toBe("0\n0027\n1\nCapBnd:\t0000000020000420\n");
  const flags = [
    "-u",
    "1000:1001",
    "-g",
    "7",
    "--additional-gids=8",
    "--cwd",
    "/tmp",
    "-e",
    "A=b",
    "--cap",
    "CAP_SYS_TIME",
  ];
  const line = "id -u; id -G; pwd; echo $A $HOME; grep -E 'CapBnd|CapInh|CapEff' /proc/self/status";
  expect(box.ok("exec", ...flags, id, "sh", "-c", line).stdout).toBe(
    "1000\n1001 7 8\n/tmp\nb /tmp\nCapInh:\t0000000000000000\nCapEff:\t0000000000000000\nCapBnd:\t0000000022000420\n",
  );
  expect(box.ok("exec", "-u", "user", id, "id", "-un").stdout).toBe("user\n");
  expect(box.ok("exec", "--no-new-privs", id, "grep", "NoNewPrivs", "/proc/self/status").stdout).toContain(
    "1",
  );
});

e2e("no_new_privs: the container's, unless a flag or a process file says otherwise", () => {
  using box = new Box();
  const args = ["grep", "NoNewPrivs", "/proc/self/status"];
  const file = box.path("process.json");
  writeFileSync(
    file,
    JSON.stringify({ args: ["/bin/grep", ...args.slice(1)], cwd: "/", user: { uid: 0, gid: 0 } }),
  );
  for (const noNewPrivileges of [true, false]) {
    const id = box.started(SLEEP, (config) => {
      config.process.noNewPrivileges = noNewPrivileges;
    });
    const own = noNewPrivileges ? 1 : 0;
    const rows: [flags: string[], value: number][] = [
      [[], own],
      [["--no-new-privs"], 1],
      [["--no-new-privs=true"], 1],
      [["--no-new-privs=false"], 0],
    ];
    for (const [flags, value] of rows)
      expect(box.ok("exec", ...flags, id, ...args).stdout).toBe(`NoNewPrivs:\t${value}\n`);
    // a process file is the whole of it
    expect(box.ok("exec", "--process", file, id).stdout).toBe("NoNewPrivs:\t0\n");
  }
});

e2e("--cap says what another user than root doesn't get of it, and else nothing", () => {
  using box = new Box();
  const kill = ["CAP_KILL"];
  const id = box.started(SLEEP, (config) => {
    config.process.capabilities = { bounding: kill, effective: kill, permitted: kill, ambient: kill };
  });
  const said = (...flags: string[]) => box.ok("exec", ...flags, id, "true").stderr;
  expect([said(), said("-u", "1000"), said("--cap", "CAP_SYSLOG")]).toEqual(["", "", ""]);
  expect(said("-u", "1000", "--cap", "syslog,KILL")).toMatch(
    /^hako: warning: exec: --cap: user 1000 gets CAP_SYSLOG, CAP_KILL in its bounding set alone \([^\n]*\)\n$/,
  );
  const inheritable = box.started(SLEEP, (config) => {
    config.process.capabilities = { bounding: kill, inheritable: kill };
  });
  const user = box.ok(
    "exec",
    "-u",
    "1000",
    "--cap",
    "KILL",
    inheritable,
    "grep",
    "CapEff",
    "/proc/self/status",
  );
  expect(user).toMatchObject({ stdout: "CapEff:\t0000000000000020\n", stderr: "" });
}, [needsHako]);

e2e("users, groups and capabilities that are none are refused", () => {
  using box = new Box();
  const id = box.started();
  const users = [" 1000", "-1", "4294967295", "1000:", ":1", "1:2:3"].map((user) => [user, 2] as const);
  for (const [user, status] of [...users, ["1000x", 255], ["nobody-here", 255], ["0:none", 255]] as const) {
    const result = box.hako("exec", `--user=${user}`, id, "true");
    expect({ user, status: result.status }).toEqual({ user, status });
    expect(result.stderr.trim().split("\n")).toHaveLength(1);
  }
  expect(box.hako("exec", "-g", "x", id, "true").status).toBe(2);
  expect(box.hako("exec", id).status).toBe(2);
  expect(box.hako("exec", "--cwd", "relative", id, "true").stderr).toContain(
    "/cwd: expected an absolute path",
  );
}, [needsHako]);

e2e("exec joins the container's cgroups, and those below them @v2", () => {
  using box = new Box();
  const id = box.started(SLEEP, (config) => {
    config.linux.namespaces = config.linux.namespaces.filter(({ type }) => type !== "cgroup");
    config.linux.resources = { pids: { limit: 20 } };
  });
  const own = readFileSync(`/proc/${box.state(id).pid}/cgroup`, "utf8");
  expect(box.ok("exec", id, "cat", "/proc/self/cgroup").stdout).toBe(own);
  const outside = box.hako("exec", "--cgroup", "../..", id, "true");
  expect(outside.status).toBe(2);
  expect(outside.stderr).toContain("leads out of the container's cgroup");
  const missing = box.hako("exec", "--cgroup", "no/such", id, "true");
  expect(missing.status).toBe(255);
  expect(missing.stderr).toContain("does not exist");
  if (isV2) return;
  expect(box.hako("exec", "--cgroup", "moon:/", id, "true").status).toBe(255);
  const twice = box.hako("exec", "--cgroup", "pids:/", "--cgroup", "memory,pids:/", id, "true");
  expect(twice.status).toBe(2);
  expect(twice.stderr).toContain("another --cgroup is for the same hierarchy");
  box.ok("exec", "--cgroup", "pids:/", "--cgroup", "memory:/", id, "true");
}, [needsHako]);

e2e("limits hold for the command, not for hako's own start @v2", () => {
  using box = new Box();
  const id = box.started(SLEEP, (config) => {
    config.linux.resources = { pids: { limit: 2 }, memory: { limit: 8 << 20 } };
  });
  expect(box.hako("exec", id, "true").status).toBe(0);
});

e2e("without a mount namespace the container's root is its own wherever exec is called", () => {
  using box = new Box();
  const rootfs = join(box.dir, "rootfs");
  busyboxRootfs(rootfs);
  writeFileSync(join(rootfs, "marker"), "inside\n");
  const id = box.id();
  const bundle = box.bundle(["sleep", "600"], (config) => {
    config.root.path = rootfs;
    config.linux.namespaces = [{ type: "pid" }];
    delete config.hostname;
    config.mounts = [];
    config.linux.maskedPaths = [];
    config.linux.readonlyPaths = [];
  });
  const elsewhere = ["--mount", HAKO, "--root", box.root];
  const made = execute("unshare", [...elsewhere, "run", "--detach", "--bundle", bundle, id]);
  expect([made.status, made.stderr]).toEqual([0, ""]);
  expect(box.ok("exec", id, "cat", "/marker").stdout).toBe("inside\n");
  expect(execute("unshare", [...elsewhere, "exec", id, "cat", "/marker"]).stdout).toBe("inside\n");
  box.ok("kill", id, "KILL");
}, [needsHako, needsProgram("unshare")]);

e2e("a container with a user namespace of its own @v2", () => {
  using box = new Box();
  chmodSync(box.dir, 0o755);
  const map = [{ containerID: 0, hostID: 100000, size: 65536 }];
  const id = box.started(SLEEP, (config) => {
    config.linux.namespaces.push({ type: "user" });
    config.linux.uidMappings = map;
    config.linux.gidMappings = map;
  });
  const { pid } = box.state(id);
  const line = "id -u; cat /proc/self/uid_map; readlink /proc/self/ns/user";
  expect(box.ok("exec", id, "sh", "-c", line).stdout.replaceAll(/ +/g, " ")).toBe(
    `0\n 0 100000 65536\n${readlinkSync(`/proc/${pid}/ns/user`)}\n`,
  );
  expect(box.ok("exec", "-u", "5:6", id, "id", "-u").stdout).toBe("5\n");
  // the terminal is made from outside, and is the container's all the same
  for (const user of ["0", "5"]) {
    const own = box.ok("exec", "-t", "-u", user, id, "sh", "-c", "stat -c %u $(tty); echo x > /dev/stdout");
    expect(own.stdout).toBe(`${user}\nx\n`);
  }
});

e2e("namespaces of the host that a container shares are no obstacle", () => {
  using box = new Box();
  const id = box.started(SLEEP, (config) => {
    config.linux.namespaces = [{ type: "mount" }];
    delete config.hostname;
    config.mounts = config.mounts.filter(({ type }) => type === "proc" || type === "tmpfs");
  });
  expect(box.ok("exec", id, "readlink", "/proc/self/ns/pid").stdout.trim()).toBe(
    readlinkSync("/proc/self/ns/pid"),
  );
  box.ok("kill", id, "KILL");
});

e2e("a created container takes commands; a stopped or paused one does not @v2", async () => {
  using box = new Box();
  const id = box.id();
  box.ok("create", "--bundle", box.bundle(["sleep", "600"]), id);
  expect(box.ok("exec", id, "echo", "early").stdout).toBe("early\n");
  box.ok("start", id);
  box.ok("pause", id);
  const paused = box.hako("exec", id, "true");
  expect(paused.status).toBe(255);
  expect(paused.stderr).toContain("paused");
  const waiting = box.later(["exec", "--ignore-paused", id, "echo", "late"]);
  // one that waits can be ended, and one for what ends is told
  const ended = execute("timeout", [
    "0.5",
    HAKO,
    "--root",
    box.root,
    "exec",
    "--ignore-paused",
    id,
    "touch",
    "/tmp/no",
  ]);
  expect(ended.status).toBe(124);
  box.ok("resume", id);
  expect((await waiting).stdout).toBe("late\n");
  expect(box.ok("exec", id, "ls", "/tmp").stdout).toBe("");
  box.ok("pause", id);
  box.ok("kill", id, "KILL");
  await box.waitFor(id, "stopped");
  const stopped = box.hako("exec", id, "true");
  expect(stopped.status).toBe(255);
  expect(stopped.stderr).toContain("stopped");
});

e2e(
  "--timeout kills the command and what it started, --grace asks before; the container goes on",
  async () => {
    using box = new Box();
    const id = box.started();
    const exec = (flags: string[], ...command: string[]) => box.hako("exec", ...flags, id, ...command);
    const begun = performance.now();
    expect(exec(["--timeout", "300ms"], "sh", "-c", "sleep 600 & sleep 600")).toMatchObject({
      status: 124,
      stderr: "hako: time limit of 300ms reached\n",
    });
    expect(exec(["--timeout", "300ms", "--tty"], "sleep", "600").status).toBe(124);
    const trap = "trap 'echo cleaned up; exit 7' TERM; sleep 600";
    expect(exec(["--timeout", "1s", "--grace", "1m"], "sh", "-c", trap)).toMatchObject({
      status: 124,
      stdout: "cleaned up\n",
    });
    const deaf = "trap '' TERM; sleep 600; sleep 600";
    expect(exec(["--timeout", "300ms", "--grace", "300ms"], "sh", "-c", deaf).status).toBe(124);
    expect(performance.now() - begun).toBeLessThan(40_000);
    expect(exec(["--timeout", "1m"], "sh", "-c", "echo fine; exit 3")).toMatchObject({
      status: 3,
      stdout: "fine\n",
      stderr: "",
    });
    for (const flags of [
      ["--timeout", "1m", "--detach"],
      ["--timeout", "soon"],
      ["--timeout", ""],
      ["--grace", "1m"],
    ])
      expect([flags, exec(flags, "true").status]).toEqual([flags, 2]);
    await until("it is alone", () => JSON.parse(box.ok("ps", "--format", "json", id).stdout).length === 1);
  },
);

/** Starts what is in no process group of the command's: in a session of its own, whose parent has ended, and one that hears no TERM. */
const LEAVES = "(setsid sleep 8631 &); setsid sh -c \"trap '' TERM; sleep 8632; sleep 8633\" &";

const needsSetsid = needsProgram("setsid");

e2e("--timeout ends what has left the command's process group, too; at the command's own end that goes on", async () => {
  using box = new Box();
  const id = box.id();
  box.ok("run", "--detach", "--idle", "--rootfs", "/", "--name", id);
  const exec = (flags: string[], line: string) => box.hako("exec", ...flags, id, "sh", "-c", line);
  // without hako's own first process
  const left = () => Number(box.ok("exec", id, "sh", "-c", "set -- /proc/[0-9]*; echo $#").stdout);
  const none = left();
  // hako's first process reaps them
  const noneIsLeft = () => until("all that it has left has gone", () => left() === none);
  expect(exec(["--timeout", "500ms"], `${LEAVES} exec sleep 8634`).status).toBe(124);
  await noneIsLeft();
  // asked, it ends; what doesn't hear has as long as it takes itself
  expect(
    exec(["--timeout", "500ms", "--grace", "1m"], `${LEAVES} trap 'exit 3' TERM; sleep 8634 & wait`).status,
  ).toBe(124);
  await noneIsLeft();
  expect(
    exec(["--timeout", "500ms", "--grace", "300ms"], `${LEAVES} trap '' TERM; sleep 8634; sleep 8635`).status,
  ).toBe(124);
  await noneIsLeft();
  // each one forks and ends before it is seen
  const comet = 'f() { sh -c "$0" "$0" & }; f';
  expect(exec(["--timeout", "500ms"], `setsid sh -c '${comet}' '${comet}'; exec sleep 8634`).status).toBe(
    124,
  );
  await noneIsLeft();
  expect(exec(["--timeout", "1m"], `exec > /dev/null 2>&1; ${LEAVES} hostname`).status).toBe(0);
  expect(left()).toBeGreaterThan(none);
  // another command's end is not theirs
  expect(exec(["--timeout", "300ms"], "sleep 8634").status).toBe(124);
  expect(left()).toBeGreaterThan(none);
}, [needsHako, needsSetsid]);

e2e("--timeout ends what an ordinary user's command has left", async () => {
  using home = new Home();
  const id = home.hako("run", "--detach", "--idle", "--rootfs", "/").stdout.trim();
  const left = () => home.hako("exec", id, "sh", "-c", "set -- /proc/[0-9]*; echo $#").stdout;
  const none = left();
  expect(home.hako("exec", "--timeout", "500ms", id, "sh", "-c", `${LEAVES} exec sleep 8634`).status).toBe(
    124,
  );
  await until("all that it has left has gone", () => left() === none);
  home.hako("stop", id);
}, [...NEEDS, needsSetsid]);

e2e("--timeout ends nobody else where the command has gone to others' UTS namespace at once", async () => {
  using box = new Box();
  const id = box.id();
  const program = box.path("joins-uts");
  const source = join(import.meta.dir, "fixtures/joins-uts.c");
  expect(execute("gcc", ["-O1", "-static", "-o", program, source])).toMatchObject({ status: 0 });
  const rights = ["SYS_ADMIN", "SYS_PTRACE"];
  box.ok(
    "run",
    "--detach",
    "--idle",
    "--rootfs",
    "/",
    ...rights.flatMap((one) => ["--cap-add", one]),
    "--name",
    id,
  );
  box.ok("exec", "--detach", id, "sleep", "8636");
  const { pid } = box.state(id);
  const flags = ["--timeout", "100ms", ...rights.flatMap((one) => ["--cap", one])];
  for (let round = 0; round < 20; round++)
    expect(box.hako("exec", ...flags, id, program)).toMatchObject({
      status: 124,
      stderr: "hako: time limit of 100ms reached\n",
    });
  expect(box.state(id)).toMatchObject({ pid, status: "running" });
  await until("the others alone are left", () => JSON.parse(box.ok("ps", "--json", id).stdout).length === 2);
}, [needsHako, needsProgram("gcc")]);

e2e("--timeout says that it ends the process group alone where the caller may not look at the command", () => {
  using box = new Box();
  const id = box.id();
  box.ok("run", "--detach", "--no-init", "--rootfs", "/", "--name", id, "--", ...SLEEP);
  const exec = (...user: string[]) => {
    const words = [
      "--bounding-set",
      "-sys_ptrace",
      "--inh-caps",
      "-sys_ptrace",
      HAKO,
      "--root",
      box.root,
      "exec",
    ];
    return execute("setpriv", [...words, "--timeout", "200ms", ...user, id, "sleep", "600"]);
  };
  const over = "hako: time limit of 200ms reached\n";
  expect(exec()).toMatchObject({ status: 124, stderr: over });
  expect(exec("--user", "5")).toMatchObject({
    status: 124,
    stderr: `hako: warning: exec: of what the command starts only its process group can be ended: the rest can't be seen without CAP_SYS_PTRACE over it\n${over}`,
  });
}, [needsHako, needsProgram("setpriv")]);

e2e("--timeout says what has not ended within 5 s", async () => {
  using box = new Box();
  const id = box.started();
  const line = "setsid sleep 8637 & exec sleep 8638";
  const words = ["--root", box.root, "exec", "--timeout", "3s", id, "sh", "-c", line];
  const ending = spawn(HAKO, words, { stdio: ["ignore", "ignore", "pipe"] });
  const ended = once(ending, "close");
  let stderr = "";
  ending.stderr.on("data", (data: Buffer) => {
    stderr += data.toString();
  });
  await until("both run", () => {
    const { stdout } = box.ok("exec", id, "ps", "-o", "args");
    return [/^sleep 8637$/m, /^sleep 8638$/m].every((one) => one.test(stdout));
  });
  box.ok("pause", id);
  await until("it says so", () => stderr.includes("within 5 s"));
  box.ok("resume", id);
  const [status] = await ended;
  expect([status, stderr]).toEqual([
    124,
    expect.stringMatching(
      /^hako: warning: exec: not all that the command has started has ended within 5 s: process \d+, \d+\nhako: time limit of 3s reached\n$/,
    ),
  ]);
}, [needsHako, isV2 ? "what is frozen can be killed on cgroup v2" : undefined]);

e2e("one that comes while the container ends is told so @v2", async () => {
  using box = new Box();
  for (let round = 0; round < 6; round++) {
    const id = `${box.id()}-${round}`;
    box.ok("run", "--detach", "--bundle", box.bundle(["sleep", "600"]), id);
    box.ok("pause", id);
    // it starts in the moments in which the container has been thawed to die
    const waiting = [1, 2, 3].map(() => box.later(["exec", "--ignore-paused", id, "true"]));
    await Bun.sleep(200 + 10 * round);
    box.ok("kill", id, "KILL");
    for (const { status, stderr } of await Promise.all(waiting)) {
      // in its last moments the command may even come to its own end
      if (status !== 137 && status !== 0)
        expect([status, stderr]).toEqual([
          255,
          `hako: cannot exec in a stopped container "${id}": container not running\n`,
        ]);
    }
  }
});
