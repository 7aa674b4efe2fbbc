import { Header } from "tar/header";
import { textOf } from "../linux/call/bytes";
import { type PaxRecords, paxRecords } from "./pax";
import { checkSparseParts, oldSparseParts, oldSparseSize, type SparseMap } from "./sparse-map";
import { wrongArchive } from "./wrong";

/** What tar says of one file. */
export interface TarEntry {
  /** As it stands in the archive. */
  name: string;
  type: "file" | "link" | "symlink" | "directory" | "fifo" | "device";
  /** Of links: where they lead. */
  target: string;
  size: number;
  /** Permission bits with setuid, setgid and sticky. */
  mode: number;
  uid: number;
  gid: number;
  /** Modification time in seconds. */
  modified: number;
  pax: PaxRecords;
  /** Of a sparse file in GNU tar's old format. */
  sparse?: SparseMap;
}

/** Called for each entry in the archive's order. */
export interface TarReader {
  begin(entry: TarEntry): void;
  /** A part of a file's bytes; it is used again after the call. */
  data(bytes: Uint8Array): void;
  end(): void;
}

const BLOCK = 512;
/** Of pax headers and long names: what Linux takes as a name or as extended attributes is far less. */
const LARGEST_HEADER = 1 << 20;
/** An archive with more files was made to be slow: large images have a tenth of it. */
const MOST_ENTRIES = 1_000_000;
const NO_RECORDS: PaxRecords = new Map();

type Types = Readonly<Partial<Record<Header["type"], TarEntry["type"]>>>;
const TYPES: Types = {
  File: "file",
  OldFile: "file",
  ContiguousFile: "file",
  SparseFile: "file",
  Link: "link",
  SymbolicLink: "symlink",
  Directory: "directory",
  FIFO: "fifo",
  CharacterDevice: "device",
  BlockDevice: "device",
};

/** Headers that say something of the next entry. */
const MORE = [
  "ExtendedHeader",
  "OldExtendedHeader",
  "GlobalExtendedHeader",
  "NextFileHasLongPath",
  "OldGnuLongPath",
] as const;
const LONG_TARGET = "NextFileHasLongLinkpath";
/** Whose header may go on in further blocks. */
const OLD_SPARSE = "SparseFile";

/**
 * Reads a tar archive that comes in pieces (tar(5): ustar, pax, GNU's long names). Blocks are decoded by node-tar; what is between them is
 * done here, since its stream takes names and attributes for UTF-8 text of one line.
 */
export class TarParser {
  readonly #reader: TarReader;
  /** The begin of a block or of a header's data that goes on in the next piece. */
  #kept: Uint8Array = new Uint8Array();
  /** Bytes that are left of a file, and of the padding behind it. */
  #left = 0;
  #padding = 0;
  /** A header whose data are being gathered, with its size. */
  #gathering: { type: string; size: number } | undefined;
  /** The first block of a sparse file's header, and the parts that were read of it. */
  #sparse: { header: Header; block: Uint8Array; parts: number[] } | undefined;
  #inEntry = false;
  #ended = false;
  #entries = 0;
  #global: PaxRecords = NO_RECORDS;
  #records: PaxRecords | undefined;
  #longName: string | undefined;
  #longTarget: string | undefined;
  /** Where the next byte is in the archive. */
  offset = 0;

  constructor(
    reader: TarReader,
    private readonly tooMany = MOST_ENTRIES,
  ) {
    this.#reader = reader;
  }

  /** The next piece. */
  write(piece: Uint8Array): void {
    let rest = piece;
    while (rest.length > 0) {
      if (this.#left > 0) rest = this.#data(rest);
      else if (this.#padding > 0) rest = this.#skip(rest);
      else {
        this.#finish();
        rest = this.#gather(rest);
      }
    }
    if (this.#left === 0) this.#finish();
  }

  /** Throws if the archive ends too early. An archive without the two empty blocks at its end is taken, as by tar. */
  close(): void {
    this.#finish();
    if (this.offset === 0) throw wrongArchive("the archive is empty");
    if (
      this.#left > 0 ||
      this.#padding > 0 ||
      this.#gathering !== undefined ||
      (!this.#ended && this.#kept.length > 0)
    )
      throw wrongArchive("the archive is cut off");
  }

  #finish(): void {
    if (!this.#inEntry) return;
    this.#inEntry = false;
    this.#reader.end();
  }

  #data(rest: Uint8Array): Uint8Array {
    const part = rest.subarray(0, this.#left);
    this.#left -= part.length;
    this.offset += part.length;
    this.#reader.data(part);
    return rest.subarray(part.length);
  }

  #skip(rest: Uint8Array): Uint8Array {
    const length = Math.min(this.#padding, rest.length);
    this.#padding -= length;
    this.offset += length;
    return rest.subarray(length);
  }

  /** Takes what is missing of a block, or of a header's data. */
  #gather(rest: Uint8Array): Uint8Array {
    const wanted = this.#gathering?.size ?? BLOCK;
    const missing = wanted - this.#kept.length;
    const part = rest.subarray(0, missing);
    this.offset += part.length;
    const whole = this.#kept.length === 0 ? part : Buffer.concat([this.#kept, part]);
    if (whole.length < wanted) {
      this.#kept = whole.slice();
      return rest.subarray(part.length);
    }
    this.#kept = new Uint8Array();
    if (this.#gathering === undefined) this.#block(whole);
    else {
      const { type, size } = this.#gathering;
      this.#gathering = undefined;
      this.#padding = paddingOf(size);
      this.#header(type, whole);
    }
    return rest.subarray(part.length);
  }

  #block(bytes: Uint8Array): void {
    // what follows the empty block is not looked at, as by tar
    if (this.#ended) return;
    const header = new Header(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length));
    if (header.nullBlock) {
      this.#ended = true;
      return;
    }
    if (!header.cksumValid)
      throw wrongArchive("it is not a tar archive, or a broken one: a header's checksum is wrong");
    const { type } = header;
    const isLongTarget = type === LONG_TARGET;
    if (isLongTarget || MORE.some((each) => each === type)) {
      const size = header.size ?? 0;
      if (size > LARGEST_HEADER) throw wrongArchive(`a header of ${size} bytes`);
      if (size > 0) this.#gathering = { type, size };
      return;
    }
    if (type === OLD_SPARSE) {
      this.#sparse = { header, block: bytes.slice(), parts: [] };
      this.#sparseParts(bytes, "first");
    } else this.#begin(header, bytes);
  }

  #sparseParts(bytes: Uint8Array, which: "first" | "more"): void {
    if (this.#sparse === undefined) return;
    const { header, block, parts } = this.#sparse;
    const found = oldSparseParts(bytes, which);
    parts.push(...found.parts);
    checkSparseParts(parts);
    if (found.goesOn) {
      this.#gathering = { type: OLD_SPARSE, size: BLOCK };
      return;
    }
    this.#sparse = undefined;
    this.#begin(header, block, { size: oldSparseSize(block), parts });
  }

  #header(type: string, bytes: Uint8Array): void {
    if (type === "GlobalExtendedHeader") this.#global = new Map([...this.#global, ...paxRecords(bytes)]);
    else if (type === "ExtendedHeader" || type === "OldExtendedHeader") this.#records = paxRecords(bytes);
    else if (type === OLD_SPARSE) this.#sparseParts(bytes, "more");
    else if (type === LONG_TARGET) this.#longTarget = untilNul(bytes);
    else this.#longName = untilNul(bytes);
  }

  #begin(header: Header, block: Uint8Array, sparse?: SparseMap): void {
    if (++this.#entries === this.tooMany) throw wrongArchive("a million files or more");
    const pax: PaxRecords =
      this.#records === undefined ? this.#global : new Map([...this.#global, ...this.#records]);
    const text = (keyword: string) => {
      const value = pax.get(keyword);
      return value === undefined || value.length === 0 ? undefined : textOf(value);
    };
    const number = (keyword: string) => {
      const value = text(keyword);
      if (value !== undefined && !/^\d+(\.\d*)?$/.test(value)) {
        if (/^-\d/.test(value) && keyword === "mtime") return 0;
        throw wrongArchive(`a pax header's ${keyword} is ${JSON.stringify(value)}`);
      }
      return value === undefined ? undefined : Number(value);
    };
    const name = text("GNU.sparse.name") ?? text("path") ?? this.#longName ?? nameIn(block);
    const target = text("linkpath") ?? this.#longTarget ?? untilNul(block.subarray(157, 257));
    this.#records = undefined;
    this.#longName = undefined;
    this.#longTarget = undefined;
    const type = TYPES[header.type];
    if (type === undefined)
      throw wrongArchive(`${JSON.stringify(name)}: files of type ${header.type} can't be unpacked`);
    // of all others a size is no number of bytes in the archive (archive/tar of Go, isHeaderOnly)
    const size = type === "file" ? (number("size") ?? header.size ?? 0) : 0;
    if (!Number.isSafeInteger(size)) throw wrongArchive(`${JSON.stringify(name)}: a size of ${size} bytes`);
    this.#left = size;
    this.#padding = paddingOf(size);
    this.#inEntry = true;
    this.#reader.begin({
      name,
      type: type === "file" && name.endsWith("/") ? "directory" : type,
      target,
      size,
      mode: (header.mode ?? 0) & 0o7777,
      uid: number("uid") ?? header.uid ?? 0,
      gid: number("gid") ?? header.gid ?? 0,
      modified: number("mtime") ?? (header.mtime?.getTime() ?? 0) / 1000,
      pax,
      ...(sparse === undefined ? {} : { sparse }),
    });
  }
}

function paddingOf(size: number): number {
  return (BLOCK - (size % BLOCK)) % BLOCK;
}

/** As bytes that may be no UTF-8. The prefix is ustar's; where star has times behind it, it is shorter. */
function nameIn(block: Uint8Array): string {
  const name = untilNul(block.subarray(0, 100));
  if (textOf(block.subarray(257, 263)) !== "ustar\0") return name;
  const prefix = untilNul(block.subarray(345, block[475] === 0 ? 475 : 500));
  return prefix === "" ? name : `${prefix}/${name}`;
}

function untilNul(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return textOf(end < 0 ? bytes : bytes.subarray(0, end));
}
