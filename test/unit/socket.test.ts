import { afterAll, describe, expect, test } from "bun:test";
import {
  closeSync,
  fstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { textOf } from "../../src/linux/call/bytes";
import { recvFd, recvFds, sendFd, sendFds } from "../../src/linux/file/descriptor-passing";
import { waitFor } from "../../src/linux/file/poll";
import { readAllWaiting, readWaiting, writeAllWaiting } from "../../src/linux/file/stream";
import { accept, socketPair, unixConnect, unixListen } from "../../src/linux/file/unix-socket";

const dir = mkdtempSync(join(tmpdir(), "hako-socket-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

function openFds(): number {
  return readdirSync("/proc/self/fd").length;
}

describe("descriptors over sockets", () => {
  test("exactly one arrives, with its name, close-on-exec", () => {
    const file = join(dir, "file");
    writeFileSync(file, "content");
    const [left, right] = socketPair("pair");
    using a = left;
    using b = right;
    const sent = openSync(file, "r");
    sendFd(a, sent, "/dev/ptmx");
    closeSync(sent);
    const { fd, name } = recvFd(b);
    using received = fd;
    expect(name).toBe("/dev/ptmx");
    expect(readFileSync(received.number, "utf8")).toBe("content");
    expect(fstatSync(received.number).ino).toBe(statSync(file).ino);
    const flags = /flags:\s+(\d+)/.exec(readFileSync(`/proc/self/fdinfo/${received.number}`, "utf8"))?.[1];
    expect(Number.parseInt(flags ?? "0", 8) & 0o2000000).not.toBe(0);
  });

  test("names: 4095 bytes fit, 4096 don't, none is refused", () => {
    const [left, right] = socketPair("pair");
    using a = left;
    using b = right;
    const name = "n".repeat(4095);
    sendFd(a, 1, name);
    const got = recvFd(b);
    got.fd.close();
    expect(got.name).toBe(name);
    expect(() => sendFd(a, 1, "n".repeat(4096))).toThrow("sendfd: filename too long");
    expect(() => sendFd(a, 1, "")).toThrow("a name is needed");
  });

  test("many at once, more than one message takes; less is an error, but at the end", () => {
    const before = openFds();
    const [left, right] = socketPair("pair");
    {
      using a = left;
      using b = right;
      for (const count of [0, 1, 2, 300]) {
        sendFds(a, new Array(count).fill(1));
        const got = recvFds(b, count);
        expect(got).toHaveLength(count);
        for (const fd of got) fd.close();
      }
      sendFds(a, [1, 2]);
      expect(() => recvFds(b, 3)).toThrow("2 of 3 came");
      a.close();
      expect(recvFds(b, 3)).toEqual([]);
    }
    expect(openFds()).toBe(before);
  });

  test("a message without a descriptor, and a closed peer", () => {
    const before = openFds();
    const [left, right] = socketPair("pair");
    writeAllWaiting(left, "words");
    expect(() => recvFd(right)).toThrow("the message has none");
    left.close();
    expect(() => recvFd(right)).toThrow("closed the socket");
    right.close();
    expect(openFds()).toBe(before);
  });
});

describe("paths of sockets", () => {
  const rows = ["short.sock", `${"d".repeat(100)}/${"e".repeat(100)}/long.sock`];
  for (const name of rows) {
    test(`${name.length} characters`, () => {
      const path = join(dir, name);
      mkdirSync(join(path, ".."), { recursive: true });
      using listener = unixListen(path);
      expect(statSync(path).mode & 0o777).toBe(0o600);
      expect(waitFor(listener, "read", 0)).toBe(false);
      const client = unixConnect(path);
      using server = accept(listener);
      writeAllWaiting(client, "hello");
      client.close();
      expect(textOf(readWaiting(server, 2))).toBe("he");
      expect(textOf(readAllWaiting(server))).toBe("llo");
    });
  }

  test("errors name the path", () => {
    expect(() => unixConnect(join(dir, "none"))).toThrow(
      `connect ${join(dir, "none")}: no such file or directory`,
    );
    const path = join(dir, "taken");
    writeFileSync(path, "");
    expect(() => unixListen(path)).toThrow(`bind ${path}: address already in use`);
    expect(() => unixConnect(path)).toThrow("connection refused");
    expect(() => unixConnect("")).toThrow("is not a path of a unix socket");
  });
});
