import { bytesOf, concatenated } from "../../../linux/call/bytes";

/** An entry of an archive; its path has no slash at the beginning. */
export interface CpioEntry {
  path: string;
  /** File type and permissions, as in st_mode (inode(7)). */
  mode: number;
  bytes?: Uint8Array;
  /** Of a device node. */
  device?: readonly [major: number, minor: number];
}

const MAGIC = "070701";
const TRAILER = "TRAILER!!!";
const ALIGNMENT = 4;

function padded(bytes: Uint8Array): Uint8Array {
  const whole = new Uint8Array(ALIGNMENT * Math.ceil(bytes.length / ALIGNMENT));
  whole.set(bytes);
  return whole;
}

function entryBytes({ path, mode, bytes = new Uint8Array(), device = [0, 0] }: CpioEntry, inode: number) {
  const name = bytesOf(`${path}\0`);
  // inode, mode, uid, gid, links, time, size, device of the file system (2), device of the node (2), length of the name, checksum
  const fields = [inode, mode, 0, 0, 1, 0, bytes.length, 0, 0, ...device, name.length, 0];
  const header = MAGIC + fields.map((field) => field.toString(16).padStart(8, "0")).join("");
  return [padded(concatenated([bytesOf(header), name])), padded(bytes)];
}

/** An archive as the kernel unpacks it at boot: newc (Documentation/driver-api/early-userspace/buffer-format.rst). */
export function cpioArchive(entries: readonly CpioEntry[]): Uint8Array {
  const all = [...entries, { path: TRAILER, mode: 0 }];
  return concatenated(all.flatMap((entry, index) => entryBytes(entry, index + 1)));
}
