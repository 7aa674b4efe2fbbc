// The program of a container's process that makes the system calls which it is told: executed here, without namespaces.
import { describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { HakoError } from "../../src/base/errors";
import { stringVector } from "../../src/linux/call/argument-memory";
import { Fd } from "../../src/linux/call/fd";
import type { Step } from "../../src/linux/call/step";
import { syscall, trySyscall } from "../../src/linux/call/syscall";
import { perform, walkSteps } from "../../src/linux/call/walk";
import { recvFds, sendFds } from "../../src/linux/file/descriptor-passing";
import { linkText, listNames, readText } from "../../src/linux/file/file";
import { openAt } from "../../src/linux/file/path";
import { Pipe } from "../../src/linux/file/pipe";
import { writeAllWaiting } from "../../src/linux/file/stream";
import { socketPair } from "../../src/linux/file/unix-socket";
import { isChild, isHalted, processStatus, reapChild } from "../../src/linux/process/process";
import { failedStep } from "../../src/linux/remote/failed-step";
import { RemoteProcess } from "../../src/linux/remote/remote-process";
import { SharedRange } from "../../src/linux/remote/shared-range";
import { executeStep, inheritSteps } from "../../src/linux/steps/child-steps";
import { cloneCall, cloneChild, Reports, SIBLING } from "../../src/linux/steps/clone-child";

/** A file of so many bytes, no eight of which are the eight before. */
class Large implements Disposable {
  readonly #directory = mkdtempSync(join(tmpdir(), "hako-unit-"));
  readonly path = join(this.#directory, "large");
  readonly text: string;

  constructor(bytes: number) {
    this.text = Array.from({ length: Math.ceil(bytes / 8) }, (_, index) => `${index} `.padStart(8, "."))
      .join("")
      .slice(0, bytes);
    writeFileSync(this.path, this.text);
  }

  [Symbol.dispose](): void {
    rmSync(this.#directory, { recursive: true });
  }
}

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
      halted: () => isHalted(this.pid),
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
    using large = new Large(5_000_001);
    expect(running.remote.act(() => readText(large.path))).toBe(large.text);
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
      perform([
        chdir("/no", { success: "anything" }),
        chdir("/usr"),
        chdir("/no", { success: { only: "ENOENT" } }),
      ]),
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
          success: { exactly: number },
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
    using go = new Pipe("go");
    using running = new Running([go.read]);
    const { remote } = running;
    const wait: Step = { what: "wait", call: "read", args: [go.read.number, new Uint8Array(8), 8] };
    const chdir = (to: string): Step => ({ what: `to ${to}`, call: "chdir", args: [to] });
    remote.begin([wait, chdir("/usr")]);
    writeAllWaiting(go.write, "x");
    const buffer = new Uint8Array(64);
    expect(remote.act(() => syscall("getcwd", buffer, 64))).toBe(5);
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
    // nor what is no memory
    using directory = new Fd(syscall("openat", -100, "/", 0o2000000, 0));
    expect(() => SharedRange.of(directory)).toThrow("something else");
    // nor an error that no kernel has
    range.longWords[(128 + 16) / 8] = -(2n ** 63n);
    expect(() => failedStep(range)).toThrow("answers what no kernel does");
    // nor a text without an end
    range.longWords[(128 + 16) / 8] = -2n;
    const long = new TextEncoder().encode(JSON.stringify([{ what: "x".repeat(5000), call: "read" }]));
    range.bytes.set(long, 2048);
    range.words[108 / 4] = long.length;
    expect(failedStep(range)?.step.what).toBe("step 0");
  });

  describe("whoever can get at it may answer in its place:", () => {
    /** The range of a process that answers the next call so, whatever that is, and after that nothing. */
    class Forging implements Disposable {
      readonly range = SharedRange.make();
      readonly remote = new RemoteProcess(
        this.range,
        {
          ended: () => false,
          halted: () => this.halted,
          death: () => new HakoError({ code: "system", message: "it has died" }),
        },
        100,
      );
      halted = false;

      answer(result: number, stepResult = 0n): void {
        const { words, longWords } = this.range;
        words[4 / 4] = (words[0] ?? 0) + 1;
        words[72 / 4] = result;
        longWords[80 / 8] = stepResult;
      }

      [Symbol.dispose](): void {
        this.range[Symbol.dispose]();
      }
    }

    test("what it answers right before its end, while somebody looks whether it has ended, counts", () => {
      using range = SharedRange.make();
      const ended = () => {
        // a 32-bit word each: what was asked last, what was answered last, and the result (RANGE)
        range.words[72 / 4] = 4711;
        range.words[4 / 4] = range.words[0] ?? 0;
        return true;
      };
      const death = () => new HakoError({ code: "system", message: "it has died" });
      const remote = new RemoteProcess(range, { ended, halted: () => false, death });
      expect(remote.act(() => trySyscall("getpid"))).toBe(4711);
    });

    const chdir: Step = { what: "to /", call: "chdir", args: ["/"] };
    const attempts: Record<string, (forging: Forging) => unknown> = {
      "an error that no kernel has": (forging) => {
        forging.answer(-4096);
        trySyscall("getpid");
      },
      "more bytes than there is room for": (forging) => {
        forging.answer(65);
        trySyscall("read", 0, new Uint8Array(64), 64);
      },
      "more written than was given": (forging) => {
        forging.answer(1 << 20);
        trySyscall("write", 0, new Uint8Array(64), 64);
      },
      "a path that is longer than its buffer": (forging) => {
        forging.answer(1 << 30);
        linkText("/proc/self/exe");
      },
      "more steps than there are": (forging) => {
        forging.answer(3);
        perform([chdir, chdir]);
      },
      "fewer than none": (forging) => {
        forging.answer(-7);
        perform([chdir]);
      },
      "that it has gone": (forging) => {
        forging.answer(-3);
        perform([chdir]);
      },
      "a step's error that no kernel has": (forging) => {
        forging.answer(0, -(2n ** 62n));
        perform([chdir]);
      },
      "a child that no kernel made": (forging) => {
        forging.answer(-(2 ** 31));
        using reports = new Reports([]);
        cloneChild({ flags: 0, cgroup: undefined, waitsForNothing: true, steps: [chdir] }, reports);
      },
    };
    for (const [what, attempt] of Object.entries(attempts)) {
      test(what, () => {
        using forging = new Forging();
        let thrown: unknown;
        try {
          forging.remote.act(() => attempt(forging));
        } catch (error) {
          thrown = error;
        }
        expect(thrown).toBeInstanceOf(HakoError);
        expect(String(thrown)).toContain("answers what no kernel does");
      });
    }

    test("descriptors of a message that is longer than its memory", () => {
      using forging = new Forging();
      const { remote, range } = forging;
      remote.act(() => {
        forging.answer(1);
        // struct msghdr is the last that is placed: a control part of 2^40 bytes
        const before = range.bytes.set.bind(range.bytes);
        range.bytes.set = (bytes: ArrayLike<number>, at?: number) => {
          before(bytes, at);
          if (bytes.length === 56)
            new DataView(range.bytes.buffer).setBigUint64((at ?? 0) + 40, 1n << 40n, true);
        };
        expect(() => recvFds(5, 1)).toThrow("0 of 1 came");
      });
    });

    test("a directory whose entries have no length", () => {
      using forging = new Forging();
      const { remote, range } = forging;
      remote.act(() => {
        const { words } = range;
        let calls = 0;
        const wake = range.wake.bind(range);
        // openat, getdents64, getdents64, close
        range.wake = (offset: number) => {
          words[72 / 4] = [7, 100, 0, 0][calls++] ?? -9;
          words[4 / 4] = words[0] ?? 0;
          wake(offset);
        };
        expect(listNames("/").length).toBeLessThan(10);
      });
    });

    test("a file that has no end", () => {
      using forging = new Forging();
      const { remote, range } = forging;
      const { words } = range;
      range.wake = () => {
        words[72 / 4] = 1 << 16;
        words[4 / 4] = words[0] ?? 0;
      };
      expect(() => remote.act(() => readText("/etc/passwd"))).toThrow("a file has no end");
    });

    test("nothing, for ever: what it may be silent is limited, in all", () => {
      using forging = new Forging();
      expect(() => forging.remote.act(() => trySyscall("getpid"))).toThrow("does not go on");
      // what is closed on the way out waits no more
      expect(forging.remote.act(() => trySyscall("close", 5))).toBe(0);
    });

    test("a call that waits for something else may take long, unless its process is stopped", () => {
      using forging = new Forging();
      const began = performance.now();
      const poll = () => trySyscall("ppoll", null, 0, new BigInt64Array([0n, 400_000_000n]), null, 8);
      expect(() => forging.remote.act(poll)).toThrow("does not go on");
      expect(performance.now() - began).toBeGreaterThan(450);
      using stopped = new Forging();
      stopped.halted = true;
      expect(() => stopped.remote.act(() => reapChild(1, true))).toThrow("does not go on");
    });
  });

  test("what earlier calls left is gone when it waits", () => {
    using running = new Running();
    const { remote, range } = running;
    remote.act(() => {
      const text = new Uint8Array(300_000).fill(65);
      trySyscall("chdir", "/no/secret");
      expect(() => syscall("ioctl", 0, 0, text)).toThrow();
      remote.prepare([{ what: "exit", call: "exit_group", args: [0] }]);
    });
    const left = new TextDecoder("latin1").decode(range.bytes);
    expect(left).not.toContain("secret");
    expect(left).not.toContain("AAAA");
    expect(left).toContain("exit");
    remote.become();
    expect(reapChild(running.pid, true)).toEqual({ status: 0, signal: undefined });
  });

  test("it ends when the other end of its lifeline has been closed, with nobody to kill it", async () => {
    const [ours, theirs] = socketPair("lifeline");
    using way = theirs;
    using running = new Running([way]);
    running.range.lifeline = way.number;
    expect(running.remote.call("getpid", [])).toBe(running.pid);
    await Bun.sleep(1500);
    expect(processStatus(running.pid)?.state).not.toBe("Z");
    // what is not read yet is no end, and hides none
    sendFds(ours, [0]);
    way.close();
    await Bun.sleep(1500);
    expect(processStatus(running.pid)?.state).not.toBe("Z");
    ours.close();
    for (const end = Date.now() + 10_000; processStatus(running.pid)?.state !== "Z"; await Bun.sleep(20))
      if (Date.now() > end) throw new Error("it has not ended");
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
