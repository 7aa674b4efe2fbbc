import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { addressesOf, parseAddress } from "../../src/dbus/address";
import { Connection } from "../../src/dbus/connection";
import { marshal } from "../../src/dbus/marshal";
import { decodeMessage, encodeMessage, messageLength } from "../../src/dbus/message";
import { parseSignature } from "../../src/dbus/signature";
import { unmarshal } from "../../src/dbus/unmarshal";

const hex = (text: string) => Buffer.from(text.replaceAll(/\s/g, ""), "hex");

describe("signatures", () => {
  test("types within types", () => {
    expect(parseSignature("sa(sv)")).toEqual([
      { kind: "basic", code: "s" },
      {
        kind: "array",
        element: { kind: "struct", fields: [{ kind: "basic", code: "s" }, { kind: "variant" }] },
      },
    ]);
    expect(parseSignature("")).toEqual([]);
  });

  test.each(["a", "(", "(s", "()", "s)", "{sv}", "a{s}", "a{vs}", "a{svs}", "z", "h", "a".repeat(300)])(
    "%p is none",
    (text) => {
      expect(() => parseSignature(text)).toThrow("is not a D-Bus signature");
    },
  );
});

describe("marshalling", () => {
  // worked out by hand from the specification's "Marshaling (Wire Format)"
  test.each([
    ["y", [7], "07"],
    ["b", [true], "01000000"],
    ["n", [-2], "feff"],
    ["yq", [1, 0x1234], "01003412"],
    ["yi", [1, -1], "01000000ffffffff"],
    ["yx", [1, -2n], "0100000000000000feffffffffffffff"],
    ["t", [2n ** 64n - 1n], "ffffffffffffffff"],
    ["d", [1.5], "000000000000f83f"],
    ["s", ["foo"], "03000000666f6f00"],
    ["ys", [1, ""], "010000000000000000"],
    ["g", ["a(sv)"], "056128737629 00"],
    ["au", [[1, 2]], "080000000100000002000000"],
    ["as", [[]], "00000000"],
    // an empty array is padded up to where its first element would be
    ["at", [[]], "0000000000000000"],
    ["ay", [new Uint8Array([1, 2, 3])], "03000000010203"],
    ["v", [{ signature: "u", value: 5 }], "0175000005000000"],
    ["yv", [1, { signature: "t", value: 5n }], "0101740000000000 0500000000000000"],
    ["(yu)", [[1, 2]], "0100000002000000"],
    // the example of the specification: two structs, each at a multiple of 8
    [
      "a(yy)",
      [
        [
          [1, 2],
          [3, 4],
        ],
      ],
      "0a00000000000000 0102000000000000 0304",
    ],
    [
      "a{sv}",
      [[["a", { signature: "b", value: true }]]],
      "1000000000000000 0100000061000162 00000000 01000000",
    ],
  ] as const)("%s of %p", (signature, values, expected) => {
    const bytes = marshal(signature, values as never);
    expect(bytes.toString("hex")).toBe(expected.replaceAll(" ", ""));
    expect(unmarshal(signature, bytes, true)).toEqual(values as never);
  });

  test("big-endian numbers are read", () => {
    expect(unmarshal("uqt", hex("00000005 0007 0000 0000000000000009"), false)).toEqual([5, 7, 9n]);
  });

  test("what it writes it reads", () => {
    const variant = fc.oneof(
      fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }).map((value) => ({ signature: "t", value })),
      fc.string().map((value) => ({ signature: "s", value: value.replaceAll("\0", "") })),
      fc.boolean().map((value) => ({ signature: "b", value })),
    );
    const properties = fc.array(fc.tuple(fc.stringMatching(/^[a-z]*$/), variant));
    fc.assert(
      fc.property(fc.nat(255), properties, (first, list) => {
        expect(unmarshal("ya(sv)", marshal("ya(sv)", [first, list]), true)).toEqual([first, list]);
      }),
    );
  });

  test("bytes that are cut, or whatever, are an error and nothing worse", () => {
    const bytes = marshal("sa(sv)", ["unit", [["A", { signature: "as", value: ["x", "y"] }]]]);
    for (let length = 0; length < bytes.length; length++) {
      expect(() => unmarshal("sa(sv)", bytes.subarray(0, length), true)).toThrow();
    }
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (random) => {
        try {
          unmarshal("a(sv)", Buffer.from(random), true);
        } catch (error) {
          expect((error as Error).name).toBe("HakoError");
        }
      }),
    );
  });
});

describe("messages", () => {
  // recorded from dbus-send (libdbus)
  const HELLO = hex(`
    6c01000100000000010000006e00000001016f00150000002f6f72672f667265656465736b746f702f44427573000000
    06017300140000006f72672e667265656465736b746f702e444275730000000002017300140000006f72672e66726565
    6465736b746f702e4442757300000000030173000500000048656c6c6f000000`);
  const STOP_UNIT = hex(`
    6c0100011800000002000000a000000001016f00190000002f6f72672f667265656465736b746f702f73797374656d64
    310000000000000002017300200000006f72672e667265656465736b746f702e73797374656d64312e4d616e61676572
    0000000000000000030173000800000053746f70556e6974000000000000000006017300180000006f72672e66726565
    6465736b746f702e73797374656d64310000000000000000080167000273730007000000782e73636f70650007000000
    7265706c61636500`);

  test.each([
    [
      HELLO,
      {
        kind: "call",
        serial: 1,
        path: "/org/freedesktop/DBus",
        interface: "org.freedesktop.DBus",
        member: "Hello",
        destination: "org.freedesktop.DBus",
        body: [],
      },
    ],
    [
      STOP_UNIT,
      {
        kind: "call",
        serial: 2,
        path: "/org/freedesktop/systemd1",
        interface: "org.freedesktop.systemd1.Manager",
        member: "StopUnit",
        destination: "org.freedesktop.systemd1",
        signature: "ss",
        body: ["x.scope", "replace"],
      },
    ],
  ] as const)("calls are those of libdbus, but for the order of the header's fields", (recorded, call) => {
    expect(messageLength(recorded)).toBe(recorded.length);
    expect(decodeMessage(recorded)).toEqual(call);
    const encoded = encodeMessage(call);
    expect(encoded.length).toBe(recorded.length);
    // byte order, kind, version, length of the body, serial
    expect(encoded.subarray(0, 12)).toEqual(recorded.subarray(0, 12));
    const body = recorded.length - recorded.readUInt32LE(4);
    expect(encoded.subarray(body)).toEqual(recorded.subarray(body));
    expect(decodeMessage(encoded)).toEqual(call);
  });

  test("a signal with a body", () => {
    const signal = {
      kind: "signal",
      serial: 9,
      path: "/a",
      interface: "a.b",
      member: "JobRemoved",
      sender: ":1.0",
      signature: "uoss",
      body: [5, "/job/5", "x.scope", "done"],
    } as const;
    const bytes = encodeMessage(signal);
    expect(messageLength(bytes.subarray(0, 15))).toBe(undefined);
    expect(messageLength(Buffer.concat([bytes, bytes]))).toBe(bytes.length);
    expect(decodeMessage(bytes)).toEqual(signal);
  });
});

describe("addresses", () => {
  test.each([
    ["unix:path=/run/dbus/system_bus_socket", ["/run/dbus/system_bus_socket"]],
    ["unix:path=/a%20b%3ac,guid=123", ["/a b:c"]],
    ["unix:path=/a%c3%a9%ff", ["/a\u00e9\udcff"]],
    ["unix:path=/with:colon", ["/with:colon"]],
    ["tcp:host=a,port=1;unix:abstract=/tmp/x;unix:path=/y", ["@/tmp/x", "/y"]],
  ])("%p", (text, sockets) => {
    expect(parseAddress(text).map(({ socket }) => socket)).toEqual(sockets);
  });

  test("one without a unix socket", () => {
    expect(() => parseAddress("tcp:host=a,port=1")).toThrow("names no unix socket");
  });

  test("what the environment says first, then systemd's own socket, then the bus", () => {
    const sockets = (scope: "system" | "user", environment: Record<string, string>) =>
      addressesOf(scope, (name) => environment[name]).map(
        ({ socket, peer }) => `${socket}${peer ? " (peer)" : ""}`,
      );
    expect(sockets("system", { XDG_RUNTIME_DIR: "/x", DBUS_SESSION_BUS_ADDRESS: "unix:path=/y" })).toEqual([
      "/run/systemd/private (peer)",
      "/run/dbus/system_bus_socket",
    ]);
    expect(sockets("user", { XDG_RUNTIME_DIR: "/x", DBUS_SESSION_BUS_ADDRESS: "unix:path=/y" })).toEqual([
      "/y",
      "/x/systemd/private (peer)",
      "/x/bus",
    ]);
    expect(sockets("user", {})).toEqual([]);
  });
});

describe("a connection", () => {
  const dir = mkdtempSync(join(tmpdir(), "hako-test-dbus-"));
  afterAll(() => rmSync(dir, { recursive: true }));

  /** A server in a process of its own, since the client waits: answers each line and message of the client's with the next part. */
  async function serve(
    name: string,
    parts: readonly (string | Buffer)[],
    socket = join(dir, name),
  ): Promise<string> {
    const words = parts.map((part) => Buffer.from(part).toString("hex"));
    const script = `
      const parts = ${JSON.stringify(words)}.map((part) => Buffer.from(part, "hex"));
      let input = Buffer.alloc(0);
      let begun = false;
      /** Whether a line that wants an answer, or a message, has come as a whole. */
      function next() {
        if (begun) {
          if (input.length < 16) return undefined;
          const header = 16 + input.readUInt32LE(12);
          const length = header + ((8 - (header % 8)) % 8) + input.readUInt32LE(4);
          if (input.length < length) return undefined;
          input = input.subarray(length);
          return true;
        }
        const end = input.indexOf("\\r\\n");
        if (end < 0) return undefined;
        begun = input.toString("latin1", 0, end) === "BEGIN";
        input = input.subarray(end + 2);
        return !begun;
      }
      Bun.listen({ unix: ${JSON.stringify(socket)}, socket: { data(socket, data) {
        input = Buffer.concat([input, data]);
        for (let asked = next(); asked !== undefined; asked = next()) {
          const part = asked ? parts.shift() : "";
          if (part === undefined) socket.end(); else socket.write(part);
        }
      } } });
      console.log("ready");
      setTimeout(() => process.exit(), 10_000);`;
    const server = Bun.spawn([process.execPath, "-e", script], { stdout: "pipe" });
    servers.push(server);
    await server.stdout.getReader().read();
    return socket;
  }
  const servers: Bun.Subprocess[] = [];
  afterAll(() => {
    for (const server of servers) server.kill();
  });

  const answer = (body: readonly never[] | readonly string[], serial: number) =>
    encodeMessage({
      kind: "reply",
      serial: 7,
      replySerial: serial,
      signature: body.length === 0 ? "" : "s",
      body,
    });
  const call = { destination: "a.b", path: "/a", interface: "a.b", member: "C" };

  test("greets, says hello to a bus, keeps signals until they are asked for", async () => {
    const signal = encodeMessage({
      kind: "signal",
      serial: 3,
      path: "/a",
      interface: "a.b",
      member: "Done",
      signature: "s",
      body: ["early"],
    });
    const parts = [
      "DATA\r\n",
      "OK 1234\r\n",
      answer([":1.5"], 1),
      Buffer.concat([signal, answer(["yes"], 2)]),
    ];
    using connection = new Connection({ socket: await serve("bus", parts), peer: false });
    expect(connection.tryCall(call)).toEqual({ body: ["yes"], error: undefined });
    const done = { interface: "a.b", member: "Done" };
    expect(connection.waitForSignal(done, 1000, ([word]) => word === "early")).toEqual(["early"]);
    expect(connection.waitForSignal(done, 20, () => true)).toBe(undefined);
  });

  test("an error is an answer; a closed connection is not", async () => {
    const error = encodeMessage({
      kind: "error",
      serial: 5,
      replySerial: 1,
      errorName: "org.freedesktop.systemd1.UnitExists",
      signature: "s",
      body: ["Unit x.scope already exists."],
    });
    using connection = new Connection({
      socket: await serve("peer", ["OK 1\r\n", "OK 1\r\n", error]),
      peer: true,
    });
    expect(connection.tryCall(call)).toEqual({
      body: undefined,
      error: { name: "org.freedesktop.systemd1.UnitExists", message: "Unit x.scope already exists." },
    });
    expect(() => connection.tryCall(call)).toThrow("the other side closed the connection");
  });

  test("abstract names", async () => {
    const name = `hako-test-dbus-${process.pid}`;
    await serve("abstract", ["DATA\r\n", "OK 1\r\n"], `\0${name}`);
    using connection = new Connection({ socket: `@${name}`, peer: true });
    expect(() => connection.tryCall(call)).toThrow("the other side closed the connection");
  });

  test("who is refused is told", async () => {
    const socket = await serve("no", ["REJECTED EXTERNAL\r\n"]);
    expect(() => new Connection({ socket, peer: true })).toThrow("refuses this user: REJECTED EXTERNAL");
    expect(() => new Connection({ socket: join(dir, "missing"), peer: true })).toThrow("no such file");
  });
});
