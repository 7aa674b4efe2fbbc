// The program that takes hako's place: here a shell's, with a child of its own to attend.
import { describe, expect, test } from "bun:test";
import { spawn } from "node:child_process";
import { openSync, readlinkSync } from "node:fs";
import { endRows } from "../../src/drivers/namespaces/exec/exec-attendant-rows";
import { ATTEND, type Attended, attendRows, WAY } from "../../src/linux/attendant/attendant-rows";
import { STATUS_DIGITS, statusOfDigits } from "../../src/linux/attendant/attendant-status";
import { signalSet } from "../../src/linux/attendant/signal-set";
import { syscall } from "../../src/linux/call/syscall";
import { memoryFile } from "../../src/linux/file/memfd";
import { namedWords, RowProgram, word, wordIn } from "../../src/linux/steps/row-program";
import { filledProgram } from "../../src/linux/steps/template";

const signals = signalSet([1, 2, 15, 17]);
const LINE = "LINE=";
/** In place of the command that an attendant gives way to. */
const AGAIN = ["-c", 'echo "again $LINE"'];

/** The child's pid comes from standard input, as a word. */
const known: Attended = {
  child(program, child) {
    const pid = word();
    program.call("read", [0, pid, 8], { least: 8 });
    program.set(child, wordIn(pid));
  },
  recorded: undefined,
  part: undefined,
  end: (program) => program.goto(ATTEND.exit),
};

/**
 * A shell makes a child and becomes, with all signals blocked, the attendant, with `range` as a descriptor. Ends as the attendant
 * did.
 */
async function attend(
  child: string,
  {
    attended = known,
    range = "/dev/null",
    whileItRuns,
  }: { attended?: Attended; range?: string; whileItRuns?: (pid: number) => Promise<void> } = {},
) {
  const again = openSync("/bin/sh", "r");
  const program = new RowProgram();
  const way = namedWords(WAY);
  attendRows(program, attended, way, []);
  using image = filledProgram("attendant", program.template(way), {
    executable: 9,
    mask: 0,
    signals,
    // of its command line there are the shell's two words, of its environment there is one line
    environmentAt: 8 * (1 + AGAIN.length + 2),
    lastLineAt: 0,
    digitsAt: LINE.length,
  });
  const path = `/proc/${process.pid}/fd/${image.number}`;
  const become = `exec env -i --block-signal ${LINE}${STATUS_DIGITS} ${path} "$@"`;
  const script = `trap '' INT; exec 7<${range} 9</proc/${process.pid}/fd/${again}; (${child}) & echo $!; ${become}`;
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
    shell.stdin.end(new Uint8Array(new BigInt64Array([BigInt(pid)]).buffer));
    void whileItRuns?.(shell.pid ?? 0);
  });
  const [status, signal] = await ended;
  return { status, signal, output: output.replace(/^\d+\n/, "") };
}

/** Until a process has become the attendant, which has come as a file in memory. */
async function attends(pid: number): Promise<void> {
  while (!readlinkSync(`/proc/${pid}/exe`).includes("memfd:")) await Bun.sleep(5);
}

/** What the command finds that the attendant has given way to. */
function cameTo({ output }: { output: string }): number | undefined {
  const digits = /^again ([a-p]+)\n$/.exec(output)?.[1];
  return digits === undefined ? undefined : statusOfDigits(digits);
}

describe("an attendant", () => {
  test("ends as the process did", async () => {
    expect(await attend("sleep 0.2; exit 7")).toEqual({ status: 7, signal: null, output: "" });
    expect((await attend("sleep 0.1; exit 3")).status).toBe(3);
    expect((await attend("sleep 0.1; exit 255")).status).toBe(255);
    expect((await attend("sleep 0.1; kill -9 $(sh -c 'echo $PPID')")).status).toBe(137);
  });

  test("signals go to the process", async () => {
    const { status } = await attend("exec sleep 20", {
      async whileItRuns(attendant) {
        await attends(attendant);
        process.kill(attendant, "SIGTERM");
      },
    });
    expect(status).toBe(143);
  });

  test("of an exec gives way when a step has failed, or a filter has ended it before its program", async () => {
    const OFFSET = 32;
    const attended: Attended = {
      ...known,
      end: (program, words) => endRows(program, words, { range: 7, offset: OFFSET, first: 5 }),
    };
    const after = async (child: string, walked: [step: number, result: number] | undefined) => {
      using file = memoryFile("range");
      const words = new BigInt64Array((walked ?? []).map(BigInt));
      if (walked !== undefined) syscall("pwrite64", file.number, words, 16, OFFSET);
      const result = await attend(child, { attended, range: `/proc/${process.pid}/fd/${file.number}` });
      return cameTo(result) ?? `status ${result.status}`;
    };
    const killed = "sleep 0.1; kill -SYS $(sh -c 'echo $PPID')";
    expect(await after("sleep 0.1; exit 3", [5, 0])).toBe("status 3");
    expect(await after("sleep 0.1; exit 1", [5, -2])).toBe(1);
    expect(await after(killed, [5, 0])).toBe("status 159");
    expect(await after(killed, [4, 0])).toBe(159);
    // a range that can't be read says nothing good
    expect(await after("sleep 0.1; exit 0", undefined)).toBe(0);
  });

  test("says what it came to when the end is not its own", async () => {
    const attended = { ...known, end: (program: RowProgram) => program.goto(ATTEND.again) };
    expect(cameTo(await attend("sleep 0.1; exit 0", { attended }))).toBe(0);
    expect(cameTo(await attend("sleep 0.1; exit 172", { attended }))).toBe(172);
    expect(
      cameTo(
        await attend("exec sleep 20", {
          attended,
          async whileItRuns(attendant) {
            await attends(attendant);
            process.kill(attendant, "SIGTERM");
          },
        }),
      ),
    ).toBe(143);
  });
});
