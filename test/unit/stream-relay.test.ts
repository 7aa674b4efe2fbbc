// The guest's side of a process's streams, with a socket for the machine's port and pipes for the process's streams.
import { describe, expect, test } from "bun:test";
import { StreamRelay } from "../../src/agent/stream-relay";
import {
  frameHeader,
  HEADER_SIZE,
  INPUT_WINDOW,
  TO_GUEST,
  TO_HOST,
} from "../../src/drivers/vm/channel/stream-frames";
import { bytesOf, concatenated, textOf } from "../../src/linux/call/bytes";
import { F, O } from "../../src/linux/call/constants";
import type { Fd } from "../../src/linux/call/fd";
import { syscallOn } from "../../src/linux/call/syscall";
import { Changes } from "../../src/linux/file/epoll";
import { Pipe } from "../../src/linux/file/pipe";
import { waitFor } from "../../src/linux/file/poll";
import { readWaiting, writeAllWaiting } from "../../src/linux/file/stream";
import { socketPair } from "../../src/linux/file/unix-socket";

function frame(type: number, number: number, data: string | Uint8Array = ""): Uint8Array {
  const bytes = typeof data === "string" ? bytesOf(data) : data;
  return concatenated([new Uint8Array(new BigUint64Array([frameHeader(type, number)]).buffer), bytes]);
}

function neverWaiting(fd: Fd): Fd {
  syscallOn(fd.name, "fcntl", fd.number, F.SETFL, O.NONBLOCK);
  return fd;
}

/** A relay, the host's end of its port, and the program's ends of its streams. */
class Relayed implements Disposable {
  readonly told: [number, number][] = [];
  readonly relay: StreamRelay;
  readonly host: Fd;
  readonly input = new Pipe("input");
  readonly output = new Pipe("output");
  readonly error = new Pipe("error");
  hangUps = 0;

  constructor() {
    const [host, port] = socketPair("port");
    this.host = host;
    const streams = {
      input: neverWaiting(this.input.write),
      output: neverWaiting(this.output.read),
      error: neverWaiting(this.error.read),
    };
    this.relay = new StreamRelay(neverWaiting(port), streams, {
      tell: (type, number) => this.told.push([type, number]),
      hangUp: () => this.hangUps++,
    });
    this.relay.pump();
  }

  /** All that the host was sent up to now. */
  sent(): Uint8Array {
    const parts: Uint8Array[] = [];
    for (;;) {
      this.relay.pump();
      if (!waitFor(this.host, "read", 0)) return concatenated(parts);
      parts.push(readWaiting(this.host));
    }
  }

  send(...frames: Uint8Array[]): void {
    writeAllWaiting(this.host, concatenated(frames));
    this.relay.pump();
  }

  [Symbol.dispose](): void {
    for (const each of [this.input, this.output, this.error]) each[Symbol.dispose]();
    this.host.close();
  }
}

describe("a relay of streams", () => {
  test("frames both outputs, and tells of the end last", () => {
    using it = new Relayed();
    writeAllWaiting(it.output.write, "out");
    writeAllWaiting(it.error.write, "err");
    it.relay.end(7);
    const expected = [
      frame(TO_HOST.output, 3, "out"),
      frame(TO_HOST.error, 3, "err"),
      frame(TO_HOST.ended, 7),
    ];
    expect(it.sent()).toEqual(concatenated(expected));
    expect(it.relay.isOver).toBeFalse();
    it.host.close();
    it.relay.pump();
    expect(it.relay.isOver).toBeTrue();
    expect(it.hangUps).toBe(0);
  });

  test("holds output back while the host does not read, and loses nothing", () => {
    using it = new Relayed();
    const part = new Uint8Array(60_000).fill(65);
    let written = 0;
    for (let round = 0; round < 20; round++) {
      if (!waitFor(it.output.write, "write", 0)) break;
      neverWaiting(it.output.write);
      written += Math.max(0, syscallOn("output", "write", it.output.write.number, part, part.length));
      it.relay.pump();
    }
    // the socket has a limit, and so has the pipe
    expect(written).toBeLessThan(20 * part.length);
    it.relay.end(0);
    const all = it.sent();
    let data = 0;
    for (let at = 0; at < all.length; ) {
      const word = new DataView(all.buffer, all.byteOffset + at).getBigUint64(0, true);
      const size = Number(word & 0xffn) === TO_HOST.output ? Number(word >> 8n) : 0;
      data += size;
      at += HEADER_SIZE + size;
    }
    expect(data).toBe(written);
    expect(all.subarray(-HEADER_SIZE)).toEqual(frame(TO_HOST.ended, 0));
  });

  test("feeds standard input in whatever parts it comes, gives credit for it, and ends it", () => {
    using it = new Relayed();
    const all = concatenated([
      frame(TO_GUEST.input, 5, "hello"),
      frame(TO_GUEST.signal, 15),
      frame(TO_GUEST.input, 0),
    ]);
    for (let at = 0; at < all.length; at += 3) it.send(all.slice(at, at + 3));
    expect(textOf(readWaiting(it.input.read))).toBe("hello");
    expect(readWaiting(it.input.read)).toHaveLength(0);
    expect(it.told).toEqual([[TO_GUEST.signal, 15]]);
    using other = new Relayed();
    const part = new Uint8Array(INPUT_WINDOW / 4);
    other.send(frame(TO_GUEST.input, part.length, part));
    expect(other.sent()).toEqual(frame(TO_HOST.credit, part.length));
  });

  test("takes input for a program that does not read it, so that more can come", () => {
    using it = new Relayed();
    it.input.read.close();
    const part = new Uint8Array(INPUT_WINDOW / 2);
    it.send(frame(TO_GUEST.input, part.length, part));
    expect(it.sent()).toEqual(frame(TO_HOST.credit, part.length));
  });

  test("closes an output that nobody reads any more, for the program to see", () => {
    using it = new Relayed();
    it.send(frame(TO_GUEST.outputClosed, 0));
    expect(() => writeAllWaiting(it.output.write, "x")).toThrow("broken pipe");
    writeAllWaiting(it.error.write, "err");
    expect(it.sent()).toEqual(frame(TO_HOST.error, 3, "err"));
  });

  test("tells of a host that hangs up before the end", () => {
    using it = new Relayed();
    it.host.close();
    it.relay.pump();
    expect([it.hangUps, it.relay.isOver]).toEqual([1, false]);
    it.relay.end(137);
    expect([it.hangUps, it.relay.isOver]).toEqual([1, true]);
  });

  test("that has gone before it was seen has hung up too, a while later", () => {
    const [host, port] = socketPair("port");
    host.close();
    let hangUps = 0;
    using input = new Pipe("input");
    using output = new Pipe("output");
    const streams = { input: input.write, output: neverWaiting(output.read) };
    const events = { tell: () => undefined, hangUp: () => hangUps++ };
    using relay = new StreamRelay(neverWaiting(port), streams, events, 300);
    relay.pump();
    relay.look();
    expect(hangUps).toBe(0);
    Bun.sleepSync(310);
    relay.look();
    relay.look();
    expect(hangUps).toBe(1);
  });
});

test("changes of descriptors are told once each", () => {
  using pipe = new Pipe("pipe");
  using changes = new Changes();
  let called = 0;
  changes.watch(pipe.read, () => called++);
  changes.wait(0);
  expect(called).toBe(0);
  writeAllWaiting(pipe.write, "x");
  changes.wait(1000);
  changes.wait(0);
  expect(called).toBe(1);
  writeAllWaiting(pipe.write, "y");
  changes.wait(1000);
  expect(called).toBe(2);
  // an end that stays one
  pipe.write.close();
  changes.wait(1000);
  changes.wait(0);
  expect(called).toBe(3);
  changes.forget(pipe.read);
});
