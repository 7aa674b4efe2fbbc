import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGunzip, createZstdDecompress } from "node:zlib";
import { asHakoError, HakoError } from "../base/errors";
import type { Fd } from "../linux/call/fd";
import { syscallOn } from "../linux/call/syscall";
import { wrongArchive } from "./wrong";

/** A part of an open file, which somebody else owns. */
export interface Blob {
  file: Fd;
  /** What errors call it. */
  name: string;
  offset: number;
  size: number;
}

const CHUNK = 1 << 18;

/** Its bytes, piece by piece; an error if the file ends before. */
function* pieces({ file, name, offset, size }: Blob, onRead: (bytes: number) => void): Generator<Buffer> {
  for (let done = 0; done < size; ) {
    const buffer = Buffer.allocUnsafeSlow(Math.min(CHUNK, size - done));
    const length = syscallOn(name, "pread64", file.number, buffer, buffer.length, BigInt(offset + done));
    if (length === 0) throw wrongArchive(`${name} is cut off`);
    done += length;
    onRead(length);
    yield buffer.subarray(0, length);
  }
}

/** All bytes of a small one, such as an image's configuration. */
export function blobBytes(blob: Blob, most: number): Uint8Array {
  if (blob.size > most) throw wrongArchive(`${blob.name} has ${blob.size} bytes`);
  return Buffer.concat([...pieces(blob, () => {})]);
}

const PACKERS: readonly {
  name: string;
  magic: readonly number[];
  unpack?: () => NodeJS.ReadWriteStream;
  command?: string;
}[] = [
  { name: "gzip", magic: [0x1f, 0x8b], unpack: createGunzip },
  { name: "zstd", magic: [0x28, 0xb5, 0x2f, 0xfd], unpack: createZstdDecompress },
  { name: "bzip2", magic: [0x42, 0x5a, 0x68], command: "bunzip2" },
  { name: "xz", magic: [0xfd, 0x37, 0x7a, 0x58, 0x5a], command: "unxz" },
];

function packerOf(blob: Blob) {
  const begin = blobBytes({ ...blob, size: Math.min(blob.size, 8) }, 8);
  return PACKERS.find(({ magic }) => magic.every((byte, index) => byte === begin[index]));
}

/** Whether it is compressed, which its first bytes say. */
export function isCompressed(blob: Blob): boolean {
  return packerOf(blob) !== undefined;
}

/** Who is told of a blob's bytes. */
export interface BlobReceiver {
  /** As they are stored. */
  stored(bytes: Uint8Array): void;
  /** Uncompressed. */
  content(bytes: Uint8Array): void;
}

/** Reads a blob to its end, and uncompresses it. */
export async function readBlob(blob: Blob, onRead: (bytes: number) => void, to: BlobReceiver): Promise<void> {
  const packer = packerOf(blob);
  const source = pieces(blob, onRead);
  if (packer === undefined) {
    for (const piece of source) {
      to.stored(piece);
      to.content(piece);
      // signals are handled between two turns
      await undefined;
    }
    return;
  }
  if (packer.unpack === undefined)
    throw new HakoError({
      code: "unsupported",
      message: `${blob.name} is compressed by ${packer.name}`,
      hint: `hako reads gzip and zstd: ${packer.command} < ${blob.name} > FILE.tar makes a plain archive`,
    });
  const told = function* () {
    for (const piece of source) {
      to.stored(piece);
      yield piece;
    }
  };
  try {
    await pipeline(Readable.from(told()), packer.unpack(), async (unpacked: AsyncIterable<Buffer>) => {
      for await (const piece of unpacked) to.content(piece);
    });
  } catch (error) {
    throw isOfPacker(error)
      ? wrongArchive(`${blob.name}: ${packer.name}: ${(error as Error).message}`)
      : asHakoError(error);
  }
}

/** Errors of zlib and zstd have such codes. */
function isOfPacker(error: unknown): boolean {
  return /^(Z_|ZSTD_|ERR_)/.test(String((error as { code?: unknown }).code));
}
