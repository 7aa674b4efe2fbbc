// Headers that are put into requests of HTTP/1.1, wherever the pieces of a connection end.
import { describe, expect, test } from "bun:test";
import { headersFor, injectedHeader } from "../../src/network/injected-headers";
import { RequestHeads } from "../../src/network/request-heads";
import { networkRule } from "../../src/network/rule";

const HEADERS = [{ name: "Authorization", value: "Bearer x" }];
const IN = "Authorization: Bearer x\r\n\r\n";

/** What a server gets of a text that comes in pieces of so many bytes. */
function through(text: string, size: number): string {
  const heads = new RequestHeads(HEADERS);
  const pieces = Math.ceil(text.length / size);
  const sent = Array.from({ length: pieces }, (_, at) =>
    heads.push(Buffer.from(text.slice(at * size, (at + 1) * size), "latin1")),
  );
  return Buffer.concat(sent).toString("latin1");
}

const GET = "GET /a HTTP/1.1\r\nHost: h\r\n";

describe("requests", () => {
  test.each([
    ["one", `${GET}\r\n`, `${GET}${IN}`],
    ["several", `${GET}\r\n${GET}\r\n`, `${GET}${IN}${GET}${IN}`],
    ["with one of its own", `${GET}authorization: mine\r\n\r\n`, `${GET}${IN}`],
    [
      "with a body that looks like a request",
      `POST / HTTP/1.1\r\nContent-Length: 19\r\n\r\nGET / HTTP/1.1\r\n\r\nx${GET}\r\n`,
      `POST / HTTP/1.1\r\nContent-Length: 19\r\n${IN}GET / HTTP/1.1\r\n\r\nx${GET}${IN}`,
    ],
    [
      "in chunks",
      `POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nA: b\r\n\r\n${GET}\r\n`,
      `POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n${IN}3;x=y\r\nabc\r\n0\r\nA: b\r\n\r\n${GET}${IN}`,
    ],
    [
      "that become another protocol",
      `${GET}Upgrade: websocket\r\n\r\n\x01\x02GET`,
      `${GET}Upgrade: websocket\r\n${IN}\x01\x02GET`,
    ],
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
    `POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n`,
    `GET /${"a".repeat(70_000)}`,
  ])("%j is refused", (text) => {
    expect(() => through(text, 1000)).toThrow();
  });
});

describe("a header that is put in", () => {
  const variable = (name: string) => `$${`{${name}}`}`;
  const rules = [networkRule("allow:api.test"), networkRule("allow:*.in.test:8080")];
  const parsed = (text: string) =>
    injectedHeader(text, rules, (name) => (name === "T" ? "s@c:t" : undefined));

  test("has a variable's value, for one host and port", () => {
    expect(parsed(`Authorization:Bearer ${variable("T")}@api.test`)).toEqual({
      ...{ name: "Authorization", value: "Bearer s@c:t", host: "api.test", port: 80 },
    });
    const other = parsed("X-Key: a@b@A.in.test:8080");
    expect(other).toEqual({ name: "X-Key", value: "a@b", host: "a.in.test", port: 8080 });
    const at = (host: string, port: number) => headersFor([other], { host, port, protocol: "tcp" });
    expect(at("a.in.test", 8080)).toEqual([other]);
    expect([at("a.in.test", 80), at("b.in.test", 8080)]).toEqual([[], []]);
  });

  test.each([
    ["Authorization", "it is not NAME:VALUE@HOST"],
    ["A:secret@", "it is not NAME:VALUE@HOST"],
    ["A b:secret@api.test", "it is not NAME:VALUE@HOST"],
    ["A:secret@api.test:443", "HTTPS can't be changed"],
    ["A:secret@other.test", "no rule allows other.test:80"],
    ["A:secret@api.test:81", "no rule allows api.test:81"],
    ["A:secret\r\nB: c@api.test", "characters that no header can have"],
    [`A:secret${variable("NONE")}@api.test`, "the variable NONE is not set"],
  ])("%j is refused, without its value", (text, message) => {
    expect(() => parsed(text)).toThrow(message);
    expect(() => parsed(text)).not.toThrow("secret");
  });
});
