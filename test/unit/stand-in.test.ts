// The process on the host that stands for one in a machine: executed here as any other, and for arm64 emulated.
import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { NOTHING_COUNTED } from "../../src/cgroup/stats/spent";
import { FIGURES_SIZE, figuresText } from "../../src/drivers/vm/channel/figures-text";
import {
  frameHeader,
  HEADER_SIZE,
  INPUT_WINDOW,
  TO_GUEST,
  TO_HOST,
  windowOf,
} from "../../src/drivers/vm/channel/stream-frames";
import { AT_ONCE, standInProgram } from "../../src/drivers/vm/stand-in/stand-in-rows";
import { bytesOf, concatenated } from "../../src/linux/call/bytes";
import { O } from "../../src/linux/call/constants";
import { Fd } from "../../src/linux/call/fd";
import { syscall } from "../../src/linux/call/syscall";
import { memoryFile } from "../../src/linux/file/memfd";
import { Pipe } from "../../src/linux/file/pipe";
import { waitFor } from "../../src/linux/file/poll";
import { readWaiting, writeAllWaiting } from "../../src/linux/file/stream";
import { socketPair } from "../../src/linux/file/unix-socket";
import { DATA_AT, elfProgram } from "../../src/linux/steps/elf";
import { interpreterCode } from "../../src/linux/steps/interpreter-code";
import { filledIn } from "../../src/linux/steps/template";
import { getTermios, openPty, rawTermios, setTermios, setWindowSize } from "../../src/linux/terminal/pty";

const PATIENCE_MS = 20_000;
const QEMU = Bun.which("qemu-aarch64");
const other = process.arch === "arm64" ? undefined : "arm64";

function frame(type: number, number: number, data: Uint8Array = new Uint8Array(0)): Uint8Array {
  return concatenated([new Uint8Array(new BigUint64Array([frameHeader(type, number)]).buffer), data]);
}

function dataFrame(type: number, data: Uint8Array | string): Uint8Array {
  const bytes = typeof data === "string" ? bytesOf(data) : data;
  return frame(type, bytes.length, bytes);
}

/** The agent's end of a socket. */
class Peer {
  #read: Uint8Array = new Uint8Array(0);
  constructor(readonly socket: Fd) {}

  send(...frames: Uint8Array[]): void {
    writeAllWaiting(this.socket, concatenated(frames));
  }

  #take(size: number): Uint8Array {
    while (this.#read.length < size) {
      // this thread waits: no limit of the test's would end it
      if (!waitFor(this.socket, "read", PATIENCE_MS)) throw new Error("the stand-in says nothing");
      const more = readWaiting(this.socket);
      if (more.length === 0) throw new Error("the stand-in has gone");
      this.#read = concatenated([this.#read, more]);
    }
    const taken = this.#read.slice(0, size);
    this.#read = this.#read.subarray(size);
    return taken;
  }

  next(): { type: number; number: number; data: Uint8Array } {
    const word = new DataView(this.#take(HEADER_SIZE).buffer).getBigUint64(0, true);
    const [type, number] = [Number(word & 0xffn), Number(word >> 8n)];
    return { type, number, data: type === TO_GUEST.input ? this.#take(number) : new Uint8Array(0) };
  }
}

async function until(holds: () => boolean): Promise<void> {
  for (const end = Date.now() + PATIENCE_MS; !holds(); await Bun.sleep(20))
    if (Date.now() > end) throw new Error("it does not become so");
}

for (const machine of [process.arch, ...(other === undefined ? [] : [other])]) {
  const skipped = machine !== process.arch && QEMU === null;
  describe.skipIf(skipped)(`a stand-in on ${machine}`, () => {
    /** Starts one whose descriptor 3 is its socket. */
    function started(
      input: "ignore" | "pipe" | Uint8Array | number,
      output: "pipe" | number = "pipe",
      little = false,
      figures?: number,
      stops?: number,
    ) {
      const [ours, theirs] = socketPair("streams");
      using socket = theirs;
      const atOnce = little ? AT_ONCE.little : AT_ONCE.all;
      const data = filledIn(standInProgram(machine), {
        ...{
          socket: 3,
          figures: figures === undefined ? -1 : 4,
          stops: stops === undefined ? -1 : 4,
          output: 1,
          outputIsSocket: 0,
          outputAtOnce: atOnce,
        },
        ...{ error: 2, errorIsSocket: 0, errorAtOnce: atOnce },
        terminal: typeof input === "number" ? 1 : 0,
      });
      // an emulator opens it later
      const file = elfProgram("stand-in", interpreterCode(DATA_AT, machine), data, machine);
      const path = `/proc/${process.pid}/fd/${file.number}`;
      const words = machine === process.arch ? [path] : [QEMU ?? "", path];
      // a terminal is all three
      const error = typeof input === "number" ? input : "pipe";
      const more = [figures, stops].filter((fd) => fd !== undefined);
      const child = Bun.spawn(words, { stdio: [input, output, error, socket.number, ...more] });
      return {
        child,
        peer: new Peer(ours),
        [Symbol.dispose]() {
          for (const fd of [ours, file]) fd.close();
        },
      };
    }

    const ended = async ({ child }: { child: Bun.Subprocess }) => {
      const text = async (stream: unknown) =>
        stream instanceof ReadableStream ? await new Response(stream).text() : "";
      const [output, error] = await Promise.all([text(child.stdout), text(child.stderr)]);
      return { status: await child.exited, output, error };
    };

    test("relays both outputs, in whatever parts they come, and ends as the program did", async () => {
      using it = started("ignore");
      const all = concatenated([
        dataFrame(TO_HOST.output, "one "),
        dataFrame(TO_HOST.error, "wrong"),
        dataFrame(TO_HOST.output, "two"),
        dataFrame(TO_HOST.output, ""),
        frame(TO_HOST.ended, 7),
      ]);
      for (let at = 0; at < all.length; at += 3) it.peer.send(all.slice(at, at + 3));
      expect(await ended(it)).toEqual({ status: 7, output: "one two", error: "wrong" });
    });

    test("counts how often the program was stopped, for who wants to know", async () => {
      using stops = new Fd(syscall("eventfd2", 0, O.CLOEXEC));
      using it = started("ignore", "pipe", false, undefined, stops.number);
      const stopped = frame(TO_HOST.stopped, 0);
      it.peer.send(stopped, dataFrame(TO_HOST.output, "out"), stopped, frame(TO_HOST.ended, 3));
      expect(await ended(it)).toEqual({ status: 3, output: "out", error: "" });
      const count = new BigInt64Array(1);
      expect(syscall("read", stops.number, count, 8)).toBe(8);
      expect(count[0]).toBe(2n);
      // nobody does
      using other = started("ignore");
      other.peer.send(stopped, frame(TO_HOST.ended, 4));
      expect((await ended(other)).status).toBe(4);
    });

    test("keeps the figures that were told last, which can't be many", async () => {
      using file = memoryFile("figures");
      using it = started("ignore", "pipe", false, file.number);
      const text = (kills: number) => figuresText({ spent: { ...NOTHING_COUNTED, memoryKills: kills } });
      it.peer.send(dataFrame(TO_HOST.figures, text(1)), dataFrame(TO_HOST.output, "out"));
      it.peer.send(dataFrame(TO_HOST.figures, text(2)), frame(TO_HOST.ended, 3));
      expect(await ended(it)).toEqual({ status: 3, output: "out", error: "" });
      expect(readFileSync(file.path, "utf8")).toBe(text(2));
      using many = started("ignore", "pipe", false, file.number);
      many.peer.send(dataFrame(TO_HOST.figures, "x".repeat(FIGURES_SIZE + 1)));
      expect((await ended(many)).status).toBe(137);
      expect(readFileSync(file.path, "utf8")).toBe(text(2));
    });

    test("gives its buffers back when no data comes any more, but not what nobody has read", async () => {
      if (machine !== process.arch) return;
      using pipe = new Pipe("output");
      using it = started("ignore", pipe.write.number);
      /** The mappings at these addresses, in KiB. */
      const resident = () =>
        readFileSync(`/proc/${it.child.pid}/smaps`, "utf8")
          .split(/^(?=[0-9a-f]+-[0-9a-f]+ )/m)
          .map((text) => ({ at: text.split("-")[0], size: Number(/^Rss: +(\d+)/m.exec(text)?.[1]) }));
      const buffers = () => resident().find(({ at }) => at === "20000000")?.size;
      it.peer.send(dataFrame(TO_HOST.output, "x".repeat(30_000)));
      await until(() => buffers() !== 0);
      await until(() => buffers() === 0);
      readWaiting(pipe.read, 30_000);
      // it writes into a pipe that is full, and waits
      const much = "y".repeat(30_000);
      for (let count = 0; count < 4; count++) it.peer.send(dataFrame(TO_HOST.output, much));
      await Bun.sleep(1500);
      let read = "";
      while (read.length < 120_000) read += new TextDecoder().decode(readWaiting(pipe.read, 65_536));
      expect(read).toBe(much.repeat(4));
      it.peer.send(frame(TO_HOST.ended, 0));
      expect(await it.child.exited).toBe(0);
    });

    test("writes much, also a little at a time", async () => {
      for (const little of [false, true]) {
        using it = started("ignore", "pipe", little);
        const data = new Uint8Array(300_000).map((_, index) => 32 + (index % 90));
        const frames = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9].map((part) =>
          dataFrame(TO_HOST.output, data.subarray(part * 30_000, (part + 1) * 30_000)),
        );
        using file = memoryFile("frames");
        writeAllWaiting(file, concatenated([...frames, frame(TO_HOST.ended, 0)]));
        // more than any buffer has, and this thread reads the output
        Bun.spawn(["cat", `/proc/${process.pid}/fd/${file.number}`], {
          stdio: ["ignore", it.peer.socket.number, "inherit"],
        });
        const output = await new Response(it.child.stdout as ReadableStream).bytes();
        expect(Buffer.compare(output, data)).toBe(0);
        expect(await it.child.exited).toBe(0);
      }
    });

    test("passes standard input on, no more than there is credit for, and its end", async () => {
      const data = new Uint8Array(INPUT_WINDOW + 5000).map((_, index) => index % 251);
      using it = started(data);
      const parts: Uint8Array[] = [];
      const size = () => parts.reduce((sum, { length }) => sum + length, 0);
      while (size() < INPUT_WINDOW) parts.push(it.peer.next().data);
      expect(size()).toBe(INPUT_WINDOW);
      // a signal isn't behind what waits for credit
      it.child.kill("SIGUSR1");
      expect(it.peer.next()).toMatchObject({ type: TO_GUEST.signal, number: 10 });
      it.peer.send(frame(TO_HOST.credit, INPUT_WINDOW));
      while (size() < data.length) parts.push(it.peer.next().data);
      expect(Buffer.compare(concatenated(parts), data)).toBe(0);
      expect(it.peer.next()).toMatchObject({ type: TO_GUEST.input, number: 0 });
      it.peer.send(frame(TO_HOST.ended, 300));
      expect((await ended(it)).status).toBe(300 & 0xff);
    });

    test("passes signals on, and none ends it but SIGKILL", async () => {
      using it = started("ignore");
      expect(it.peer.next()).toMatchObject({ type: TO_GUEST.input, number: 0 });
      for (const [name, number] of [
        ["SIGTERM", 15],
        ["SIGINT", 2],
        ["SIGHUP", 1],
        ["SIGTSTP", 20],
        ["SIGPIPE", 13],
      ] as const) {
        it.child.kill(name);
        expect(it.peer.next()).toMatchObject({ type: TO_GUEST.signal, number });
      }
      it.peer.send(frame(TO_HOST.ended, 143));
      expect((await ended(it)).status).toBe(143);
    });

    test("says that nobody reads any more, once, and goes on", async () => {
      const output = new Pipe("output");
      using it = started("ignore", output.write.number);
      output[Symbol.dispose]();
      it.peer.next();
      it.peer.send(dataFrame(TO_HOST.output, "y\n".repeat(1000)));
      expect(it.peer.next()).toMatchObject({ type: TO_GUEST.outputClosed });
      it.peer.send(
        dataFrame(TO_HOST.output, "y\n"),
        dataFrame(TO_HOST.error, "still"),
        frame(TO_HOST.ended, 141),
      );
      expect(await ended(it)).toMatchObject({ status: 141, error: "still" });
    });

    test("on a terminal of its own passes bytes on, and the window's size, at first and when that changes", async () => {
      const { master, slave } = openPty();
      using ours = master;
      using theirs = slave;
      setTermios(master, rawTermios(getTermios(master)));
      setWindowSize(master, { width: 101, height: 44 });
      using it = started(theirs.number, theirs.number);
      const first = it.peer.next();
      expect([first.type, windowOf(first.number)]).toEqual([TO_GUEST.windowSize, { width: 101, height: 44 }]);
      setWindowSize(master, { width: 80, height: 24 });
      it.child.kill("SIGWINCH");
      const second = it.peer.next();
      expect([second.type, windowOf(second.number)]).toEqual([
        TO_GUEST.windowSize,
        { width: 80, height: 24 },
      ]);
      writeAllWaiting(ours, "a\x03\r");
      expect(it.peer.next()).toMatchObject({ type: TO_GUEST.input, data: bytesOf("a\x03\r") });
      it.peer.send(dataFrame(TO_HOST.output, "shown\n"), frame(TO_HOST.ended, 4));
      expect(readWaiting(ours)).toEqual(bytesOf("shown\n"));
      expect(await it.child.exited).toBe(4);
    });

    test("ends with 137 when the machine is gone, or says what it may not", async () => {
      const left = started("ignore");
      left.peer.socket.close();
      expect((await ended(left)).status).toBe(137);
      for (const wrong of [frame(0, 0), frame(9, 1), new Uint8Array(8).fill(255)]) {
        using it = started("ignore");
        it.peer.send(wrong);
        expect((await ended(it)).status).toBe(137);
      }
    });
  });
  if (skipped) console.log(`skipped: a stand-in on ${machine}: qemu-aarch64 is not installed`);
}
