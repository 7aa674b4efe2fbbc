// What the host makes of a QEMU that a guest has taken over.
import { expect, test } from "bun:test";
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { endProgram, KeptMachine } from "../../src/drivers/vm/kept-machine";
import { claimMachine, machineFiles } from "../../src/drivers/vm/machine-record";
import { unixConnectWithin, unixListen } from "../../src/linux/file/unix-socket";
import { processStatus, startTimeOf } from "../../src/linux/process/process";
import { sandboxId } from "../../src/oci/id";

test("a QEMU that takes no connection lets a command end in time, and its last words are short", () => {
  const root = mkdtempSync("/tmp/hako-kept-machine-");
  try {
    const files = machineFiles(root, sandboxId("one"));
    const lock = claimMachine(files);
    using _ = unixListen(files.control);
    using __ = unixListen(files.monitor);
    const waiting = [];
    for (const path of [files.control, files.monitor])
      for (;;) {
        try {
          waiting.push(unixConnectWithin(path, 0));
        } catch {
          break;
        }
      }
    expect(waiting.length).toBeGreaterThan(2);
    writeFileSync(files.words, `${"x".repeat(1 << 20)}\nthe end\n`);
    using machine = new KeptMachine(files, lock);
    const start = performance.now();
    expect(() => machine.ask("ping", {}, 200)).toThrow("QEMU takes no connection in time");
    expect(() => machine.awaitAgent("hello", {}, 200)).toThrow("QEMU takes no connection in time");
    expect(performance.now() - start).toBeLessThan(15_000);
    for (const fd of waiting) fd.close();
  } finally {
    rmSync(root, { recursive: true });
  }
});

test.skipIf(Bun.which("python3") === null)(
  "a program whose main thread has ended is waited for until its other threads have",
  async () => {
    const script = `import ctypes, threading, time
threading.Thread(target=time.sleep, args=(100,)).start()
ctypes.CDLL(None).syscall(60 if ctypes.sizeof(ctypes.c_void_p) == 8 and __import__("platform").machine() == "x86_64" else 93, 0)`;
    const { pid } = Bun.spawn(["python3", "-c", script]);
    while (processStatus(pid)?.state !== "Z") await Bun.sleep(5);
    expect(readdirSync(`/proc/${pid}/task`).length).toBe(2);
    endProgram("python3", { pid, startTime: startTimeOf(pid) });
    expect(existsSync(`/proc/${pid}/task`)).toBeFalse();
  },
);
