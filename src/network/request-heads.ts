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
 * A request's first line. Other methods would be HTTP/2's preface (PRI), a tunnel, and one that has the server send back what it was sent, with all
 * headers (RFC 9110 9.3.8).
 */
const REQUEST = new RegExp(`^(?!CONNECT |PRI |TRACE )${TOKEN} (\\S+) HTTP/1\\.([01])$`);
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

/** Takes what a client sends, in any pieces, and gives back what the server gets. */
export class RequestHeads {
  #part: Part = { kind: "head" };
  #rest = Buffer.alloc(0);

  /** `host` and `port` are what the connection leads to. */
  constructor(
    private readonly headers: readonly Header[],
    private readonly host: string,
    private readonly port: number,
  ) {}

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
    if (target === undefined) throw new Error("no request");
    const fields = lines.map(field).filter((each) => !asksForHttp2(each));
    this.#checkHost(target, fields);
    this.#part = partBehind(fields, version === "1");
    const own = new Set(this.headers.map(({ name }) => name.toLowerCase()));
    const kept = fields.filter(({ name }) => !own.has(name.toLowerCase()));
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
      else field(text);
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

/** An upgrade that a client can do without: requests of HTTP/2 could not be changed (RFC 7540 3.2). */
function asksForHttp2({ name, value }: Header): boolean {
  const key = name.toLowerCase();
  return key === "http2-settings" || (key === "upgrade" && /(^|[,\t ])h2c?($|[,\t ])/i.test(value));
}

/** What follows a head (RFC 9112 6.3); chunks are not for HTTP/1.0. */
function partBehind(fields: readonly Header[], knowsChunks: boolean): Part {
  const valuesOf = (name: string) =>
    fields.filter((each) => each.name.toLowerCase() === name).map(({ value }) => value.toLowerCase());
  const [encodings, lengths] = [valuesOf("transfer-encoding"), valuesOf("content-length")];
  if (encodings.length > 0) {
    if (!knowsChunks || encodings.length > 1 || encodings[0] !== "chunked" || lengths.length > 0)
      throw new Error("no clear end");
    return { kind: "size" };
  }
  if (lengths.length > 1 || !/^\d{1,15}$/.test(lengths[0] ?? "0")) throw new Error("no clear end");
  const left = Number(lengths[0] ?? 0);
  if (left > 0) return { kind: "bytes", left };
  return valuesOf("upgrade").length > 0 ? { kind: "others" } : { kind: "head" };
}
