import type { CutOff } from "./attempts";
import { canonicalName } from "./rule";
import { HEAD_END, LONGEST_HEAD, UpgradeAnswer } from "./upgrade-answer";

/**
 * The requests of one connection (HTTP/1.1, RFC 9112) with headers that are put into each. What doesn't say clearly where a request ends is
 * refused: a server could take for a request of its own what was let through as a body, or a head with the headers for a body, and give it away.
 * So is one for another host than the connection's: servers that many share would hand it on to that one. All of it holds until the server has said
 * that the connection is a websocket's (RFC 6455).
 */

/** A method, or a field's name, as a part of a regular expression (RFC 9110 5.6.2). */
export const TOKEN = "[!#$%&'*+.^_`|~\\w-]+";

/**
 * Methods that no request may have, as servers read them that don't go by case: HTTP/2's preface (PRI), a tunnel, and those that have the server send
 * back what it was sent, with all headers (RFC 9110 9.3.8).
 */
const REFUSED_METHOD = /^(?:CONNECT|PRI|TRACE|TRACK) /i;
const REQUEST = new RegExp(`^${TOKEN} (\\S+) HTTP/1\\.([01])$`);
const FIELD = new RegExp(`^(${TOKEN}):[\\t ]*([^\\0\\r\\n]*?)[\\t ]*$`);

/** What every connection of HTTP/2 begins with (RFC 9113 3.4). */
const HTTP2 = "PRI * HTTP/2.0";
class Http2 extends Error {}

/** Why what `push` or `answered` has thrown ends a connection. */
export function cutOffBy(error: unknown): CutOff {
  return error instanceof Http2 ? "HTTP/2" : "EBADMSG";
}

export interface Header {
  name: string;
  value: string;
}

type Part =
  | { kind: "head" }
  | { kind: "bytes"; left: number }
  /** The line with the size of a chunk, or after the last chunk those of its trailer. */
  | { kind: "size" }
  | { kind: "chunk"; left: number }
  | { kind: "chunk end" }
  | { kind: "trailer" }
  /** A websocket was asked for: what comes is held until it is known what it is. */
  | { kind: "asked"; answer: UpgradeAnswer }
  | { kind: "websocket" };

/** What says where a request goes, or ends. */
const FRAMING = ["host", "content-length", "transfer-encoding"];

/** Takes what a client sends, in any pieces, and gives back what the server gets. */
export class RequestHeads {
  #part: Part = { kind: "head" };
  #rest = Buffer.alloc(0);
  #isFirst = true;
  readonly #own: ReadonlySet<string>;

  /** `host` and `port` are what the connection leads to. */
  constructor(
    private readonly headers: readonly Header[],
    private readonly host: string,
    private readonly port: number,
  ) {
    this.#own = new Set(headers.map(({ name }) => keyOf(name)));
  }

  /** Whether something waits for the server's answer: more should not be read until then. */
  get isHolding(): boolean {
    return this.#part.kind === "asked" && this.#rest.length > 0;
  }

  /**
   * Takes what the server sends; no bytes stand for its end. Gives back what was held for it, as soon as that is known to be a websocket's or requests;
   * throws as `push` does.
   */
  answered(bytes: Uint8Array): Uint8Array | undefined {
    if (this.#part.kind !== "asked") return undefined;
    const isWebsocket = this.#part.answer.push(bytes);
    if (isWebsocket === undefined) return undefined;
    this.#part = { kind: isWebsocket ? "websocket" : "head" };
    return this.push(new Uint8Array(0));
  }

  /** Throws where the requests aren't clear, or for another host. */
  push(bytes: Uint8Array): Uint8Array {
    if (this.#part.kind === "websocket" && this.#rest.length === 0) return bytes;
    this.#rest = Buffer.concat([this.#rest, bytes]);
    const out: Uint8Array[] = [];
    for (let piece = this.#next(); piece !== undefined; piece = this.#next()) out.push(piece);
    return Buffer.concat(out);
  }

  /** The next piece that is whole; undefined where more has to come. */
  #next(): Uint8Array | undefined {
    const part = this.#part;
    if (this.#rest.length === 0 || part.kind === "asked") return undefined;
    if (part.kind === "websocket") return this.#taken(this.#rest.length);
    if (part.kind === "bytes" || part.kind === "chunk") {
      const piece = this.#taken(Math.min(part.left, this.#rest.length));
      const left = part.left - piece.length;
      if (left > 0) this.#part = { kind: part.kind, left };
      else this.#part = part.kind === "bytes" ? { kind: "head" } : { kind: "chunk end" };
      return piece;
    }
    return part.kind === "head" ? this.#head() : this.#line(part.kind);
  }

  #head(): Uint8Array | undefined {
    const end = this.#rest.indexOf(HEAD_END);
    if (end > LONGEST_HEAD || (end < 0 && this.#rest.length > LONGEST_HEAD))
      throw new Error("a head too long");
    if (end < 0) return undefined;
    const text = this.#taken(end + HEAD_END.length).toString("latin1");
    const [request = "", ...lines] = text.slice(0, -HEAD_END.length).split("\r\n");
    if (request === HTTP2) throw new Http2();
    const [, target, version] = REQUEST.exec(request) ?? [];
    if (target === undefined || REFUSED_METHOD.test(request)) throw new Error("no request");
    const fields = lines.map(field);
    this.#checkHost(target, fields);
    for (const name of ["connection", "proxy-connection"])
      for (const option of valuesOf(fields, name).flatMap(tokensOf)) this.#checkOthersName(option);
    this.#part = partBehind(fields, version === "1");
    const asks = version === "1" && this.#part.kind === "head" && asksForWebsocket(fields);
    // it could not be told whose answer is the one to this request
    if (asks && !this.#isFirst) throw new Error("a websocket behind other requests");
    if (asks) this.#part = { kind: "asked", answer: new UpgradeAnswer() };
    this.#isFirst = false;
    const kept = withoutUpgrades(fields, asks).filter(({ name }) => !this.#own.has(keyOf(name)));
    const all = [...kept, ...this.headers].map(({ name, value }) => `${name}: ${value}`);
    return Buffer.from([request, ...all].join("\r\n") + HEAD_END, "latin1");
  }

  /** What a server goes by (RFC 9112 3.3): the host of the target, if it has one, and of the one field that says it. */
  #checkHost(target: string, fields: readonly Header[]): void {
    const [, named] = /^https?:\/\/([^/?#]*)/i.exec(target) ?? [];
    if (named === undefined && !/^(\/|\*$)/.test(target)) throw new Error("no request");
    const said = fields.filter(({ name }) => name.toLowerCase() === "host").map(({ value }) => value);
    if (said.length !== 1) throw new Error("no clear host");
    for (const text of named === undefined ? said : [...said, named]) {
      const [, host = "", port] = /^([^:]*)(?::(\d+))?$/.exec(text) ?? [];
      if (canonicalName(host) !== this.host || Number(port ?? this.port) !== this.port)
        throw new Error("another host");
    }
  }

  /** Refuses a name that is not for others: one that the server would leave out (RFC 9110 7.6.1), or take from behind a body. */
  #checkOthersName(name: string): void {
    const key = keyOf(name);
    if (this.#own.has(key) || FRAMING.includes(key)) throw new Error(`${key} is not for others to say`);
  }

  /** A line that stands between chunks. */
  #line(kind: "size" | "chunk end" | "trailer"): Uint8Array | undefined {
    const end = this.#rest.indexOf("\r\n");
    if (end > LONGEST_HEAD || (end < 0 && this.#rest.length > LONGEST_HEAD))
      throw new Error("a line too long");
    if (end < 0) return undefined;
    const line = this.#taken(end + 2);
    const text = line.toString("latin1", 0, end);
    if (kind === "chunk end") {
      if (text !== "") throw new Error("a chunk that doesn't end");
      this.#part = { kind: "size" };
      return line;
    }
    if (kind === "trailer") {
      if (text === "") this.#part = { kind: "head" };
      else this.#checkOthersName(field(text).name);
      return line;
    }
    const [, size] = /^([\da-f]{1,12})(?:[\t ]*;[\t -~]*)?$/i.exec(text) ?? [];
    if (size === undefined) throw new Error("no size of a chunk");
    const bytes = Number.parseInt(size, 16);
    this.#part = bytes === 0 ? { kind: "trailer" } : { kind: "chunk", left: bytes };
    return line;
  }

  #taken(length: number): Buffer {
    const piece = this.#rest.subarray(0, length);
    this.#rest = this.#rest.subarray(length);
    return piece;
  }
}

function field(line: string): Header {
  const [, name, value = ""] = FIELD.exec(line) ?? [];
  if (name === undefined) throw new Error("no field of a header");
  return { name, value };
}

/** What a name is to servers that give headers to programs as variables, as CGI does (RFC 3875 4.1.18). */
function keyOf(name: string): string {
  return name.toLowerCase().replaceAll("_", "-");
}

/** The values of a name's fields, in small letters. */
function valuesOf(fields: readonly Header[], name: string): string[] {
  return fields.filter((each) => each.name.toLowerCase() === name).map(({ value }) => value.toLowerCase());
}

function tokensOf(value: string): string[] {
  return value.split(/[^!#$%&'*+.^_`|~\w-]+/);
}

/** Whether a request without a body asks for a websocket, and for nothing else (RFC 6455 4.1). */
function asksForWebsocket(fields: readonly Header[]): boolean {
  const [asked, ...more] = valuesOf(fields, "upgrade");
  const isAsked = asked === "websocket" && more.length === 0;
  return isAsked && valuesOf(fields, "connection").flatMap(tokensOf).includes("upgrade");
}

/**
 * Fields without an upgrade to other protocols than a websocket's: a client can do without (RFC 9110 7.8). Requests of HTTP/2 could not be changed (RFC
 * 7540 3.2).
 */
function withoutUpgrades(fields: readonly Header[], isWebsocket: boolean): Header[] {
  const gone = new Set(isWebsocket ? ["http2-settings"] : ["http2-settings", "upgrade"]);
  const isGone = (name: string) => gone.has(name.toLowerCase());
  return fields
    .filter(({ name }) => !isGone(name))
    .flatMap((each) => {
      if (each.name.toLowerCase() !== "connection" || !tokensOf(each.value).some(isGone)) return [each];
      const kept = tokensOf(each.value).filter((token) => token !== "" && !isGone(token));
      return kept.length === 0 ? [] : [{ ...each, value: kept.join(", ") }];
    });
}

/** What follows a head (RFC 9112 6.3); chunks are not for HTTP/1.0. */
function partBehind(fields: readonly Header[], knowsChunks: boolean): Part {
  const encodings = valuesOf(fields, "transfer-encoding");
  const lengths = valuesOf(fields, "content-length");
  if (encodings.length > 0) {
    if (!knowsChunks || encodings.length > 1 || encodings[0] !== "chunked" || lengths.length > 0)
      throw new Error("no clear end");
    return { kind: "size" };
  }
  if (lengths.length > 1 || !/^\d{1,15}$/.test(lengths[0] ?? "0")) throw new Error("no clear end");
  const left = Number(lengths[0] ?? 0);
  return left > 0 ? { kind: "bytes", left } : { kind: "head" };
}
