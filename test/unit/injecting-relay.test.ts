// Two sockets whose first one's requests get headers: what waits for an answer, keeps its order, and ends.
import { expect, test } from "bun:test";
import { concatenated } from "../../src/linux/call/bytes";
import type { Fd } from "../../src/linux/call/fd";
import { trySyscall } from "../../src/linux/call/syscall";
import { InjectingRelay } from "../../src/network/injecting-relay";
import { RequestHeads } from "../../src/network/request-heads";
import { EAGAIN, ECONNRESET, noMore, Serving, send, tcpPair } from "./relay-sockets";

const GET = "GET / HTTP/1.1\r\nHost: h.test\r\n";
const ASKED = `${GET}Connection: Upgrade\r\nUpgrade: websocket\r\n`;
const SWITCHED = "HTTP/1.1 101 Switching Protocols\r\n\r\n";
const IGNORED = "HTTP/1.1 204 No Content\r\n\r\n";
const IN = "A: b\r\n\r\n";

class Relayed extends Serving implements Disposable {
  readonly program: Fd;
  readonly host: Fd;
  readonly relay: InjectingRelay;
  end: { sent: number; received: number; error: string | undefined } | undefined;

  constructor() {
    super();
    const [program, first] = tcpPair();
    const [second, host] = tcpPair();
    [this.program, this.host] = [program, host];
    const requests = new RequestHeads([{ name: "A", value: "b" }], "h.test", 80);
    this.relay = new InjectingRelay(this.changes, first, second, requests, (sent, received, error) => {
      this.end = { sent, received, error };
    });
  }

  /** Whether nothing comes. */
  isSilent(socket: Fd): boolean {
    for (let turn = 0; turn < 5; turn++) this.changes.wait(5);
    return trySyscall("read", socket.number, new Uint8Array(1), 1) === EAGAIN;
  }

  [Symbol.dispose](): void {
    this.relay[Symbol.dispose]();
    for (const socket of [this.program, this.host]) socket.close();
    // sockets that are closed later
    for (let turn = 0; turn < 2; turn++) this.changes.wait(0);
    this.changes[Symbol.dispose]();
  }
}

function sendAll(socket: Fd, text: string): void {
  expect(send(socket, text)).toBe(text.length);
}

test("what comes behind a request for a websocket waits for the answer, and is then what it was", () => {
  for (const [answer, got] of [
    [SWITCHED, `${GET}\r\n`],
    [IGNORED, `${GET}${IN}`],
  ] as const) {
    using relayed = new Relayed();
    const { program, host } = relayed;
    sendAll(program, `${ASKED}\r\n${GET}`);
    expect(relayed.text(host)).toBe(`${ASKED}${IN}`);
    sendAll(program, "\r\n");
    expect(relayed.isSilent(host)).toBe(true);
    sendAll(host, answer);
    expect(relayed.text(program)).toBe(answer);
    let text = "";
    while (text.length < got.length) text += relayed.text(host);
    expect(text).toBe(got);
    for (const socket of [program, host]) noMore(socket);
    expect(relayed.until(() => relayed.end)).toMatchObject({ error: undefined });
  }
});

test("what waits is bounded, and keeps its order where the host is slow", () => {
  using relayed = new Relayed();
  const { program, host } = relayed;
  sendAll(program, `${ASKED}\r\n`);
  expect(relayed.text(host)).toBe(`${ASKED}${IN}`);
  const all = Uint8Array.from({ length: 12 << 20 }, (_, at) => at % 251);
  let written = 0;
  const write = () => {
    const count = trySyscall("write", program.number, all.subarray(written), all.length - written);
    if (count > 0) written += count;
    return count;
  };
  // until no more is taken for a while: the kernel's buffers are full
  for (let silent = 0; silent < 50; relayed.changes.wait(2)) silent = write() > 0 ? 0 : silent + 1;
  expect(written).toBeLessThan(all.length);
  sendAll(host, SWITCHED);
  expect(relayed.text(program)).toBe(SWITCHED);
  const parts: Uint8Array[] = [];
  for (let length = 0; length < all.length; ) {
    write();
    const part = relayed.received(host);
    if (typeof part === "number") throw new Error(`an error: ${part}`);
    parts.push(part);
    length += part.length;
  }
  expect(Buffer.from(concatenated(parts)).equals(Buffer.from(all))).toBe(true);
});

test("what isn't for the host is cut off once it has answered otherwise", () => {
  using relayed = new Relayed();
  const { program, host } = relayed;
  sendAll(program, `${ASKED}\r\n${GET.replace("h.test", "other.test")}\r\n`);
  expect(relayed.text(host)).toBe(`${ASKED}${IN}`);
  sendAll(host, IGNORED);
  expect(relayed.text(program)).toBe(ECONNRESET);
  expect(relayed.text(host)).toBe(ECONNRESET);
  expect(relayed.until(() => relayed.end)).toMatchObject({ error: "EBADMSG" });
});

test("an end comes through where no answer has", () => {
  using ofProgram = new Relayed();
  sendAll(ofProgram.program, `${ASKED}\r\n`);
  noMore(ofProgram.program);
  expect(ofProgram.text(ofProgram.host)).toBe(`${ASKED}${IN}`);
  expect(ofProgram.text(ofProgram.host)).toBe("");
  using ofHost = new Relayed();
  sendAll(ofHost.program, `${ASKED}\r\n${GET}`);
  expect(ofHost.text(ofHost.host)).toBe(`${ASKED}${IN}`);
  noMore(ofHost.host);
  expect(ofHost.text(ofHost.program)).toBe("");
  noMore(ofHost.program);
  expect(ofHost.text(ofHost.host)).toBe("");
  expect(ofHost.until(() => ofHost.end)).toMatchObject({ error: undefined });
});
