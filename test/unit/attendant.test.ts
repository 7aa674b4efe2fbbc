// The program that takes hako's place: here a shell's, with a child of its own to attend.
import { describe, expect, test } from "bun:test";
import { spawn } from "node:child_process";
import { openSync } from "node:fs";
import { launchedRows } from "../../src/linux/attendant";
import { ATTEND, type Attended, attendRows, signalSet } from "../../src/linux/attendant-rows";
import { STATUS_DIGITS, statusOfDigits } from "../../src/linux/attendant-status";
import { RowProgram } from "../../src/linux/row-program";

const signals = signalSet([1, 2, 15, 17]);
const LINE = "LINE=";
/** In place of the command that an attendant gives way to. */
const AGAIN = ["-c", 'echo "again $LINE"'];

const launched: Attended = {
  child: (program, child) => launchedRows(program, child, 0, 8),
  recorded: undefined,
  part: undefined,
  end: (program) => program.goto(ATTEND.exit),
};

/**
 * A shell makes a child and becomes, with all signals blocked, the attendant, which reads reports from its standard input. Ends as
 * the attendant did.
 */
async function attend(
  child: string,
  input: (pid: number) => (readonly [number, number])[],
  {
    attended = launched,
    whileItRuns,
  }: { attended?: Attended; whileItRuns?: (pid: number) => Promise<void> } = {},
) {
  const again = openSync("/bin/sh", "r");
  const program = new RowProgram();
  attendRows(program, attended, {
    executable: 9,
    descriptors: [],
    mask: 0n,
    signals,
    words: 1 + AGAIN.length,
    lines: 1,
    digitsAt: LINE.length,
  });
  using image = program.executable("attendant");
  const path = `/proc/${process.pid}/fd/${image.number}`;
  const become = `exec env -i --block-signal ${LINE}${STATUS_DIGITS} ${path} "$@"`;
  const script = `trap '' INT; exec 8>/dev/null 9</proc/${process.pid}/fd/${again}; (${child}) & echo $!; ${become}`;
  const shell = spawn("sh", ["-c", script, "sh", ...AGAIN], { stdio: ["pipe", "pipe", "inherit"] });
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
    const words = input(pid).flatMap(([step, result]) => [BigInt(step), BigInt(result)]);
    shell.stdin.end(new Uint8Array(new BigInt64Array(words).buffer));
    void whileItRuns?.(shell.pid ?? 0);
  });
  const [status, signal] = await ended;
  return { status, signal, output: output.replace(/^\d+\n/, "") };
}

const made = (pid: number) => [[-1, pid] as const];

/** What the command finds that the attendant has given way to. */
function cameTo({ output }: { output: string }): number | undefined {
  const digits = /^again ([a-p]+)\n$/.exec(output)?.[1];
  return digits === undefined ? undefined : statusOfDigits(digits);
}

describe("an attendant", () => {
  test("ends as the process did", async () => {
    expect(await attend("sleep 0.2; exit 7", made)).toEqual({ status: 7, signal: null, output: "" });
    expect((await attend("sleep 0.1; exit 3", made)).status).toBe(3);
    expect((await attend("sleep 0.1; exit 255", made)).status).toBe(255);
    expect((await attend("sleep 0.1; kill -9 $(sh -c 'echo $PPID')", made)).status).toBe(137);
  });

  test("signals go to the process", async () => {
    const { status } = await attend("exec sleep 20", made, {
      async whileItRuns(attendant) {
        await Bun.sleep(200);
        process.kill(attendant, "SIGTERM");
      },
    });
    expect(status).toBe(143);
  });

  test("gives way when a step has failed, or nothing was made; what was made is killed", async () => {
    for (const reports of [
      (pid: number) => [...made(pid), [3, -2] as const],
      () => [],
      () => [[-7, -1] as const],
    ]) {
      const result = await attend("exec sleep 1", reports);
      expect([result.status, result.signal, cameTo(result)]).toEqual([0, null, 0x300]);
    }
  });

  test("says what it came to when the end is not its own", async () => {
    const attended = { ...launched, end: (program: RowProgram) => program.goto(ATTEND.again) };
    expect(cameTo(await attend("sleep 0.1; exit 0", made, { attended }))).toBe(0);
    expect(cameTo(await attend("sleep 0.1; exit 172", made, { attended }))).toBe(172);
    expect(
      cameTo(
        await attend("exec sleep 20", (pid) => [...made(pid)], {
          attended,
          async whileItRuns(attendant) {
            await Bun.sleep(200);
            process.kill(attendant, "SIGTERM");
          },
        }),
      ),
    ).toBe(143);
  });

  test("a pid that is no child of its is not believed", async () => {
    const result = await attend("sleep 0.1", () => made(process.pid));
    expect([result.status, cameTo(result)]).toEqual([0, 0x300]);
  });
});
