import { HakoError } from "../../../base/errors";
import { callerVariables } from "../../../linux/file/caller-environment";
import { findHostProgram } from "../../../linux/process/execute";

/** How kernels and modules are compressed: by their first bytes, and who unpacks that. */
interface Compression {
  magic: readonly number[];
  unpack(bytes: Uint8Array<ArrayBuffer>): Uint8Array;
}

const COMPRESSIONS: Readonly<Record<string, Compression>> = {
  gzip: { magic: [0x1f, 0x8b], unpack: (bytes) => Bun.gunzipSync(bytes) },
  zstd: { magic: [0x28, 0xb5, 0x2f, 0xfd], unpack: (bytes) => Bun.zstdDecompressSync(bytes) },
  xz: { magic: [0xfd, 0x37, 0x7a, 0x58, 0x5a], unpack: (bytes) => unpackBy("xz", bytes) },
  // its old frames, as the kernel has them
  lz4: { magic: [0x02, 0x21, 0x4c, 0x18], unpack: (bytes) => unpackBy("lz4", bytes) },
};

/** Bytes that may be compressed, unpacked. Throws for want of a program that unpacks them, and where they are broken. */
export function unpackedBytes(bytes: Uint8Array<ArrayBuffer>): Uint8Array {
  const found = Object.values(COMPRESSIONS).find(({ magic }) =>
    magic.every((byte, index) => bytes[index] === byte),
  );
  return found === undefined ? bytes : found.unpack(bytes);
}

function unpackBy(name: string, bytes: Uint8Array): Uint8Array {
  const program = findHostProgram(name);
  if (program === undefined)
    throw new HakoError({
      code: "unsupported",
      message: `compressed with ${name}, which is not installed`,
      hint: `install ${name}`,
    });
  const { exitCode, stdout } = Bun.spawnSync([program, "-dc"], {
    stdin: bytes,
    stdout: "pipe",
    stderr: "ignore",
    env: callerVariables(),
  });
  if (exitCode === 0) return stdout;
  throw new HakoError({ code: "system", message: `${name} can't unpack it: exit status ${exitCode}` });
}
