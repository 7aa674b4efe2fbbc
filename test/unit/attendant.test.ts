// The program that takes hako's place: here a shell's, with a child of its own to attend.
import { describe, expect, test } from "bun:test";
import { spawn } from "node:child_process";
import { openSync } from "node:fs";
import { attendantCode, attendantTable } from "../../src/linux/attendant-code";
import { DATA_AT, elfProgram } from "../../src/linux/elf";

const signals = [1, 2, 15, 17].reduce((set, signal) => set | (1n << BigInt(signal - 1)), 0n);

/**
 * A shell makes a child and becomes, with all signals blocked, the attendant, which reads reports from its standard input; `again` is what it gives way to.
 * Ends as the attendant did.
 */
async function attend(
  child: string,
  reports: (pid: number) => (readonly [number, number])[],
  whileItRuns?: (attendant: number) => Promise<void>,
) {
  const again = openSync("/bin/echo", "r");
  const table = attendantTable({ report: 0, executable: 9, mask: 0n, signals, go: 8 }, "attendant");
  using program = elfProgram("attendant", attendantCode(DATA_AT), table);
  const path = `/proc/${process.pid}/fd/${program.number}`;
  const script = `trap '' INT; exec 8>/dev/null 9</proc/${process.pid}/fd/${again}; (${child}) & echo $!; exec env --block-signal ${path} once more`;
  const shell = spawn("sh", ["-c", script], { stdio: ["pipe", "pipe", "inherit"] });
  let output = "";
  let told = false;
  const ended = new Promise<[number | null, string | null]>((done) =>
    shell.on("close", (status, signal) => done([status, signal])),
  );
  shell.stdout.on("data", (data: Buffer) => {
    output += data.toString();
    const pid = Number(/^\d+\n/.exec(output)?.[0]);
    if (told || !(pid > 0)) return;
    told = true;
    const words = reports(pid).flatMap(([step, result]) => [BigInt(step), BigInt(result)]);
    shell.stdin.end(new Uint8Array(new BigInt64Array(words).buffer));
    void whileItRuns?.(shell.pid ?? 0);
  });
  const [status, signal] = await ended;
  return { status, signal, output: output.replace(/^\d+\n/, "") };
}

const made = (pid: number) => [[-1, pid] as const];

describe("an attendant", () => {
  test("ends as the process did", async () => {
    expect(await attend("sleep 0.2; exit 7", made)).toEqual({ status: 7, signal: null, output: "" });
    expect((await attend("sleep 0.1; exit 3", made)).status).toBe(3);
    expect((await attend("sleep 0.1; kill -9 $(sh -c 'echo $PPID')", made)).status).toBe(137);
  });

  test("signals go to the process", async () => {
    const { status } = await attend("exec sleep 20", made, async (attendant) => {
      await Bun.sleep(200);
      process.kill(attendant, "SIGTERM");
    });
    expect(status).toBe(143);
  });

  test("gives way when a step has failed, or nothing was made; what was made is killed", async () => {
    const again = { status: 0, signal: null, output: "once more\n" };
    expect(await attend("exec sleep 20", (pid) => [...made(pid), [3, -2]])).toEqual(again);
    expect(await attend("exit 0", () => [])).toEqual(again);
    expect(await attend("exit 0", () => [[-7, -1]])).toEqual(again);
  });

  test("a pid that is no child of its is not believed", async () => {
    const { status, output } = await attend("sleep 0.1", () => made(process.pid));
    expect([status, output]).toEqual([0, "once more\n"]);
  });
});
