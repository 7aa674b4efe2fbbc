import { concatenated } from "../linux/call/bytes";
import { PASSING_CALLS, type SeccompFilter } from "../linux/process/filter-steps";
import { isProgram } from "./instructions";

/** A compiled filter as bytes of a file: four for the flags, four for which of PASSING_CALLS hands the listener on, then the program. */
const HEADER = 8;

export function bytesOfFilter({ flags, passedBy, program }: SeccompFilter): Uint8Array<ArrayBuffer> {
  const header = new DataView(new ArrayBuffer(HEADER));
  header.setUint32(0, flags, true);
  header.setUint32(4, PASSING_CALLS.indexOf(passedBy), true);
  return concatenated([new Uint8Array(header.buffer), program]);
}

/** The filter in these bytes; undefined if they are none. */
export function filterOfBytes(bytes: Uint8Array): SeccompFilter | undefined {
  if (bytes.length < HEADER) return undefined;
  const header = new DataView(bytes.buffer, bytes.byteOffset, HEADER);
  const passedBy = PASSING_CALLS[header.getUint32(4, true)];
  // a copy, so that the program is aligned
  const program = bytes.slice(HEADER);
  if (passedBy === undefined || !isProgram(program)) return undefined;
  return { flags: header.getUint32(0, true), passedBy, program };
}
