// Programs that are tables of rows: executed here as any other, and for arm64 emulated.
import { describe, expect, test } from "bun:test";
import { stringVector } from "../../src/linux/call/argument-memory";
import { DATA_AT, elfProgram } from "../../src/linux/steps/elf";
import { interpreterCode } from "../../src/linux/steps/interpreter-code";
import { ANY, FAILED, namedWords, RowProgram, within, word, wordIn } from "../../src/linux/steps/row-program";
import { filledIn } from "../../src/linux/steps/template";

const QEMU = Bun.which("qemu-aarch64");
const other = process.arch === "arm64" ? undefined : "arm64";

/** Runs it as a program for a machine; its output and exit status. */
function run(program: RowProgram, machine: string, args: string[] = []) {
  return runData(program.assemble(), machine, args);
}

function runData(data: Uint8Array, machine: string, args: string[] = []) {
  using file = elfProgram("rows", interpreterCode(DATA_AT, machine), data, machine);
  const path = `/proc/${process.pid}/fd/${file.number}`;
  const command = machine === process.arch ? [path, ...args] : [QEMU ?? "", path, ...args];
  const { exitCode, signalCode, stdout } = Bun.spawnSync(command, { env: { A: "b" }, stdin: "ignore" });
  return { status: exitCode, signal: signalCode, output: stdout.toString() };
}

/** A program that ends with the value of a word. */
function ending(machine: string, rows: (program: RowProgram, result: BigInt64Array) => void): RowProgram {
  const program = new RowProgram(machine);
  const result = word(255);
  rows(program, result);
  program.label(FAILED);
  program.call("exit_group", [wordIn(result)]);
  return program;
}

for (const machine of [process.arch, ...(other === undefined ? [] : [other])]) {
  describe(`a program of rows on ${machine}`, () => {
    const runs = machine === process.arch || QEMU !== null;
    const it = (name: string, body: () => void) => {
      if (runs) return test(name, body);
      console.log(`skipped: ${name}, ${machine}: qemu-aarch64 is not installed`);
      test.skip(name, () => {});
    };
    const status = (rows: (program: RowProgram, result: BigInt64Array) => void, args?: string[]) =>
      run(ending(machine, rows), machine, args).status;

    it("makes system calls with numbers, text, memory and words", () => {
      const program = new RowProgram(machine);
      const length = word(3);
      program.call("write", [1, "one ", 4]);
      program.call("write", [1, new TextEncoder().encode("two four"), wordIn(length)]);
      const text = new TextEncoder().encode("..six");
      program.call("write", [1, within(text, 2), 3]);
      program.call("exit_group", [7]);
      program.label(FAILED);
      program.call("exit_group", [1]);
      expect(run(program, machine)).toEqual({ status: 7, signal: undefined, output: "one twosix" });
    });

    it("adds, masks, rotates and loads", () => {
      expect(status((program, result) => program.sum([40, 5, 3], { to: result }))).toBe(42);
      expect(status((program, result) => program.sum([2, -1], { to: result }))).toBe(1);
      expect(status((program, result) => program.mask(0x1ff, 0xf0, { to: result }))).toBe(0xf0);
      expect(status((program, result) => program.rotate(0x4200, 8, { to: result }))).toBe(0x42);
      expect(
        status((program, result) => {
          program.rotate(0x21, 60, { to: result });
          program.rotate(wordIn(result), wordIn(word(8)), { to: result });
          program.mask(wordIn(result), 0xff, { to: result });
        }),
      ).toBe(2);
      const texts = stringVector(["a", "bc"]);
      expect(
        status((program, result) => {
          program.load(within(texts, 8), { to: result });
          program.load(wordIn(result), { to: result });
          program.rotate(wordIn(result), 8, { to: result });
        }),
      ).toBe("c".charCodeAt(0));
    });

    it("goes on by the result: between two bounds, which may be words", () => {
      const size = (value: number) =>
        status((program, result) => {
          const [least, most] = [word(10), word(20)];
          const bounds = { least: wordIn(least), most: wordIn(most) };
          program.sum([value], { ...bounds, next: "between", otherwise: undefined });
          program.sum([value, 0, 0], { least: 0, most: 9, next: "below", otherwise: undefined });
          program.set(result, 3, FAILED);
          program.label("between");
          program.set(result, 2, FAILED);
          program.label("below");
          program.set(result, 1, FAILED);
        });
      expect([5, 9, 10, 20, 21, 1000, -1].map(size)).toEqual([1, 1, 2, 2, 3, 3, 3]);
    });

    it("a system call that fails goes where it is told, or to the row that is for it", () => {
      expect(status((program) => program.call("close", [99]))).toBe(255);
      expect(
        status((program, result) => {
          program.call("close", [99], { ...ANY, to: result });
          program.sum([0, 0, wordIn(result)], { to: result });
        }),
      ).toBe(9);
      expect(
        status((program, result) => {
          program.call("close", [99], { otherwise: "bad" });
          program.label("bad");
          program.set(result, 4);
        }),
      ).toBe(4);
      expect(status((program) => program.call("getppid", [], { most: 0 }))).toBe(255);
    });

    it("loops, jumps to rows whose addresses are in words, writes to where words point", () => {
      expect(
        status((program, result) => {
          const [turns, next, at] = [word(5), word(), word()];
          const bytes = new Uint8Array(16);
          program.set(result, 0);
          program.set(next, { row: "more" });
          program.label("loop");
          program.goto(wordIn(next));
          program.label("more");
          program.sum([wordIn(result), 3], { to: result });
          program.sum([wordIn(turns), -1], { to: turns, least: 1, next: "loop", otherwise: undefined });
          program.set(next, { row: "end" }, "loop");
          program.label("end");
          program.set(at, within(bytes, 3));
          program.sum([wordIn(result)], { to: wordIn(at) });
          program.mask(wordIn(bytes, 3), 0xff, { to: result });
        }),
      ).toBe(15);
    });

    it("a template's words are filled in with numbers, texts, vectors of texts, and nothing", () => {
      const program = new RowProgram(machine);
      const words = namedWords(["length", "status", "text", "vector", "none"]);
      const at = word();
      program.call("write", [1, wordIn(words.text), wordIn(words.length)]);
      program.load(wordIn(words.vector), { to: at });
      program.call("write", [1, wordIn(at), 5]);
      program.sum([wordIn(words.vector), 16], { to: at });
      program.load(wordIn(at), { to: at });
      program.when(wordIn(at), wordIn(words.none), "end");
      program.label(FAILED);
      program.call("exit_group", [1]);
      program.label("end");
      program.call("exit_group", [wordIn(words.status)]);
      const template = program.template(words);
      // as often as one likes: it stays what it is
      for (const [text, status] of [
        ["one ", 7],
        ["other ", 8n],
      ] as const) {
        const vector = stringVector([text === "one " ? "three" : "seven", "x"]);
        const data = filledIn(template, { text, length: text.length, status, vector, none: 0 });
        const output = `${text}${text === "one " ? "three" : "seven"}`;
        expect(runData(data, machine)).toEqual({ status: Number(status), signal: undefined, output });
      }
    });

    it("the stack is as execve left it", () => {
      const program = new RowProgram(machine);
      const at = word();
      // the path that it was executed by, then arguments, NULL, environment
      program.sum([wordIn(program.stack), 16], { to: at });
      program.load(wordIn(at), { to: at });
      program.call("write", [1, wordIn(at), 4]);
      program.sum([wordIn(program.stack), 8 * 5], { to: at });
      program.load(wordIn(at), { to: at });
      program.call("write", [1, wordIn(at), 3]);
      program.call("exit_group", [0]);
      program.label(FAILED);
      program.call("exit_group", [1]);
      const { status, output } = run(program, machine, ["word", "last"]);
      expect([status, output]).toEqual([0, "wordA=b"]);
    });
  });
}

describe("a program of rows", () => {
  test("labels must be there once", () => {
    const program = new RowProgram();
    program.goto("nowhere");
    expect(() => program.assemble()).toThrow("nowhere");
    program.label("here");
    expect(() => program.label("here")).toThrow("here");
    expect(program.freshLabel()).not.toBe(program.freshLabel());
  });

  test("memory is there once, and pieces don't overlap", () => {
    const program = new RowProgram();
    const shared = new Uint8Array([1, 2, 3]);
    for (let i = 0; i < 3; i++) program.call("write", [1, shared, 3], ANY);
    program.call("write", [1, "text", 4], ANY);
    const data = Buffer.from(program.assemble());
    for (const piece of [Buffer.from(shared), "text\0"]) {
      expect(data.indexOf(piece)).toBeGreaterThan(0);
      expect(data.indexOf(piece)).toBe(data.lastIndexOf(piece));
    }
  });
});
