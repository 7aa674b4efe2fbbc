import { concatenated } from "../linux/call/bytes";
import { PASSING_CALLS, type SeccompFilter } from "../linux/process/filter-steps";
import { isProgram } from "./instructions";

/** A compiled filter in a file: four bytes of flags, four that say which of PASSING_CALLS is its listener's, then the program. */
const HEADER = 8;

export function bytesOfFilter({ flags, passedBy, program }: SeccompFilter): Uint8Array<ArrayBuffer> {
  const header = new DataView(new ArrayBuffer(HEADER));
  header.setUint32(0, flags, true);
  header.setUint32(4, PASSING_CALLS.indexOf(passedBy), true);
  return concatenated([new Uint8Array(header.buffer), program]);
}

/** undefined if it is none. */
export function filterOfBytes(bytes: Uint8Array): SeccompFilter | undefined {
  if (bytes.length < HEADER) return undefined;
  const header = new DataView(bytes.buffer, bytes.byteOffset, HEADER);
  const passedBy = PASSING_CALLS[header.getUint32(4, true)];
  // a copy of its own, which begins where words begin
  const program = bytes.slice(HEADER);
  if (passedBy === undefined || !isProgram(program)) return undefined;
  return { flags: header.getUint32(0, true), passedBy, program };
}
