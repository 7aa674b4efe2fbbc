import { HakoError } from "../base/errors";
import { marshal } from "./marshal";
import type { Value, Variant } from "./types";
import { unmarshal } from "./unmarshal";

const LITTLE_ENDIAN = 0x6c; // "l"
const VERSION = 1;
const FIXED_HEADER = 16;
/** The specification's limit of a whole message. */
const MAX_SIZE = 1 << 27;
/** The header: byte order, type, flags, version, length of the body, serial, and fields. */
const HEADER = "yyyyuua(yv)";

/** What a message is. */
export const KINDS = { call: 1, reply: 2, error: 3, signal: 4 } as const;
export type Kind = keyof typeof KINDS;

/** Header fields: their number and the type of their value. */
const FIELDS = {
  path: [1, "o"],
  interface: [2, "s"],
  member: [3, "s"],
  errorName: [4, "s"],
  replySerial: [5, "u"],
  destination: [6, "s"],
  sender: [7, "s"],
  signature: [8, "g"],
} as const;
type Field = keyof typeof FIELDS;

/** A message; which fields it has depends on its kind. */
export interface Message {
  kind: Kind | undefined;
  serial: number;
  path?: string;
  interface?: string;
  member?: string;
  errorName?: string;
  replySerial?: number;
  destination?: string;
  sender?: string;
  /** Of the body. */
  signature?: string;
  body: readonly Value[];
}

/** The bytes of a message. */
export function encodeMessage(message: Message & { kind: Kind }): Buffer {
  const { kind, serial, signature = "", body } = message;
  const content = marshal(signature, body);
  const fields: Value[] = [];
  for (const [name, [number, type]] of Object.entries(FIELDS)) {
    const value = message[name as Field];
    if (value === undefined || value === "") continue;
    const variant: Variant = { signature: type, value };
    fields.push([number, variant]);
  }
  const header = marshal(HEADER, [LITTLE_ENDIAN, KINDS[kind], 0, VERSION, content.length, serial, fields]);
  return Buffer.concat([header, Buffer.alloc(padding(header.length)), content]);
}

/** The body begins at a multiple of 8. */
function padding(length: number): number {
  return (8 - (length % 8)) % 8;
}

/** The length of the message that `bytes` begin with; undefined while too few bytes are there to know it. */
export function messageLength(bytes: Buffer): number | undefined {
  if (bytes.length < FIXED_HEADER) return undefined;
  const little = isLittleEndian(bytes);
  const word = (at: number) => (little ? bytes.readUInt32LE(at) : bytes.readUInt32BE(at));
  const header = FIXED_HEADER + word(12);
  const length = header + padding(header) + word(4);
  if (length > MAX_SIZE) throw new HakoError({ code: "system", message: "a D-Bus message is too long" });
  return length;
}

function isLittleEndian(bytes: Buffer): boolean {
  return bytes[0] === LITTLE_ENDIAN;
}

/** The message in exactly these bytes. */
export function decodeMessage(bytes: Buffer): Message {
  const little = isLittleEndian(bytes);
  const [, kind, , , bodyLength, serial, fields] = unmarshal(HEADER, bytes, little);
  const known = Object.entries(FIELDS);
  const message: Message = {
    kind: Object.entries(KINDS).find(([, number]) => number === kind)?.[0] as Kind | undefined,
    serial: Number(serial),
    body: [],
  };
  for (const [number, variant] of fields as readonly [number, Variant][]) {
    const name = known.find(([, [each]]) => each === number)?.[0];
    if (name !== undefined) Object.assign(message, { [name]: variant.value });
  }
  const body = bytes.subarray(bytes.length - Number(bodyLength));
  return { ...message, body: unmarshal(message.signature ?? "", body, little) };
}
