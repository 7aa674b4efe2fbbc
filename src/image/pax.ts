import { textOf } from "../linux/call/bytes";
import { wrongArchive } from "./wrong";

/** Records of a pax extended header (pax(1), "pax Extended Header"): values are bytes, for those of extended attributes are no text. */
export type PaxRecords = ReadonlyMap<string, Uint8Array>;

const SPACE = 0x20;
const EQUALS = 0x3d;
const NEWLINE = 0x0a;

/** Records are "LENGTH KEYWORD=VALUE\n", where the length counts the whole record, so that values may have newlines. */
export function paxRecords(bytes: Uint8Array): PaxRecords {
  const records = new Map<string, Uint8Array>();
  for (let at = 0; at < bytes.length; ) {
    const space = bytes.indexOf(SPACE, at);
    const length = space < 0 ? "" : textOf(bytes.subarray(at, space));
    const end = at + Number(length);
    const equals = bytes.indexOf(EQUALS, space);
    if (
      !/^[1-9]\d{0,9}$/.test(length) ||
      end > bytes.length ||
      bytes[end - 1] !== NEWLINE ||
      equals < 0 ||
      equals >= end
    )
      throw wrongArchive("a pax header is broken");
    records.set(textOf(bytes.subarray(space + 1, equals)), bytes.subarray(equals + 1, end - 1));
    at = end;
  }
  return records;
}
