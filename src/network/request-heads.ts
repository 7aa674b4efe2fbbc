/**
 * The requests of one connection (HTTP/1.1, RFC 9112) with headers that are put into each. What doesn't say clearly where a request ends is
 * refused: a server could take for a request of its own what was let through as a body.
 */

const LONGEST_HEAD = 65_536;
const HEAD_END = "\r\n\r\n";

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
  | { kind: "trailer" }
  /** Another protocol's, which was asked for by Upgrade. */
  | { kind: "others" };

/** Takes what a client sends, in any pieces, and gives back what the server gets. */
export class RequestHeads {
  #part: Part = { kind: "head" };
  #rest = Buffer.alloc(0);

  constructor(private readonly headers: readonly Header[]) {}

  /** Throws where the requests aren't clear. */
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
      else this.#part = part.kind === "bytes" ? { kind: "head" } : { kind: "size" };
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
    // one more method would be HTTP/2's preface (PRI), or a tunnel
    if (!/^(?!CONNECT |PRI )[!#$%&'*+.^_`|~\w-]+ \S+ HTTP\/1\.[01]$/.test(request))
      throw new Error("no request");
    const fields = lines.map(field);
    this.#part = partBehind(fields);
    const own = new Set(this.headers.map(({ name }) => name.toLowerCase()));
    const kept = fields.filter(({ name }) => !own.has(name.toLowerCase()));
    const all = [...kept, ...this.headers].map(({ name, value }) => `${name}: ${value}`);
    return Buffer.from([request, ...all].join("\r\n") + HEAD_END, "latin1");
  }

  /** A line that stands between chunks. */
  #line(kind: "size" | "trailer"): Uint8Array | undefined {
    const end = this.#rest.indexOf("\r\n");
    if (end > LONGEST_HEAD || (end < 0 && this.#rest.length > LONGEST_HEAD))
      throw new Error("a line too long");
    if (end < 0) return undefined;
    const line = this.#taken(end + 2);
    const text = line.toString("latin1", 0, end);
    if (kind === "trailer") {
      if (text === "") this.#part = { kind: "head" };
      return line;
    }
    const [, size] = /^([\da-f]{1,12})(?:[\t ]*;[\t -~]*)?$/i.exec(text) ?? [];
    if (size === undefined) throw new Error("no size of a chunk");
    const bytes = Number.parseInt(size, 16);
    // with the end of the line behind it
    this.#part = bytes === 0 ? { kind: "trailer" } : { kind: "chunk", left: bytes + 2 };
    return line;
  }

  #taken(length: number): Buffer {
    const piece = this.#rest.subarray(0, length);
    this.#rest = this.#rest.subarray(length);
    return piece;
  }
}

function field(line: string): Header {
  const [, name, value = ""] = /^([!#$%&'*+.^_`|~\w-]+):[\t ]*([^\0\r\n]*?)[\t ]*$/.exec(line) ?? [];
  if (name === undefined) throw new Error("no field of a header");
  return { name, value };
}

/** What follows a head (RFC 9112 6.3). */
function partBehind(fields: readonly Header[]): Part {
  const valuesOf = (name: string) =>
    fields.filter((each) => each.name.toLowerCase() === name).map(({ value }) => value.toLowerCase());
  const [encodings, lengths] = [valuesOf("transfer-encoding"), valuesOf("content-length")];
  if (encodings.length > 0) {
    if (encodings.length > 1 || encodings[0] !== "chunked" || lengths.length > 0)
      throw new Error("no clear end");
    return { kind: "size" };
  }
  if (lengths.length > 1 || !/^\d{0,15}$/.test(lengths[0] ?? "")) throw new Error("no clear end");
  const left = Number(lengths[0] ?? 0);
  if (left > 0) return { kind: "bytes", left };
  return valuesOf("upgrade").length > 0 ? { kind: "others" } : { kind: "head" };
}
