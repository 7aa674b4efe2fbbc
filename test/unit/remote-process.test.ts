// The program of a container's process that makes the system calls which it is told: executed here, without namespaces.
import { describe, expect, test } from "bun:test";
import { HakoError } from "../../src/errors";
import { executeStep, inheritSteps } from "../../src/linux/child-steps";
import { cloneCall, cloneChild, Reports, SIBLING } from "../../src/linux/clone";
import { Fd } from "../../src/linux/fd";
import { readText } from "../../src/linux/file";
import { stringVector } from "../../src/linux/memory";
import { openAt } from "../../src/linux/path";
import { isChild, processStatus, reapChild } from "../../src/linux/process";
import { failedStep, RemoteProcess, SharedRange } from "../../src/linux/remote-process";
import { recvFds, sendFds, socketPair } from "../../src/linux/socket";
import { perform, type Step, walkSteps } from "../../src/linux/steps";
import { syscall, trySyscall } from "../../src/linux/syscall";

const O_RDONLY = 0;
const SIGKILL = 9;

test("a range that can't be mapped is an error, where -1 is no address", () => {
  // a range is written to
  using readable = openAt(undefined, "/", O_RDONLY);
  expect(() => new SharedRange(readable)).toThrow(/^mmap \/: permission denied$/);
});

class Running implements Disposable {
  readonly range = SharedRange.make();
  readonly pid: number;
  readonly remote: RemoteProcess;

  constructor(keep: readonly Fd[] = []) {
    using program = this.range.program();
    const steps = [
      ...inheritSteps(0, [this.range.file, ...keep]),
      executeStep(program, stringVector(["calls"]), stringVector([])),
    ];
    using reports = new Reports(steps);
    this.pid = cloneChild({ flags: 0, cgroup: undefined, steps, waitsForNothing: true }, reports);
    expect(reports.last()).toBeUndefined();
    this.remote = new RemoteProcess(this.range, {
      ended: () => "ZX".includes(processStatus(this.pid)?.state ?? "X"),
      death: () => new HakoError({ code: "system", message: "it has died" }),
    });
  }

  [Symbol.dispose](): void {
    trySyscall("kill", this.pid, SIGKILL);
    reapChild(this.pid, true);
    this.range[Symbol.dispose]();
  }
}

describe("a remote process", () => {
  test("makes calls with numbers, text and memory; results and errors are as here", () => {
    using running = new Running();
    const { remote, pid } = running;
    remote.act(() => {
      expect(syscall("getpid")).toBe(pid);
      expect(trySyscall("openat", -100, "/no/such", 0, 0)).toBe(-2);
      expect(() => syscall("chdir", "/no/such")).toThrow("chdir: no such file or directory");
      syscall("chdir", "/usr");
      const buffer = new Uint8Array(64);
      expect(syscall("getcwd", buffer, 64)).toBe(5);
      expect(new TextDecoder().decode(buffer.subarray(0, 4))).toBe("/usr");
      expect(readText("/proc/self/stat").split(" ")[0]).toBe(String(pid));
    });
    expect(syscall("getpid")).toBe(process.pid);
  });

  test("large files come in parts; memory that does not fit is refused", () => {
    using running = new Running();
    const whole = readText("/proc/kallsyms").length;
    expect(running.remote.act(() => readText("/proc/kallsyms").length)).toBe(whole);
    expect(() => running.remote.act(() => syscall("ioctl", 0, 0, new Uint8Array(1 << 25)))).toThrow("memory");
  });

  test("descriptors are its own: neither is used in the other's place", () => {
    using running = new Running();
    const theirs = running.remote.act(() => new Fd(syscall("openat", -100, "/dev/null", 0o2000000, 0)));
    expect(() => theirs.number).toThrow("another process");
    const number = running.remote.act(() => theirs.number);
    expect(number).toBeLessThan(10);
    theirs.close();
    expect(running.remote.act(() => trySyscall("fcntl", number, 1, 0))).toBe(-9);
  });

  test("descriptors go over a socket", () => {
    const [ours, theirs] = socketPair("way");
    using mine = ours;
    using other = theirs;
    using running = new Running([other]);
    const { number } = other;
    const way = running.remote.act(() => new Fd(number));
    using file = new Fd(syscall("openat", -100, "/etc/hostname", 0o2000000, 0));
    sendFds(mine, [file]);
    running.remote.act(() => {
      const [received] = recvFds(way, 1);
      expect(trySyscall("fcntl", received?.number ?? -1, 1, 0)).toBe(1);
    });
  });

  test("steps in one go; the first that fails is told", () => {
    using running = new Running();
    const { remote } = running;
    const chdir = (to: string, more: Partial<Step> = {}): Step => ({
      what: `to ${to}`,
      call: "chdir",
      args: [to],
      ...more,
    });
    remote.act(() =>
      perform([chdir("/no", { optional: true }), chdir("/usr"), chdir("/no", { least: -2, most: -2n })]),
    );
    expect(() => remote.act(() => perform([chdir("/"), chdir("/no"), chdir("/usr")]))).toThrow(
      "to /no: no such file or directory",
    );
    const buffer = new Uint8Array(8);
    expect(remote.act(() => syscall("getcwd", buffer, 8))).toBe(2);
  });

  test("closes descriptors before what it is told next: a call, steps, a child", () => {
    using running = new Running();
    const { remote } = running;
    const opened = () => new Fd(syscall("openat", -100, "/dev/null", 0o2000000, 0));
    remote.act(() => {
      const first = opened();
      const { number } = first;
      first.close();
      const second = opened();
      expect(second.number).toBe(number);
      second.close();
      expect(trySyscall("fcntl", number, 1, 0)).toBe(-9);
      const third = opened();
      third.close();
      // the number is free: what is opened gets it
      perform([
        {
          what: "open",
          call: "openat",
          args: [-100, "/dev/null", 0, 0],
          least: number,
          most: BigInt(number),
        },
      ]);
      const buffer = new Uint8Array(4);
      const file = new Fd(syscall("openat", -100, "/dev/zero", 0o2000000, 0));
      file.close();
      const again = opened();
      expect(again.number).toBe(number + 1);
      expect(syscall("read", again.number, buffer, 4)).toBe(0);
    });
  });

  test("begins steps that nobody waits for; the failure of one is told later", () => {
    using running = new Running();
    const { remote } = running;
    const sleep: Step = {
      what: "wait",
      call: "ppoll",
      args: [0, 0, new BigInt64Array([0n, 150_000_000n]), 0, 8],
    };
    const chdir = (to: string): Step => ({ what: `to ${to}`, call: "chdir", args: [to] });
    const began = performance.now();
    remote.begin([sleep, chdir("/usr")]);
    expect(performance.now() - began).toBeLessThan(100);
    const buffer = new Uint8Array(64);
    expect(remote.act(() => syscall("getcwd", buffer, 64))).toBe(5);
    expect(performance.now() - began).toBeGreaterThan(140);
    remote.settle();
    remote.begin([chdir("/no"), chdir("/")]);
    expect(() => remote.settle()).toThrow("to /no: no such file or directory");
    remote.settle();
    expect(remote.act(() => syscall("getcwd", buffer, 64))).toBe(5);
    remote.begin([chdir("/no")]);
    expect(() => remote.act(() => syscall("getpid"))).toThrow("to /no");
    expect(remote.act(() => walkSteps([chdir("/"), chdir("/no"), chdir("/usr")]))).toEqual([1, -2]);
  });

  test("has children that execute a program", () => {
    using running = new Running();
    running.remote.act(() => {
      const execve: Step = {
        what: "execve",
        call: "execve",
        args: ["/bin/sh", stringVector(["sh", "-c", "exit $STATUS"]), stringVector(["STATUS=7"])],
      };
      using reports = new Reports([execve]);
      const plan = { flags: 0, cgroup: undefined, waitsForNothing: true };
      const pid = cloneChild({ ...plan, steps: [execve] }, reports);
      expect(reapChild(pid, true)).toEqual({ status: 7, signal: undefined });
      const bad: Step = { ...execve, args: ["/no/such", stringVector([]), stringVector([])] };
      const other = cloneChild({ ...plan, steps: [bad] }, reports);
      expect(reports.next()).toEqual([0, -2]);
      reapChild(other, true);
    });
  });

  test("a copy of it goes on in its place", () => {
    using running = new Running();
    const { remote } = running;
    const pid = remote.birth(cloneCall(SIBLING, 0));
    expect(isChild(pid)).toBe(true);
    expect(reapChild(running.pid, true)).toEqual({ status: 0, signal: undefined });
    expect(remote.act(() => syscall("getpid"))).toBe(pid);
    // it ends with us
    expect(remote.act(() => pdeathsig())).toBe(SIGKILL);
    trySyscall("kill", pid, SIGKILL);
    reapChild(pid, true);
  });

  test("becomes its last steps; a range tells how they ended", () => {
    using running = new Running();
    const { remote, range, pid } = running;
    const exit: Step = { what: "exit", call: "exit_group", args: [9] };
    remote.prepare([{ what: "write", call: "write", args: [99, "x", 1] }, exit]);
    // told before: it does not wait for an answer
    remote.later([{ what: "chdir", call: "chdir", args: ["/"] }]);
    remote.become();
    expect(reapChild(pid, true)).toEqual({ status: 1, signal: undefined });
    expect(failedStep(range)).toEqual({ step: { what: "write", call: "write" }, result: -9 });
    using other = new Running();
    other.remote.prepare([exit]);
    other.remote.become();
    expect(reapChild(other.pid, true)).toEqual({ status: 9, signal: undefined });
    expect(failedStep(other.range)).toBeUndefined();
  });

  test("whoever wrote into the range is not believed more than text", () => {
    using range = SharedRange.make();
    range.words[96 / 4] = 128;
    range.longWords[(128 + 16) / 8] = -2n;
    range.words[104 / 4] = 2048;
    range.words[108 / 4] = 1 << 30;
    expect(failedStep(range)).toEqual({ step: { what: "step 0", call: "prctl" }, result: -2 });
    const text = new TextEncoder().encode(JSON.stringify([{ what: 1, call: [] }]));
    range.bytes.set(text, 2048);
    range.words[108 / 4] = text.length;
    expect(failedStep(range)?.step.what).toBe("step 0");
    // nor a range that could become shorter
    using file = new Fd(syscall("memfd_create", "other", 3));
    expect(() => SharedRange.of(file)).toThrow("something else");
  });

  test("its end is noticed", () => {
    using running = new Running();
    trySyscall("kill", running.pid, SIGKILL);
    expect(() => running.remote.act(() => syscall("getpid"))).toThrow("it has died");
    // what is closed on the way out is no error
    expect(running.remote.act(() => trySyscall("close", 5))).toBe(0);
    expect(running.remote.act(() => trySyscall("getpid"))).toBe(-3);
  });
});

function pdeathsig(): number {
  const word = new Int32Array(1);
  syscall("prctl", 2, word, 0, 0, 0);
  return word[0] ?? 0;
}
