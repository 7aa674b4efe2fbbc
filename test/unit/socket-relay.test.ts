// Pairs of sockets whose bytes, ends and errors are passed on.
import { describe, expect, spyOn, test } from "bun:test";
import { readdirSync } from "node:fs";
import { concatenated } from "../../src/linux/call/bytes";
import type { Fd } from "../../src/linux/call/fd";
import { trySyscall } from "../../src/linux/call/syscall";
import {
  listenAt,
  localEndpoint,
  startConnection,
  trySocketOption,
} from "../../src/linux/network/inet-socket";
import { type RelayEnd, SocketRelay } from "../../src/linux/network/socket-relay";
import { getLimit, setLimit } from "../../src/linux/process/rlimit";
import { ECONNRESET, FullListener, LOOPBACK, noMore, Serving, send, tcpPair } from "./relay-sockets";

/** A relay between a client and a server. */
class Relayed extends Serving implements Disposable {
  readonly relay = new SocketRelay(this.changes);
  readonly ends: RelayEnd[] = [];

  add(): { client: Fd; server: Fd } {
    const [client, first] = tcpPair();
    const [second, server] = tcpPair();
    this.relay.add(first, second, (end) => this.ends.push(end));
    return { client, server };
  }

  ended(): RelayEnd {
    return this.until(() => this.ends.shift());
  }

  [Symbol.dispose](): void {
    this.relay[Symbol.dispose]();
    this.changes[Symbol.dispose]();
  }
}

function reset(socket: Fd): void {
  trySocketOption(socket, "SO_LINGER", 1, 0);
  socket.close();
}

function openFds(): number {
  return readdirSync("/proc/self/fd").length;
}

describe("a relay of sockets", () => {
  test("who doesn't answer is waited for a second, and then was never connected", () => {
    using full = new FullListener();
    using relayed = new Relayed();
    const [client, first] = tcpPair();
    send(client, "question");
    relayed.relay.add(first, startConnection(full.place), (end) => relayed.ends.push(end));
    noMore(client);
    relayed.changes.wait(0);
    const isSending = () => relayed.relay.isSending;
    expect(isSending()).toBe(true);
    const now = performance.now();
    const clock = spyOn(performance, "now").mockReturnValue(now + 1500);
    expect(isSending()).toBe(false);
    // others have answered
    const connected = relayed.add();
    expect(isSending()).toBe(true);
    clock.mockReturnValue(now + 3000);
    expect(isSending()).toBe(true);
    clock.mockRestore();
    relayed.relay[Symbol.dispose]();
    expect(relayed.ends.map(({ error }) => error)).toEqual(["ECANCELED", "ECONNABORTED"]);
    for (const socket of [client, connected.client, connected.server]) socket.close();
  });

  test("bytes go both ways, each direction ends for itself, and both are counted", () => {
    const before = openFds();
    {
      using relayed = new Relayed();
      const { client, server } = relayed.add();
      send(client, "question");
      expect(relayed.text(server)).toBe("question");
      noMore(client);
      expect(relayed.text(server)).toBe("");
      send(server, "a long answer");
      expect(relayed.text(client)).toBe("a long answer");
      expect(relayed.relay.count).toBe(1);
      server.close();
      expect(relayed.text(client)).toBe("");
      expect(relayed.ended()).toEqual({ sent: 8, received: 13, error: undefined });
      expect(relayed.relay.count).toBe(0);
      client.close();
    }
    // what tests before this one have left to be closed may be closed meanwhile
    expect(openFds()).toBeLessThanOrEqual(before);
  });

  test("what came before the sockets were given to it is passed on", () => {
    using relayed = new Relayed();
    const [client, first] = tcpPair();
    const [second, server] = tcpPair();
    send(client, "early");
    client.close();
    relayed.relay.add(first, second, (end) => relayed.ends.push(end));
    expect(relayed.text(server)).toBe("early");
    expect(relayed.text(server)).toBe("");
    server.close();
    expect(relayed.ended().error).toBeUndefined();
  });

  test("16 MiB each way at once arrive whole, when nobody reads for a while too", () => {
    using relayed = new Relayed();
    const { client, server } = relayed.add();
    const size = 16 << 20;
    const block = Uint8Array.from({ length: 1 << 16 }, (_, at) => (at * 7 + (at >> 8)) & 0xff);
    const sides = [client, server].map((socket) => ({ socket, sent: 0, got: 0, right: true }));
    for (let turn = 0; sides.some(({ got }) => got < size); turn++) {
      if (turn > 100_000) throw new Error("it took too long");
      for (const side of sides) {
        const rest = block.subarray(side.sent % block.length);
        if (side.sent < size) side.sent += Math.max(0, send(side.socket, rest));
        if (turn < 50) continue;
        const buffer = new Uint8Array(1 << 16);
        const length = trySyscall("read", side.socket.number, buffer, buffer.length);
        for (let at = 0; at < length; at++)
          side.right &&= buffer[at] === block[(side.got + at) % block.length];
        side.got += Math.max(0, length);
      }
      relayed.changes.wait(0);
    }
    expect(sides.map(({ got, right }) => [got, right])).toEqual([
      [size, true],
      [size, true],
    ]);
    client.close();
    server.close();
    expect(relayed.ended()).toEqual({ sent: size, received: size, error: undefined });
  });

  test("messages that nobody reads for a while, and those that follow", () => {
    using relayed = new Relayed();
    const { client, server } = relayed.add();
    const size = (at: number) => 1 + ((at * 977) % 5000);
    const sent: Uint8Array[] = [];
    // until the client's own side is full: a message of which a part is sent waits with the rest
    for (let at = 0, silent = 0; silent < 50; ) {
      const bytes = new Uint8Array(size(at)).fill(at++);
      const went = send(client, bytes);
      silent = went < 0 ? silent + 1 : 0;
      if (went > 0) sent.push(bytes.subarray(0, went));
      relayed.changes.wait(0);
    }
    const all = concatenated(sent);
    trySyscall("shutdown", client.number, 1);
    const came: Uint8Array[] = [];
    for (let bytes = relayed.received(server); typeof bytes !== "number" && bytes.length > 0; ) {
      came.push(bytes);
      bytes = relayed.received(server);
    }
    expect(concatenated(came)).toEqual(all);
    server.close();
    expect(relayed.ended()).toEqual({ sent: all.length, received: 0, error: undefined });
    client.close();
  });

  for (const who of ["client", "server"] as const)
    test(`a reset of the ${who}'s reaches the other one, after what was sent before`, () => {
      using relayed = new Relayed();
      const sockets = relayed.add();
      const other = who === "client" ? sockets.server : sockets.client;
      send(sockets[who], "last words");
      expect(relayed.text(other)).toBe("last words");
      reset(sockets[who]);
      expect(relayed.received(other)).toBe(ECONNRESET);
      expect(relayed.ended().error).toBe("ECONNRESET");
      other.close();
    });

  test("a server that has answered and closed resets who goes on sending", () => {
    using relayed = new Relayed();
    const { client, server } = relayed.add();
    send(server, "no");
    server.close();
    expect(relayed.text(client)).toBe("no");
    expect(relayed.text(client)).toBe("");
    send(client, "but");
    expect(["ECONNRESET", "EPIPE"]).toContain(relayed.ended().error as string);
    client.close();
  });

  test("of sockets that are being connected: a refusal resets the other one", () => {
    using relayed = new Relayed();
    const listener = listenAt(LOOPBACK);
    const nobody = localEndpoint(listener);
    listener.close();
    const [client, first] = tcpPair();
    send(client, "hello");
    relayed.relay.add(first, startConnection(nobody), (end) => relayed.ends.push(end));
    expect(relayed.ended()).toEqual({ sent: 0, received: 0, error: "ECONNREFUSED" });
    expect(relayed.received(client)).toBe(ECONNRESET);
    client.close();
  });

  test("a flood does not keep others waiting", () => {
    using relayed = new Relayed();
    const flood = relayed.add();
    const { client, server } = relayed.add();
    const block = new Uint8Array(1 << 20);
    let [flooded, came] = [0, 0];
    // the kernel may take its time for what is sent, but the flood goes on for as long
    for (let turn = 0; came < 15; turn++) {
      if (turn > 10_000) throw new Error("it took too long");
      for (let more = 0; more < 4; more++) send(flood.client, block);
      flooded += Math.max(0, trySyscall("read", flood.server.number, block, block.length));
      send(client, "x");
      relayed.changes.wait(0);
      relayed.changes.wait(0);
      came += Math.max(0, trySyscall("read", server.number, new Uint8Array(64), 64));
    }
    expect(flooded).toBeGreaterThan(1 << 20);
    for (const socket of [flood.client, flood.server, client, server]) socket.close();
  });

  test("a thousand connections at once, of which each holds two sockets and no pipe", () => {
    using relayed = new Relayed();
    const before = openFds();
    const pairs = Array.from({ length: 1000 }, () => relayed.add());
    for (const { client } of pairs) send(client, "x");
    for (const { server } of pairs) expect(relayed.text(server)).toBe("x");
    // 32 pipes are kept, and each pair has an end of its own in this process
    expect(openFds() - before).toBeLessThanOrEqual(4 * 1000 + 64);
    for (const { client } of pairs) client.close();
    for (const { server } of pairs) server.close();
    relayed.until(() => (relayed.relay.count === 0 ? true : undefined));
    expect(openFds() - before).toBeLessThanOrEqual(64);
  });

  test("without descriptors for more pipes connections share the one that there is", () => {
    using relayed = new Relayed();
    const pairs = Array.from({ length: 20 }, () => relayed.add());
    const limit = getLimit(0, "RLIMIT_NOFILE");
    setLimit(0, "RLIMIT_NOFILE", { ...limit, soft: 3n });
    try {
      for (const { client } of pairs) send(client, "x");
      for (const { server } of pairs) expect(relayed.text(server)).toBe("x");
    } finally {
      setLimit(0, "RLIMIT_NOFILE", limit);
    }
    for (const { client, server } of pairs) {
      client.close();
      server.close();
    }
    relayed.until(() => (relayed.relay.count === 0 ? true : undefined));
  });

  test("those that wait for the one pipe that there is are served in turns, not one within the other", () => {
    using relayed = new Relayed();
    const full = relayed.add();
    const pairs = Array.from({ length: 200 }, () => relayed.add());
    const limit = getLimit(0, "RLIMIT_NOFILE");
    setLimit(0, "RLIMIT_NOFILE", { ...limit, soft: 3n });
    const buffer = new Uint8Array(1 << 20);
    const served = () =>
      pairs.filter(({ server }) => trySyscall("read", server.number, buffer, buffer.length) > 0).length;
    try {
      // what nobody reads is in the pipe
      for (let silent = 0; silent < 20; relayed.changes.wait(0))
        silent = send(full.client, buffer) < 0 ? silent + 1 : 0;
      for (const { client } of pairs) send(client, "x");
      for (let turn = 0; turn < 20; turn++) relayed.changes.wait(0);
      expect(served()).toBe(0);
      full.client.close();
      let count = 0;
      relayed.until(() => {
        trySyscall("read", full.server.number, buffer, buffer.length);
        const more = served();
        expect(more).toBeLessThan(pairs.length / 2);
        count += more;
        return count === pairs.length ? true : undefined;
      });
    } finally {
      setLimit(0, "RLIMIT_NOFILE", limit);
    }
    full.server.close();
    for (const { client, server } of pairs) {
      client.close();
      server.close();
    }
    relayed.until(() => (relayed.relay.count === 0 ? true : undefined));
  });

  test("those that have not ended when it goes are reset", () => {
    const relayed = new Relayed();
    const { client, server } = relayed.add();
    relayed[Symbol.dispose]();
    expect(relayed.ends).toEqual([{ sent: 0, received: 0, error: "ECONNABORTED" }]);
    expect(relayed.ends.length).toBe(1);
    const buffer = new Uint8Array(1);
    for (const socket of [client, server]) {
      expect(trySyscall("read", socket.number, buffer, 1)).toBe(ECONNRESET);
      socket.close();
    }
  });
});
