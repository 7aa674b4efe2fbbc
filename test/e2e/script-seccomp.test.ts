// What `hako run --rootfs` lets a program call of the kernel: its default profile, others, none.
import { describe, expect } from "bun:test";
import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { SCRIPT_CAPABILITIES } from "../../src/container/script/script-capabilities";
import { ARCHITECTURES, NATIVE } from "../../src/oci/seccomp-words";
import { compile } from "../../src/seccomp/compile";
import { defaultProfile } from "../../src/seccomp/default-profile";
import { SYSCALLS } from "../../src/seccomp/syscalls";
import { needsCompiler } from "./faults";
import { Box, e2e, needsHako, needsProgram } from "./support";

const EPERM = "-1";
const ENOSYS = "-38";
const x86 = process.arch === "x64" ? undefined : "no x86 machine";

/** Compiles fixtures/calls.c; makes calls in a container, and returns what each said. */
class Caller implements Disposable {
  readonly box = new Box();
  readonly #program = this.box.path("calls");

  constructor() {
    const source = join(import.meta.dir, "fixtures/calls.c");
    const done = spawnSync("cc", ["-O1", "-static", "-o", this.#program, source], { encoding: "utf8" });
    if (done.status !== 0) throw new Error(`cc: ${done.stderr}`);
  }

  /** "WAY NAME [ARGUMENT...]", as calls.c has it, with names for numbers. */
  said(calls: readonly string[], ...flags: string[]): string[] {
    const numbered = calls.map((call) => {
      const [way = "n", name = "", ...rest] = call.split(" ");
      const architecture = way === "i" ? "SCMP_ARCH_X86" : way === "x" ? "SCMP_ARCH_X32" : NATIVE;
      const number = SYSCALLS[name]?.[ARCHITECTURES[architecture]?.column ?? 0] ?? Number(name);
      return [way, number, ...rest].join(" ");
    });
    const words = ["run", "--rootfs", "/", "--network", "none", ...flags, "--", this.#program, ...numbered];
    const result = this.box.hako(...words);
    expect([result.status, result.stderr]).toEqual([0, ""]);
    return result.stdout.trim().split("\n");
  }

  /** What each call said, by the call. */
  each(calls: readonly string[], ...flags: string[]): Record<string, string> {
    const said = this.said(calls, ...flags);
    return Object.fromEntries(calls.map((call, index) => [call, said[index] ?? ""]));
  }

  [Symbol.dispose](): void {
    this.box[Symbol.dispose]();
  }
}

function all(calls: readonly string[], answer: string): Record<string, string> {
  return Object.fromEntries(calls.map((call) => [call, answer]));
}

describe("the default profile of run --rootfs", () => {
  e2e("refuses what reaches past namespaces and capabilities, whoever asks", () => {
    using caller = new Caller();
    const refused = [
      "n socket 40 1 0",
      "n socket 38 5 0",
      "n socket 0x100000028 1 0",
      "n socket 0x100000026 5 0",
      "n socket 31 3 1",
      "n socketpair 40 1 0 0",
      "n unshare 0x10000000",
      "n unshare 0x10020000",
      "n unshare 0x20000",
      "n clone 0x10000011 0 0 0 0",
      "n clone 0x30000011 0 0 0 0",
      "n clone 0xffffffff10000011 0 0 0 0",
      "n setns 0 0x10000000",
      "n setns 0 0",
      "n bpf 0 0 0",
      "n add_key 0 0 0 0 0",
      "n keyctl 0 -3 0 0 0",
      "n request_key 0 0 0 0",
      "n perf_event_open 0 0 0 0 0",
      "n userfaultfd 0",
      "n mount 0 0 0 0 0",
      "n umount2 0 0",
      "n pivot_root 0 0",
      "n move_mount 0 0 0 0 0",
      "n open_tree -100 0 0x1000",
      "n fsopen 0 0",
      "n init_module 0 0 0",
      "n finit_module 0 0 0",
      "n kexec_load 0 0 0 0",
      "n reboot 0 0 0",
      "n swapon 0 0",
      "n settimeofday 0 0",
      "n open_by_handle_at 0 0 0",
      "n syslog 3 0 0",
      "n quotactl 0 0 0 0",
      "n acct 0",
      "n personality 0x40000",
      "n kcmp 1 1 0 0 0",
      "n pidfd_getfd 0 0 0",
      "n lookup_dcookie 0 0 0",
      "n fanotify_init 0 0",
      "n vhangup",
      "n sethostname 0 0",
    ];
    const missing = [
      "n clone3 0 0",
      "n io_uring_setup 1 0",
      "n io_uring_enter 0 0 0 0 0",
      "n io_uring_register 0 0 0 0",
      "n 471",
      "n 600",
    ];
    for (const flags of [[], ["--user", "nobody"], ["--seccomp", "default"]]) {
      expect(caller.each(refused, ...flags)).toEqual(all(refused, EPERM));
      expect(caller.each(missing, ...flags)).toEqual(all(missing, ENOSYS));
    }
    // it is the profile that refuses them
    const open = ["n unshare 0x10000000", "n add_key 0 0 0 0 0", "n clone3 0 0", "n socket 16 3 0"];
    expect(caller.said(open, "--seccomp", "off")).toEqual(["0", "-14", "-22", "3"]);
  }, [needsHako, needsCompiler]);

  e2e("32-bit and x32 calls are no way around it", () => {
    using caller = new Caller();
    const refused = [
      "i socket 40 1 0",
      "i socket 38 5 0",
      "i socketcall 1 *40",
      "i socketcall 1 *38",
      "i socketcall 1 *1",
      "i unshare 0x10000000",
      "i clone 0x10000011 0 0 0 0",
      "i bpf 0 0 0",
      "i add_key 0 0 0 0 0",
      "i keyctl 0 0 0 0 0",
      "i perf_event_open 0 0 0 0 0",
      "i userfaultfd 0",
      "i mount 0 0 0 0 0",
      "i setns 0 0",
    ];
    const open = caller.each(["i getpid", "i socketcall 1 *1"], "--seccomp", "off");
    if (open["i getpid"]?.startsWith("-") !== false || open["i getpid"].startsWith("signal")) {
      console.log("skipped: 32-bit calls: this kernel has none");
      return;
    }
    expect(Number(open["i socketcall 1 *1"])).toBeGreaterThan(2);
    expect(caller.each(refused)).toEqual(all(refused, EPERM));
    expect(Number(caller.said(["i getpid"])[0])).toBeGreaterThan(1);
    expect(caller.said(["i clone3 0 0", "i io_uring_setup 1 0"])).toEqual([ENOSYS, ENOSYS]);
    const x32 = ["x getpid", "x socket 40 1 0", "x unshare 0x10000000", "x clone 0x10000011 0 0 0 0"];
    expect(caller.each(x32)).toEqual(all(x32, "signal 31"));
  }, [needsHako, needsCompiler, x86]);

  e2e("is what the compiler makes of it, in the executable and for exec", () => {
    using box = new Box();
    const id = box.id();
    box.ok("run", "-d", "--rootfs", "/", id, "--", "sleep", "600");
    const stored = readFileSync(join(box.root, id, "seccomp.bpf")).subarray(8);
    expect(Buffer.compare(stored, Buffer.from(compile(defaultProfile(SCRIPT_CAPABILITIES)).program))).toBe(0);
    const line = ["grep", "-w", "Seccomp:", "/proc/self/status"];
    expect(box.ok("exec", id, ...line).stdout).toBe("Seccomp:\t2\n");
    expect(
      JSON.parse(readFileSync(join(box.root, id, "config.json"), "utf8")).linux.seccomp.defaultAction,
    ).toBe("SCMP_ACT_ERRNO");
    box.ok("delete", "--force", id);
  }, [needsHako]);

  e2e("lets ordinary programs work", () => {
    using box = new Box();
    const run = (...words: string[]) =>
      box.hako("run", "--rootfs", "/", "-w", "/tmp", "-e", "HOME=/tmp", ...words);
    const sh = (line: string, ...flags: string[]) => run(...flags, "--", "sh", "-c", line);
    expect(
      sh(
        "mkdir t && touch t/f && chmod 600 t/f && chown 1:1 t/f && tar cf t.tar t && tar tf t.tar && sleep 0.01",
      ),
    ).toMatchObject({ status: 0, stdout: "t/\nt/f\n", stderr: "" });
    expect(sh("sh -c 'sleep 5 & kill $!; wait $!; echo $?'").stdout).toBe("143\n");
    expect(sh("id -u; cat /proc/self/status >/dev/null", "--user", "nobody").stdout).toBe("65534\n");
    expect(run("-t", "--", "sh", "-c", "stty size >/dev/null && echo terminal").stdout).toContain("terminal");
  }, [needsHako]);

  e2e("python: threads, processes, sockets", () => {
    using box = new Box();
    const script = `
import os, socket, subprocess, threading, multiprocessing, tempfile, select, signal, time, mmap, fcntl
found = []
threads = [threading.Thread(target=lambda: found.append(1)) for _ in range(8)]
[t.start() for t in threads]; [t.join() for t in threads]
assert len(found) == 8
assert subprocess.run(["true"]).returncode == 0
with multiprocessing.Pool(2) as pool: assert pool.map(abs, [-1, -2]) == [1, 2]
a, b = socket.socketpair(); a.send(b"x"); assert b.recv(1) == b"x"
server = socket.create_server(("127.0.0.1", 0)); client = socket.create_connection(server.getsockname()); server.accept()
udp = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM); udp.bind(("::1", 0))
socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0).close()
ping = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
with tempfile.NamedTemporaryFile() as f: fcntl.flock(f, fcntl.LOCK_EX); f.write(b"x" * 4096); f.flush(); mmap.mmap(f.fileno(), 4096)
e = select.epoll(); e.register(server.fileno())
signal.setitimer(signal.ITIMER_REAL, 0.01); signal.signal(signal.SIGALRM, lambda *_: None); time.sleep(0.02)
os.sched_getaffinity(0); os.getrandom(4); os.memfd_create("x"); os.setpriority(os.PRIO_PROCESS, 0, 5)
print("fine")
`;
    writeFileSync(box.path("try.py"), script);
    const python =
      ["/usr/bin/python3", "/usr/local/bin/python3"].find((path) => Bun.file(path).size > 0) ?? "python3";
    expect(box.hako("run", "--rootfs", "/", "--", python, box.path("try.py"))).toMatchObject({
      status: 0,
      stdout: "fine\n",
    });
  }, [needsHako, needsProgram("python3")]);

  e2e("git and node", () => {
    using box = new Box();
    mkdirSync(box.path("repository"));
    const git =
      "git init -q . && git config user.email a@b && git config user.name a && echo x > f && git add f && git commit -qm one && git log --format=%s";
    expect(
      box.hako(
        "run",
        "--rootfs",
        "/",
        "-w",
        box.path("repository"),
        "-e",
        "HOME=/tmp",
        "--",
        "sh",
        "-c",
        git,
      ),
    ).toMatchObject({ status: 0, stdout: "one\n" });
    const node = Bun.which("node") ?? "node";
    const line =
      "const { Worker } = require('worker_threads'); const fs = require('fs'); fs.readFile('/etc/passwd', () => { new Worker('1', { eval: true }).on('exit', () => require('child_process').exec('true', (e) => console.log(e ? 'failed' : 'fine'))) })";
    expect(box.hako("run", "--rootfs", "/", "--", node, "-e", line)).toMatchObject({
      status: 0,
      stdout: "fine\n",
    });
  }, [needsHako, needsProgram("git"), needsProgram("node")]);
});

describe("--seccomp", () => {
  const run = (box: Box, ...words: string[]) => box.hako("run", "--rootfs", "/", ...words);
  const state = ["--", "sh", "-c", "grep -w Seccomp: /proc/self/status; mkdir /tmp/x 2>&1"];

  e2e("off is no filter", () => {
    using box = new Box();
    expect(run(box, "--seccomp", "off", ...state).stdout).toBe("Seccomp:\t0\n");
  }, [needsHako]);

  e2e("a file, as config.json has it or as docker has it", () => {
    using box = new Box();
    const file = box.path("profile.json");
    const rule = { names: ["mkdir", "mkdirat"], action: "SCMP_ACT_ERRNO", errnoRet: 28 };
    for (const more of [{}, { includes: { caps: ["CAP_CHOWN"] }, comment: "" }]) {
      writeFileSync(
        file,
        JSON.stringify({ defaultAction: "SCMP_ACT_ALLOW", syscalls: [{ ...rule, ...more }] }),
      );
      expect(run(box, "--seccomp", file, ...state).stdout).toMatch(/^Seccomp:\t2\n.*No space left/);
    }
  }, [needsHako]);

  e2e("what is wrong with it is refused, and nothing is left", () => {
    using box = new Box();
    const file = box.path("profile.json");
    for (const [text, why] of [
      ["{", "not JSON"],
      ['{"defaultAction":"SCMP_ACT_ALLOW","syscals":[]}', "/syscals: unknown"],
      ['{"defaultAction":"SCMP_ACT_ERRNO"}', "no program could be started"],
    ] as const) {
      writeFileSync(file, text);
      const result = run(box, "--seccomp", file, "--", "true");
      expect([text, result.status]).toEqual([text, 125]);
      expect(result.stderr).toContain(why);
    }
    expect(run(box, "--seccomp", "of", "--", "true").stderr).toContain("default, off, or a file");
    expect(run(box, "--seccomp", "", "--", "true").status).toBe(2);
    expect(run(box, "--security-opt", "seccomp=unconfined", "--", "true").stderr).toContain("--seccomp");
    expect(box.hako("run", "--seccomp", "off", "--bundle", "/", "x").stderr).toContain(
      "--seccomp needs --rootfs",
    );
    expect(box.ok("list", "-q").stdout).toBe("");
  }, [needsHako]);
});
