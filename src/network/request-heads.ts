import { canonicalName } from "./rule";

/**
 * The requests of one connection (HTTP/1.1, RFC 9112) with headers that are put into each. What doesn't say clearly where a request ends is
 * refused: a server could take for a request of its own what was let through as a body, or a head with the headers for a body, and give it away.
 * So is one for another host than the connection's: servers that many share would hand it on to that one.
 */

/** A method, or a field's name, as a part of a regular expression (RFC 9110 5.6.2). */
export const TOKEN = "[!#$%&'*+.^_`|~\\w-]+";

const LONGEST_HEAD = 65_536;
const HEAD_END = "\r\n\r\n";

/**
 * Methods that no request may have, as servers read them that don't go by case: HTTP/2's preface (PRI), a tunnel, and those that have the server send
 * back what it was sent, with all headers (RFC 9110 9.3.8).
 */
const REFUSED_METHOD = /^(?:CONNECT|PRI|TRACE|TRACK) /i;
const REQUEST = new RegExp(`^${TOKEN} (\\S+) HTTP/1\\.([01])$`);
const FIELD = new RegExp(`^(${TOKEN}):[\\t ]*([^\\0\\r\\n]*?)[\\t ]*$`);

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
  /** Another protocol's, which was asked for by Upgrade. */
  | { kind: "others" };

/** What says where a request goes, or ends. */
const FRAMING = ["host", "content-length", "transfer-encoding"];

/** Takes what a client sends, in any pieces, and gives back what the server gets. */
export class RequestHeads {
  #part: Part = { kind: "head" };
  #rest = Buffer.alloc(0);
  readonly #own: ReadonlySet<string>;

  /** `host` and `port` are what the connection leads to. */
  constructor(
    private readonly headers: readonly Header[],
    private readonly host: string,
    private readonly port: number,
  ) {
    this.#own = new Set(headers.map(({ name }) => keyOf(name)));
  }

  /** Throws where the requests aren't clear, or for another host. */
  push(bytes: Uint8Array): Uint8Array {
    this.#rest = Buffer.concat([this.#rest, bytes]);
    const out: Uint8Array[] = [];
    for (let piece = this.#next(); piece !== undefined; piece = this.#next()) out.push(piece);
    return Buffer.concat(out);
  }

  /** The next piece that is whole; undefined where more has to come. */
  #next(): Uint8Array | undefined {
    const part = this.#part;
    if (this.#rest.length === 0) return undefined;
    if (part.kind === "others") return this.#taken(this.#rest.length);
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
    const [, target, version] = REQUEST.exec(request) ?? [];
    if (target === undefined || REFUSED_METHOD.test(request)) throw new Error("no request");
    const fields = lines.map(field).filter((each) => !asksForHttp2(each));
    this.#checkHost(target, fields);
    for (const name of ["connection", "proxy-connection"])
      for (const option of valuesOf(fields, name).flatMap(tokensOf)) this.#checkOthersName(option);
    this.#part = partBehind(fields, version === "1");
    const kept = fields.filter(({ name }) => !this.#own.has(keyOf(name)));
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

/** An upgrade that a client can do without: requests of HTTP/2 could not be changed (RFC 7540 3.2). */
function asksForHttp2({ name, value }: Header): boolean {
  const key = name.toLowerCase();
  return key === "http2-settings" || (key === "upgrade" && /(^|[,\t ])h2c?($|[,\t ])/i.test(value));
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
  if (left > 0) return { kind: "bytes", left };
  return valuesOf(fields, "upgrade").length > 0 ? { kind: "others" } : { kind: "head" };
}
