import { textOf } from "../../src/linux/call/bytes";
// @cgroup-v2
// The kernel does what a seccomp profile says, at run and at exec.

import { dlopen, FFIType as T } from "bun:ffi";
import { expect } from "bun:test";
import type { Fd } from "../../src/linux/call/fd";
import { recvFd } from "../../src/linux/file/descriptor-passing";
import { readAllWaiting } from "../../src/linux/file/stream";
import { accept, unixListen } from "../../src/linux/file/unix-socket";
import { Box, type BundleConfig, e2e, needsHako } from "./support";

function withProfile(seccomp: object, more: (config: BundleConfig) => void = () => {}) {
  return (config: BundleConfig) => {
    Object.assign(config.linux, { seccomp });
    more(config);
  };
}

const denyMkdir = {
  defaultAction: "SCMP_ACT_ALLOW",
  syscalls: [{ names: ["mkdir", "mkdirat"], action: "SCMP_ACT_ERRNO", errnoRet: 28 }],
};

for (const noNewPrivileges of [true, false]) {
  const how = noNewPrivileges ? "with" : "without";
  e2e(`a profile is in force ${how} no_new_privs, and for exec too`, () => {
    using box = new Box();
    const profile = withProfile(denyMkdir, (config) => {
      config.process.noNewPrivileges = noNewPrivileges;
    });
    const line = "grep -E 'Seccomp:|NoNewPrivs|CapEff|CapPrm' /proc/self/status; mkdir /tmp/x";
    const result = box.run(["sh", "-c", line], profile);
    expect(result.stdout).toBe(
      `CapPrm:\t0000000020000420\nCapEff:\t0000000020000420\nNoNewPrivs:\t${noNewPrivileges ? 1 : 0}\nSeccomp:\t2\n`,
    );
    expect(result.stderr).toContain("No space left on device");
    const id = box.id();
    box.ok("create", "--bundle", box.bundle(["sleep", "600"], profile), id);
    box.ok("start", id);
    const exec = box.hako("exec", id, "sh", "-c", line);
    expect(exec.stdout).toBe(result.stdout);
    expect(exec.stderr).toContain("No space left on device");
  });
}

e2e("a profile is in force for startContainer hooks", () => {
  using box = new Box();
  const line = "read -r state; grep Seccomp: /proc/self/status >&2; mkdir /tmp/x";
  const run = (action: string, hook: object, noNewPrivileges = true) => {
    const profile = { defaultAction: "SCMP_ACT_ALLOW", syscalls: [{ names: ["mkdir"], action }] };
    const mutate = withProfile(profile, (config) => {
      config.process.noNewPrivileges = noNewPrivileges;
      config.hooks = { startContainer: [hook as { path: string }] };
    });
    return box.run(["echo", "ran"], mutate);
  };
  const sh = { path: "/bin/sh", args: ["sh", "-c", line] };
  for (const noNewPrivileges of [true, false]) {
    const refused = run("SCMP_ACT_ERRNO", sh, noNewPrivileges);
    expect(refused).toMatchObject({ status: 1, stdout: "" });
    expect(refused.stderr).toMatch(/exited with status 1: Seccomp:\s*2; mkdir: .*Operation not permitted/);
  }
  expect(run("SCMP_ACT_KILL_PROCESS", { path: "/bin/mkdir", args: ["mkdir", "/tmp/x"] }).stderr).toContain(
    "was killed by SIGSYS",
  );
  expect(run("SCMP_ACT_ERRNO", { path: "/nosuch" }).stderr).toContain("no such file or directory");
  expect(run("SCMP_ACT_ERRNO", { ...sh, args: ["sh", "-c", "sleep 100"], timeout: 1 }).stderr).toContain(
    "ended after its timeout",
  );
  const allowed = {
    ...sh,
    args: ["sh", "-c", 'read -r state; test -n "$state" && ! mkdir /tmp/x && test ! -e /proc/self/fd/9'],
  };
  expect(run("SCMP_ACT_ERRNO", allowed)).toMatchObject({ status: 0, stdout: "ran\n" });
}, [needsHako]);

e2e("a profile with a listener is in force for startContainer hooks: what it notifies is not there", () => {
  using box = new Box();
  const profile = {
    defaultAction: "SCMP_ACT_ALLOW",
    flags: ["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"],
    listenerPath: box.path("agent.sock"),
    syscalls: [
      { names: ["mkdir", "mkdirat"], action: "SCMP_ACT_NOTIFY" },
      { names: ["rmdir", "unlinkat"], action: "SCMP_ACT_ERRNO" },
    ],
  };
  const line = "read -r state; mkdir /tmp/x; rmdir /tmp; exit 3";
  for (const noNewPrivileges of [true, false]) {
    const mutate = withProfile(profile, (config) => {
      config.process.noNewPrivileges = noNewPrivileges;
      config.hooks = { startContainer: [{ path: "/bin/sh", args: ["sh", "-c", line] }] };
    });
    const { status, stderr } = box.run(["true"], mutate);
    expect(status).toBe(1);
    expect(stderr).toMatch(/status 3: mkdir: .*not implemented.*; rmdir: .*not permitted/);
  }
}, [needsHako]);

e2e("kill, trap and log do what they are named for", () => {
  using box = new Box();
  const rows: [string, number][] = [
    ["SCMP_ACT_KILL", 128 + 31],
    ["SCMP_ACT_KILL_PROCESS", 128 + 31],
    ["SCMP_ACT_TRAP", 128 + 31],
    ["SCMP_ACT_LOG", 0],
    ["SCMP_ACT_TRACE", 1],
  ];
  for (const [action, status] of rows) {
    const profile = withProfile({
      defaultAction: "SCMP_ACT_ALLOW",
      syscalls: [{ names: ["mkdir"], action }],
    });
    expect([action, box.run(["mkdir", "/tmp/x"], profile).status]).toEqual([action, status]);
  }
});

e2e("a strict profile need not allow what hako itself does", () => {
  using box = new Box();
  // what busybox's true needs, and nothing of Bun's
  const names =
    "execve exit_group brk arch_prctl set_tid_address set_robust_list rseq prlimit64 readlink getrandom mprotect getuid prctl".split(
      " ",
    );
  const profile = { defaultAction: "SCMP_ACT_KILL_PROCESS", syscalls: [{ names, action: "SCMP_ACT_ALLOW" }] };
  const result = box.run(
    ["true"],
    withProfile(profile, (config) => {
      config.process.noNewPrivileges = true;
    }),
  );
  expect([result.status, result.stderr]).toEqual([0, ""]);
  const without = { ...profile, syscalls: [{ names: [...names, "capset"], action: "SCMP_ACT_ALLOW" }] };
  expect(box.run(["true"], withProfile(without)).status).toBe(0);
}, [needsHako]);

e2e("a profile that forbids execve is a failure of start that says so", () => {
  using box = new Box();
  const profile = {
    defaultAction: "SCMP_ACT_ALLOW",
    syscalls: [{ names: ["execve"], action: "SCMP_ACT_ERRNO" }],
  };
  const result = box.run(["true"], withProfile(profile));
  expect(result.status).toBe(1);
  expect(result.stderr).toContain("operation not permitted");
}, [needsHako]);

e2e("wrong profiles are named by field, and leave nothing", () => {
  using box = new Box();
  const rows: [object, string][] = [
    [{ defaultAction: "SCMP_ACT_MAYBE" }, "/linux/seccomp/defaultAction: expected an action"],
    [{}, "/linux/seccomp/defaultAction: missing"],
    [
      { defaultAction: "SCMP_ACT_ALLOW", defaultErrnoRet: 1 },
      "/linux/seccomp/defaultErrnoRet: SCMP_ACT_ALLOW takes no number",
    ],
    [
      { defaultAction: "SCMP_ACT_ALLOW", architectures: ["x86"] },
      "/linux/seccomp/architectures/0: expected an architecture",
    ],
    [{ defaultAction: "SCMP_ACT_ALLOW", flags: ["FAST"] }, "/linux/seccomp/flags/0: expected a flag"],
    [
      { defaultAction: "SCMP_ACT_ALLOW", syscalls: [{ names: [], action: "SCMP_ACT_LOG" }] },
      "/linux/seccomp/syscalls/0/names: expected at least one name",
    ],
    [
      {
        defaultAction: "SCMP_ACT_ALLOW",
        syscalls: [{ names: ["read"], action: "SCMP_ACT_ERRNO", errnoRet: 5000 }],
      },
      "/linux/seccomp/syscalls/0/errnoRet: expected a number from 0 to 4095",
    ],
    [
      {
        defaultAction: "SCMP_ACT_ALLOW",
        syscalls: [
          { names: ["read"], action: "SCMP_ACT_LOG", args: [{ index: 6, value: 0, op: "SCMP_CMP_EQ" }] },
        ],
      },
      "/linux/seccomp/syscalls/0/args/0/index",
    ],
    [
      {
        defaultAction: "SCMP_ACT_ALLOW",
        syscalls: [{ names: ["read"], action: "SCMP_ACT_LOG", args: [{ index: 0, value: 0, op: "==" }] }],
      },
      "/linux/seccomp/syscalls/0/args/0/op: expected an operator",
    ],
    [
      { defaultAction: "SCMP_ACT_NOTIFY" },
      "/linux/seccomp/defaultAction: SCMP_ACT_NOTIFY can't be the default",
    ],
    [
      { defaultAction: "SCMP_ACT_ALLOW", syscalls: [{ names: ["read"], action: "SCMP_ACT_NOTIFY" }] },
      "SCMP_ACT_NOTIFY needs listenerPath",
    ],
    [
      { defaultAction: "SCMP_ACT_ALLOW", listenerMetadata: "x" },
      "/linux/seccomp/listenerMetadata: needs listenerPath",
    ],
  ];
  for (const [seccomp, expected] of rows) {
    const id = box.id();
    const result = box.hako("create", "--bundle", box.bundle(["true"], withProfile(seccomp)), id);
    expect(result.status).toBe(1);
    expect(result.stderr).toContain(expected);
    expect(box.hako("state", id).status).toBe(1);
  }
}, [needsHako]);

/** An agent: takes one listener, answers one notification with an error number, and tells what it was told. */
function agentFor(path: string): { listen: Fd; serve: (errno: number) => Record<string, unknown> } {
  const listen = unixListen(path);
  const serve = (errno: number) => {
    using connection = accept(listen);
    const { fd, name } = recvFd(connection);
    using listener = fd;
    const document = JSON.parse(name + textOf(readAllWaiting(connection))) as Record<string, unknown>;
    const libc = dlopen("libc.so.6", { ioctl: { args: [T.i32, T.u64, T.ptr], returns: T.i32 } }).symbols;
    const request = new Uint8Array(80);
    // SECCOMP_IOCTL_NOTIF_RECV, SECCOMP_IOCTL_NOTIF_SEND
    if (libc.ioctl(listener.number, 0xc0502100n, request) !== 0) throw new Error("no notification");
    const response = new Uint8Array(24);
    response.set(request.subarray(0, 8));
    new DataView(response.buffer).setInt32(16, -errno, true);
    if (libc.ioctl(listener.number, 0xc0182101n, response) !== 0) throw new Error("no answer");
    return document;
  };
  return { listen, serve };
}

/** An agent, and the profile that lets it be told of some calls. */
function notifying(box: Box, names: string[], more: object = {}) {
  const listenerPath = box.path("agent");
  const syscalls = [{ names, action: "SCMP_ACT_NOTIFY" }];
  const profile = withProfile({ defaultAction: "SCMP_ACT_ALLOW", listenerPath, syscalls, ...more });
  return { agent: agentFor(listenerPath), profile };
}

e2e("an agent gets the listener with the container's state, for run and for exec", async () => {
  using box = new Box();
  const { agent, profile } = notifying(box, ["mkdir"], { listenerMetadata: "for the agent" });
  using _listen = agent.listen;
  const id = box.id();
  box.ok("create", "--bundle", box.bundle(["sh", "-c", "mkdir /tmp/x; sleep 600"], profile), id);
  const started = box.later(["start", id]);
  const document = agent.serve(5);
  expect((await started).status).toBe(0);
  const { pid } = box.state(id);
  expect(document).toMatchObject({ fds: ["seccompFd"], pid, metadata: "for the agent", state: { id, pid } });
  const exec = box.later(["exec", id, "mkdir", "/tmp/y"]);
  expect(agent.serve(30)).toMatchObject({ state: { id, status: "running" } });
  const result = await exec;
  expect(result.status).toBe(1);
  expect(result.stderr).toContain("Read-only file system");
}, [needsHako]);

e2e("an agent is told of sendmsg too", async () => {
  using box = new Box();
  const { agent, profile } = notifying(box, ["sendmsg"]);
  using _listen = agent.listen;
  const args = ["sh", "-c", "ip link add type dummy; sleep 600"];
  const id = box.id();
  // netlink is spoken with sendmsg
  box.ok("create", "--bundle", box.bundle(args, profile), id);
  const started = box.later(["start", id]);
  expect(agent.serve(5)).toMatchObject({ state: { id } });
  expect((await started).status).toBe(0);
  const exec = box.later(["exec", id, "ip", "link", "add", "type", "dummy"]);
  expect(agent.serve(30)).toMatchObject({ state: { id, status: "running" } });
  expect((await exec).stderr).toContain("Read-only file system");
}, [needsHako]);

e2e("flags that are about a listener do nothing without one", () => {
  using box = new Box();
  const flags = ["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"];
  const result = box.run(["mkdir", "/tmp/x"], withProfile({ ...denyMkdir, flags }));
  expect(result.stderr).toContain("No space left on device");
});

e2e("without a rule that notifies nobody is told at listenerPath, and nobody need be there", () => {
  using box = new Box();
  const syscalls = [{ names: ["mkdir", "mkdirat"], action: "SCMP_ACT_ERRNO" }];
  const listener = { listenerPath: box.path("nobody"), listenerMetadata: "unused" };
  const id = box.started(
    ["sleep", "600"],
    withProfile({ defaultAction: "SCMP_ACT_ALLOW", syscalls, ...listener }),
  );
  expect(box.ok("exec", id, "grep", "Seccomp:", "/proc/self/status").stdout).toBe("Seccomp:\t2\n");
  expect(box.hako("exec", id, "mkdir", "/tmp/x").status).toBe(1);
});

e2e("without an agent the container does not start", () => {
  using box = new Box();
  const profile = withProfile({
    defaultAction: "SCMP_ACT_ALLOW",
    listenerPath: box.path("nobody"),
    syscalls: [{ names: ["mkdir"], action: "SCMP_ACT_NOTIFY" }],
  });
  const result = box.run(["true"], profile);
  expect(result.status).toBe(1);
  expect(result.stderr).toContain("/linux/seccomp/listenerPath");
}, [needsHako]);

e2e("a call that is forbidden by a name that nobody knows is told, and not where it is allowed", () => {
  using box = new Box();
  const run = (defaultAction: string, action: string) =>
    box.run(["true"], withProfile({ defaultAction, syscalls: [{ names: ["mkdri"], action }] }));
  const forbidden = run("SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO");
  expect(forbidden.status).toBe(0);
  expect(forbidden.stderr).toContain('config /linux/seccomp/syscalls/0/names/0: unknown system call "mkdri"');
  expect(forbidden.stderr).toContain("did you mean mkdir?");
  expect(run("SCMP_ACT_LOG", "SCMP_ACT_ALLOW")).toMatchObject({ status: 0, stderr: "" });
}, [needsHako]);
