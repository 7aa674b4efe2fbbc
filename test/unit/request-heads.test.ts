// Headers that are put into requests of HTTP/1.1, wherever the pieces of a connection end.
import { describe, expect, test } from "bun:test";
import { checkInjected, headersFor, injectedHeader } from "../../src/network/injected-headers";
import { RequestHeads } from "../../src/network/request-heads";
import { networkRule } from "../../src/network/rule";

const HEADERS = [{ name: "Authorization", value: "Bearer x" }];
const IN = "Authorization: Bearer x\r\n\r\n";

/** What a server gets of a text that comes in pieces of so many bytes. */
function through(text: string, size: number): string {
  const heads = new RequestHeads(HEADERS, "h.test", 80);
  const pieces = Math.ceil(text.length / size);
  const sent = Array.from({ length: pieces }, (_, at) =>
    heads.push(Buffer.from(text.slice(at * size, (at + 1) * size), "latin1")),
  );
  return Buffer.concat(sent).toString("latin1");
}

const GET = "GET /a HTTP/1.1\r\nHost: h.test\r\n";
const POST = "POST / HTTP/1.1\r\nHost: h.test\r\n";
const CHUNKED = `${POST}Transfer-Encoding: chunked\r\n`;

describe("requests", () => {
  test.each([
    ["one", `${GET}\r\n`, `${GET}${IN}`],
    ["several", `${GET}\r\n${GET}\r\n`, `${GET}${IN}${GET}${IN}`],
    ["with one of its own", `${GET}authorization: mine\r\n\r\n`, `${GET}${IN}`],
    [
      "with a body that looks like a request",
      `${POST}Content-Length: 19\r\n\r\nGET / HTTP/1.1\r\n\r\nx${GET}\r\n`,
      `${POST}Content-Length: 19\r\n${IN}GET / HTTP/1.1\r\n\r\nx${GET}${IN}`,
    ],
    [
      "in chunks",
      `${CHUNKED}\r\n3;x=y\r\nabc\r\n1\r\n\r\r\n0\r\nA: b\r\n\r\n${GET}\r\n`,
      `${CHUNKED}${IN}3;x=y\r\nabc\r\n1\r\n\r\r\n0\r\nA: b\r\n\r\n${GET}${IN}`,
    ],
    [
      "that wait for a word before their body",
      `${POST}Expect: 100-continue\r\nContent-Length: 2\r\n\r\nab${GET}\r\n`,
      `${POST}Expect: 100-continue\r\nContent-Length: 2\r\n${IN}ab${GET}${IN}`,
    ],
    [
      "with the host in their targets",
      `GET HTTP://H.test:80/a HTTP/1.1\r\nHost: H.TEST.:80\r\n\r\n`,
      `GET HTTP://H.test:80/a HTTP/1.1\r\nHost: H.TEST.:80\r\n${IN}`,
    ],
    [
      "about all",
      "OPTIONS * HTTP/1.0\r\nHost: h.test\r\n\r\n",
      `OPTIONS * HTTP/1.0\r\nHost: h.test\r\n${IN}`,
    ],
    [
      "that could become HTTP/2",
      `${GET}Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMA\r\n\r\n${GET}\r\n`,
      `${GET}${IN}${GET}${IN}`,
    ],
    [
      "with options of a connection, which stay",
      `${GET}Connection: keep-alive, Upgrade,TE\r\nConnection: Close \r\nUpgrade: TLS/1.0\r\n\r\n${GET}\r\n`,
      `${GET}Connection: keep-alive, TE\r\nConnection: Close\r\n${IN}${GET}${IN}`,
    ],
    ...["foo", "TLS/1.0", "websocket, h2c", "h2c, websocket", "websocket/13", ""].map((asked) => [
      `that ask for "${asked}", which most servers ignore`,
      `${GET}Upgrade: ${asked}\r\n\r\n${GET}\r\n`,
      `${GET}${IN}${GET}${IN}`,
    ]),
  ])("%s", (_, sent, got) => {
    for (const size of [1, 2, 7, 1000]) expect(through(sent, size)).toBe(got);
  });

  test.each([
    "PRI * HTTP/2.0\r\n\r\n",
    "CONNECT h:443 HTTP/1.1\r\n\r\n",
    "GET /\r\n\r\n",
    `${GET} folded: x\r\n\r\n`,
    `${GET}Content-Length: 1\r\nContent-Length: 1\r\n\r\n`,
    `${GET}Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n`,
    `${GET}Transfer-Encoding: gzip\r\n\r\n`,
    `${GET}Content-Length: -1\r\n\r\n`,
    `${GET}Content-Length:\r\n\r\n`,
    `${GET}Content-Length: 1, 1\r\n\r\n`,
    `${CHUNKED}Transfer-Encoding: identity\r\n\r\n`,
    `${GET}Transfer-Encoding : chunked\r\n\r\n`,
    `${GET}\tTransfer-Encoding: chunked\r\n\r\n`,
    "POST / HTTP/1.0\r\nHost: h.test\r\nTransfer-Encoding: chunked\r\n\r\n",
    ...["TRACE", "trace", "Track", "TRACK", "connect", "Pri"].map(
      (method) => `${method} / HTTP/1.1\r\nHost: h.test\r\n\r\n`,
    ),
    // without the header behind a server that passes it on
    ...[
      "Connection: authorization",
      "Connection: close, Authorization",
      "Proxy-Connection: AUTHORIZATION",
    ].map((line) => `${GET}${line}\r\n\r\n`),
    ...["Host", "Content-Length", "close,Transfer-Encoding"].map(
      (options) => `${GET}Connection: ${options}\r\n\r\n`,
    ),
    `${CHUNKED}\r\n0\r\nAuthorization: mine\r\n\r\n`,
    `${CHUNKED}\r\n0\r\nHost: other.test\r\n\r\n`,
    // a line that ends with LF alone is one to some servers
    `${GET}A: b\nContent-Length: 1\r\n\r\n`,
    "GET / HTTP/1.1\nHost: h.test\n\nGET / HTTP/1.1\r\nHost: h.test\r\n\r\n",
    `${CHUNKED}\r\nzz\r\n`,
    `${CHUNKED}\r\n3\r\nabcXX0\r\n`,
    `${CHUNKED}\r\n3\r\nabc\nX\r\n`,
    `${CHUNKED}\r\n3\n\r\n`,
    `${CHUNKED}\r\n0\r\nA: b\n\nPOST / HTTP/1.1\nHost: h.test\nContent-Length: 99\n\n\r\n\r\n`,
    // for whom the secret is not
    "GET / HTTP/1.1\r\n\r\n",
    "GET / HTTP/1.0\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: other.test\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a.h.test\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: h.test:8080\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: h.test other.test\r\n\r\n",
    "GET / HTTP/1.1\r\nHost:\r\n\r\n",
    `${GET}Host: other.test\r\n\r\n`,
    `${GET}HOST: h.test\r\n\r\n`,
    "GET http://other.test/ HTTP/1.1\r\nHost: h.test\r\n\r\n",
    "GET http://h.test@other.test/ HTTP/1.1\r\nHost: h.test\r\n\r\n",
    "GET http://h.test\\@other.test/ HTTP/1.1\r\nHost: h.test\r\n\r\n",
    "GET ftp://h.test/ HTTP/1.1\r\nHost: h.test\r\n\r\n",
    "GET other.test/ HTTP/1.1\r\nHost: h.test\r\n\r\n",
    `${GET}\r\nGET / HTTP/1.1\r\nHost: other.test\r\n\r\n`,
    `${GET}Upgrade: foo\r\n\r\nGET / HTTP/1.1\r\nHost: other.test\r\n\r\n`,
    `${GET}Upgrade: foo\r\n\r\n\x01\x02GET\r\n\r\n`,
    `GET /${"a".repeat(70_000)}`,
  ])("%j is refused", (text) => {
    for (const size of [text.length < 1000 ? 1 : 1000, 1000]) expect(() => through(text, size)).toThrow();
  });
});

test("one of the client's own is the same to CGI with a line below", () => {
  const heads = new RequestHeads([{ name: "X-Api-Key", value: "x" }], "h.test", 80);
  const sent = heads.push(Buffer.from(`${GET}x_api-KEY: mine\r\nX_Api: y\r\n\r\n`));
  expect(sent.toString()).toBe(`${GET}X_Api: y\r\nX-Api-Key: x\r\n\r\n`);
  expect(() => heads.push(Buffer.from(`${GET}Connection: X_API_KEY\r\n\r\n`))).toThrow();
});

describe("a websocket", () => {
  const FIELDS = "Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n";
  const ASKED = `${GET}${FIELDS}\r\n`;
  const SENT = `${GET}${FIELDS}${IN}`;
  const OTHER = "GET / HTTP/1.1\r\nHost: other.test\r\n\r\n";
  const SWITCHED = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n";
  const HINTS = "HTTP/1.1 103 Early Hints\r\nLink: HTTP/1.1 101 x\r\n\r\nHTTP/1.1 100\r\n\r\n";

  const bytesOf = (text: string) => Buffer.from(text, "latin1");
  const piecesOf = (text: string, size: number) =>
    Array.from({ length: Math.ceil(text.length / size) }, (_, at) =>
      bytesOf(text.slice(at * size, (at + 1) * size)),
    );
  /** Says texts in pieces, and gives back what the server gets before its answer, and after. */
  function exchange(said: string, answer: string, after = "", size = 1000): [string, string] {
    const heads = new RequestHeads(HEADERS, "h.test", 80);
    const pushed = (text: string) => piecesOf(text, size).map((piece) => heads.push(piece));
    const before = pushed(said);
    const freed = piecesOf(answer, size).map((piece) => heads.answered(piece) ?? bytesOf(""));
    const got = [before, [...freed, ...pushed(after)]].map((all) => Buffer.concat(all).toString("latin1"));
    return [got[0] ?? "", got[1] ?? ""];
  }

  const sizes = [1, 2, 7, 13, 1000];

  test("passes on as it is once the server has said so, and not before", () => {
    for (const size of sizes)
      for (const answer of [SWITCHED, `${HINTS}${SWITCHED}`, "HTTP/1.1 101\r\n\r\n"]) {
        expect(exchange(`${ASKED}\x01${OTHER}`, answer, "\x02GET", size)).toEqual([
          SENT,
          `\x01${OTHER}\x02GET`,
        ]);
        expect(exchange(`${ASKED}\x01`, answer.slice(0, 11), "\x02", size)).toEqual([SENT, ""]);
      }
    expect(exchange(`${ASKED}\x01`, HINTS)).toEqual([SENT, ""]);
    const heads = new RequestHeads(HEADERS, "h.test", 80);
    heads.push(bytesOf(ASKED));
    heads.answered(bytesOf(SWITCHED));
    const frame = bytesOf("\x01\x02");
    expect(heads.push(frame)).toBe(frame);
  });

  test("that the server doesn't know is a request as others", () => {
    const answers = [
      "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
      "HTTP/1.1 200 OK\n\n",
      "HTTP/1.1 426 Upgrade Required\r\n\r\n",
      `${HINTS}HTTP/1.1 404 Not Found\r\n\r\nHTTP/1.1 101 x\r\n\r\n`,
      "HTTP/1.0 101 Switching Protocols\r\n\r\n",
      "HTTP/1.1 1010 \r\n\r\n",
      `\r\n${SWITCHED}`,
      `HTTP/1.1 100 Continue\r\nA: ${"b".repeat(70_000)}`,
    ];
    for (const answer of answers)
      for (const size of answer.length > 1000 ? [1000] : sizes) {
        expect(
          exchange(`${ASKED}${GET}\r\nGET`, answer, " /a HTTP/1.1\r\nHost: h.test\r\n\r\n", size),
        ).toEqual([SENT, `${GET}${IN}${GET}${IN}`]);
        for (const more of [OTHER, `${GET}Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n`]) {
          expect(() => exchange(`${ASKED}${more}`, answer, "", size)).toThrow();
          expect(() => exchange(ASKED, answer, more, size)).toThrow();
        }
      }
  });

  test("has what comes behind it held until the answer's end", () => {
    const heads = new RequestHeads(HEADERS, "h.test", 80);
    expect(heads.answered(bytesOf(SWITCHED))).toBeUndefined();
    expect(heads.push(bytesOf(ASKED)).toString()).toBe(SENT);
    expect(heads.isHolding).toBe(false);
    expect(heads.push(bytesOf(`${GET}\r\n`))).toBeEmpty();
    expect(heads.isHolding).toBe(true);
    expect(heads.answered(bytesOf("HTTP/1.1"))).toBeUndefined();
    expect(heads.answered(bytesOf(""))?.toString()).toBe(`${GET}${IN}`);
    expect(heads.isHolding).toBe(false);
    expect(heads.answered(bytesOf(SWITCHED))).toBeUndefined();
    expect(() => heads.push(bytesOf(OTHER))).toThrow();
  });

  test("is one of the connection's first request alone", () => {
    for (const size of sizes) {
      expect(() => through(`${GET}\r\n${ASKED}`, size)).toThrow();
      expect(() => exchange(ASKED, "HTTP/1.1 200 OK\r\n\r\n", ASKED, size)).toThrow();
    }
  });

  test.each([
    ["no word of the connection's", "Upgrade: websocket\r\n", "", ""],
    [
      "a word of another kind",
      "Connection: x-upgrade\r\nUpgrade: websocket\r\n",
      "Connection: x-upgrade\r\n",
      "",
    ],
    ["another protocol", "Connection: Upgrade\r\nUpgrade: tcp\r\n", "", ""],
    ["several protocols", "Connection: Upgrade\r\nUpgrade: websocket, h2c\r\n", "", ""],
    ["several fields", "Connection: Upgrade\r\nUpgrade: websocket\r\nUpgrade: websocket\r\n", "", ""],
    ["no protocol", "Connection: Upgrade\r\n", "", ""],
    ["a body", `${FIELDS}Content-Length: 1\r\n`, "Connection: keep-alive\r\nContent-Length: 1\r\n", "a"],
    [
      "a body in chunks",
      `${FIELDS}Transfer-Encoding: chunked\r\n`,
      "Connection: keep-alive\r\nTransfer-Encoding: chunked\r\n",
      "0\r\n\r\n",
    ],
  ])("is not asked for with %s", (_, said, kept, body) => {
    const sent = `${GET}${kept}${IN}${body}${GET}${IN}`;
    for (const size of sizes) expect(through(`${GET}${said}\r\n${body}${GET}\r\n`, size)).toBe(sent);
    expect(() => through(`${GET}${said}\r\n${body}${OTHER}`, 1000)).toThrow();
  });

  test("is not asked for by HTTP/1.0", () => {
    const [old, sent] = [ASKED, `${GET}Connection: keep-alive\r\n${IN}`].map((text) =>
      text.replace("HTTP/1.1", "HTTP/1.0"),
    );
    expect(through(old ?? "", 1000)).toBe(sent ?? "");
  });
});

describe("a header that is put in", () => {
  const variable = (name: string) => `$${`{${name}}`}`;
  const rules = ["allow:api.test", "allow:*.in.test:8080", "allow:192.0.2.1"].map(networkRule);
  const parsed = (text: string) =>
    injectedHeader(text, rules, (name) => (name === "T" ? "s@c:t" : undefined));

  test("has a variable's value, for one host and port", () => {
    expect(parsed(`Authorization:Bearer ${variable("T")}@api.test`)).toEqual({
      ...{ name: "Authorization", value: "Bearer s@c:t", host: "api.test", port: 80, isSecure: false },
    });
    const other = parsed("X-Key: a@b@A.in.test:8080");
    expect(other).toEqual({ name: "X-Key", value: "a@b", host: "a.in.test", port: 8080, isSecure: false });
    expect(parsed("A:b@api.test:443")).toMatchObject({ port: 443, isSecure: true });
    expect(parsed("A:b@https://api.test")).toMatchObject({ port: 443, isSecure: true });
    expect(parsed("A:b@https://a.in.test:8080")).toMatchObject({ port: 8080, isSecure: true });
    expect(parsed("A:b@http://api.test:443")).toMatchObject({ port: 443, isSecure: false });
    const at = (host: string, port: number) => headersFor([other], { host, port, protocol: "tcp" });
    expect(at("a.in.test", 8080)).toEqual([other]);
    const [first, second] = [parsed("A:one@https://api.test"), parsed("a:two@https://api.test")];
    const toApi = { host: "api.test", port: 443, protocol: "tcp" } as const;
    expect(headersFor([first, second], toApi)).toEqual([second]);
    expect(() => checkInjected([first, second, other])).not.toThrow();
    expect(() => checkInjected([parsed("A:secret@http://api.test:443"), first])).toThrow("either http:// or");
    expect(() => injectedHeader("A:b@far.test", [networkRule("outbound")], () => undefined)).toThrow(
      "no rule",
    );
    expect([at("a.in.test", 80), at("b.in.test", 8080)]).toEqual([[], []]);
  });

  test.each([
    ["Authorization", "it is not NAME:VALUE@[https://]HOST"],
    ["A:secret@", "it is not NAME:VALUE@[https://]HOST"],
    ["A b:secret@api.test", "it is not NAME:VALUE@[https://]HOST"],
    ["A:secret@ftp://api.test", "it is not NAME:VALUE@[https://]HOST"],
    ["A:secret@https://api.test/path", "it is not NAME:VALUE@[https://]HOST"],
    ["A:secret@https://in.test:8080", "no rule allows in.test:8080"],
    ["A:secret@192.0.2.1", "192.0.2.1 is not the name of one host"],
    ["A:secret@*.in.test:8080", "*.in.test is not the name of one host"],
    ["A:secret@far.example", "no rule allows far.example:80"],
    ["Host:secret@api.test", "it decides where a request goes, or ends"],
    ["A:secret@other.test", "no rule allows other.test:80"],
    ["A:secret@api.test:81", "no rule allows api.test:81"],
    ["A:secret\r\nB: c@api.test", "characters that no header can have"],
    [`A:secret${variable("NONE")}@api.test`, "the variable NONE is not set"],
  ])("%j is refused, without its value", (text, message) => {
    expect(() => parsed(text)).toThrow(message);
    expect(() => parsed(text)).not.toThrow("secret");
  });
});
