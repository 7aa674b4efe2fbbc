// What `exec --timeout` ends: who is in the command's UTS namespace, and nobody who must not be ended, whatever namespace that is in.
import { describe, expect, test } from "bun:test";
import { GatheredExec } from "../../src/drivers/namespaces/exec/gathered-exec";
import { SIG } from "../../src/linux/call/constants";
import type { Fd } from "../../src/linux/call/fd";
import { Pipe } from "../../src/linux/file/pipe";
import { namespaceName, openNamespace, visibleNamespace } from "../../src/linux/process/namespace";
import { aliveProcess, processStatus } from "../../src/linux/process/process";
import type { ProcessRecord } from "../../src/state/record";
import { withWarnings } from "./warnings";

const NAMESPACES = ["unshare", "--user", "--map-root-user", "--uts"];
const able = Bun.spawnSync([...NAMESPACES, "true"]).success && Bun.which("nsenter") !== null;

/** Processes of this one's, which are killed at the end. */
class Children implements Disposable {
  readonly #all: Bun.Subprocess[] = [];

  /** One that executes `sleep` at last. */
  async sleeping(...before: string[]): Promise<ProcessRecord> {
    const child = Bun.spawn([...before, "sleep", "600"]);
    this.#all.push(child);
    while (processStatus(child.pid)?.name !== "sleep") await Bun.sleep(5);
    return { pid: child.pid, startTime: processStatus(child.pid)?.startTime ?? 0 };
  }

  [Symbol.dispose](): void {
    for (const child of this.#all) child.kill("SIGKILL");
  }
}

const marker = (pid: number | "self") => openNamespace(`/proc/${pid}/ns/uts`);
const lives = ({ pid, startTime }: ProcessRecord) => aliveProcess(pid, startTime) !== undefined;
/** A command that has ended. */
const ENDED: ProcessRecord = { pid: 2 ** 22, startTime: 1 };

/** The warnings when it is made with a namespace, and what it ends then. */
function warningsWith(namespace: Fd | undefined, init: ProcessRecord): string[] {
  return withWarnings(() => {
    using gathered = new GatheredExec(ENDED, namespace, init);
    gathered.signalAll(SIG.KILL);
  }).warnings;
}

const ALONE = "exec: of what the command starts only its process group can be ended: the namespace by which";
const FOREIGN = [`${ALONE} the rest is found is not the command's own`];

describe("what is found by a namespace", () => {
  test.skipIf(!able)("is ended, and nobody else", async () => {
    using children = new Children();
    const init = await children.sleeping(...NAMESPACES);
    const [member, ...others] = [
      await children.sleeping(...NAMESPACES),
      await children.sleeping(...NAMESPACES),
      await children.sleeping(),
    ];
    expect(warningsWith(marker(member.pid), init)).toEqual([]);
    expect([member, init, ...others].map(lives)).toEqual([false, true, true, true]);
  });

  test.skipIf(!able)("is not the container's first process, which has come into it", async () => {
    using children = new Children();
    const member = await children.sleeping(...NAMESPACES);
    using input = new Pipe("input");
    const line = `read line; exec nsenter --target ${member.pid} --user --preserve-credentials --uts sleep 600`;
    const shell = Bun.spawn(["sh", "-c", line], { stdin: input.read.number });
    const init = { pid: shell.pid, startTime: processStatus(shell.pid)?.startTime ?? 0 };
    using gathered = new GatheredExec(ENDED, marker(member.pid), init);
    input.write.close();
    input.read.close();
    const there = namespaceName(member.pid, "uts");
    while (visibleNamespace(init.pid, "uts") !== there) await Bun.sleep(5);
    gathered.signalAll(SIG.KILL);
    expect([member, init].map(lives)).toEqual([false, true]);
    shell.kill("SIGKILL");
  });
});

describe("nothing is found", () => {
  test("by this process's own namespace", () => {
    expect(warningsWith(marker("self"), ENDED)).toEqual(FOREIGN);
  });

  test.skipIf(!able)("by that of the container's first process", async () => {
    using children = new Children();
    const init = await children.sleeping(...NAMESPACES);
    expect(warningsWith(marker(init.pid), init)).toEqual(FOREIGN);
    expect(lives(init)).toBe(true);
  });

  test("by what is no UTS namespace", () => {
    using pipe = new Pipe("pipe");
    expect(warningsWith(openNamespace("/proc/self/ns/ipc"), ENDED)).toEqual(FOREIGN);
    expect(warningsWith(pipe.read, ENDED)).toEqual(FOREIGN);
  });

  test("without one", () => {
    expect(warningsWith(undefined, ENDED)).toEqual([`${ALONE} the rest is found could not be opened`]);
  });
});
