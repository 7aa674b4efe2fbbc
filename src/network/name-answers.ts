import type { InetAddress } from "../linux/network/inet-address";
import { canonicalName } from "./rule";

/** Answers of DNS (RFC 1035) to programs in a filtered network. Nobody else is asked: a question would be a way out. */

const HEADER = 12;
const [DOT, BACKSLASH] = [0x2e, 0x5c] as const;
const [TYPE_A, CLASS_IN] = [1, 1] as const;
export const TYPE_AAAA = 28;
/** IXFR (RFC 1995), AXFR (RFC 5936). */
const TRANSFERS: ReadonlySet<number> = new Set([251, 252]);
const NO_ERROR = 0;
const FORMAT_ERROR = 1;
const NO_SUCH_NAME = 3;
const NOT_IMPLEMENTED = 4;
/** QR: an answer; AA: with authority; RA: others would be asked. */
const ANSWERS = 0x8480;
const RECURSION_DESIRED = 0x0100;
/** QR, and what a message is about, which is 0 of a query. */
const [QR, OPCODE] = [0x8000, 0x7800] as const;
/** How long an answer is true, in seconds: names keep their addresses. */
const TIME_TO_LIVE = 60;

/** What is known of a name. */
export interface KnownName {
  v4: InetAddress;
  v6: InetAddress | undefined;
}

/** A question: what for, and where it ends. */
interface Question {
  name: string;
  type: number;
  end: number;
}

/** The answer to a query; `known` says what a name is given, undefined that it is not there. undefined to what is no query. */
export function answerQuery(
  query: Uint8Array,
  known: (name: string, type: number) => KnownName | undefined,
): Uint8Array | undefined {
  if (query.length < HEADER) return undefined;
  const view = new DataView(query.buffer, query.byteOffset, query.byteLength);
  const flags = view.getUint16(2);
  // an answer is not to be answered
  if ((flags & QR) !== 0) return undefined;
  const say = (code: number, question?: Question, address?: InetAddress) =>
    packet(query, flags, code, question, address);
  if ((flags & OPCODE) !== 0) return say(NOT_IMPLEMENTED);
  if (view.getUint16(4) !== 1) return say(FORMAT_ERROR);
  const question = questionOf(query);
  if (question === undefined) return say(FORMAT_ERROR);
  const found = known(question.name, question.type);
  if (found === undefined) return say(NO_SUCH_NAME, question);
  const address = question.type === TYPE_A ? found.v4 : question.type === TYPE_AAAA ? found.v6 : undefined;
  return say(NO_ERROR, question, address);
}

/**
 * The name that a query asks for, and nothing else; undefined of others. A name server may take other messages, too: an update (RFC 2136), or a question for
 * all that it knows of a zone.
 */
export function nameAsked(query: Uint8Array): string | undefined {
  if (query.length < HEADER) return undefined;
  const view = new DataView(query.buffer, query.byteOffset, query.byteLength);
  const [flags = QR, questions, answers, authorities] = [2, 4, 6, 8].map((at) => view.getUint16(at));
  if ((flags & (QR | OPCODE)) !== 0 || questions !== 1 || answers !== 0 || authorities !== 0)
    return undefined;
  const question = questionOf(query);
  return question === undefined || TRANSFERS.has(question.type) ? undefined : question.name;
}

function questionOf(query: Uint8Array): Question | undefined {
  const labels: string[] = [];
  let at = HEADER;
  let length = 0;
  for (;;) {
    const size = query[at];
    // a question has no name before it that its own could be a part of
    if (size === undefined || size > 63) return undefined;
    at += 1;
    if (size === 0) break;
    length += size + 1;
    if (at + size > query.length || length > 254) return undefined;
    labels.push(labelText(query.subarray(at, at + size)));
    at += size;
  }
  if (at + 4 > query.length) return undefined;
  const view = new DataView(query.buffer, query.byteOffset, query.byteLength);
  if (view.getUint16(at + 2) !== CLASS_IN) return undefined;
  return { name: canonicalName(labels.join(".")), type: view.getUint16(at), end: at + 4 };
}

/** A label as files of zones have it (RFC 1035 5.1): what would be something else on a terminal or within a name is \DDD. */
function labelText(bytes: Uint8Array): string {
  const isPlain = (byte: number) => byte > 0x20 && byte < 0x7f && byte !== DOT && byte !== BACKSLASH;
  const texts = Array.from(bytes, (byte) =>
    isPlain(byte) ? String.fromCharCode(byte) : `\\${String(byte).padStart(3, "0")}`,
  );
  return texts.join("");
}

function packet(
  query: Uint8Array,
  flags: number,
  code: number,
  question: Question | undefined,
  address: InetAddress | undefined,
): Uint8Array {
  const asked = question === undefined ? new Uint8Array() : query.subarray(HEADER, question.end);
  const record = address === undefined ? new Uint8Array() : addressRecord(address);
  const answer = new Uint8Array(HEADER + asked.length + record.length);
  const view = new DataView(answer.buffer);
  answer.set(query.subarray(0, 2));
  view.setUint16(2, ANSWERS | (flags & RECURSION_DESIRED) | code);
  view.setUint16(4, question === undefined ? 0 : 1);
  view.setUint16(6, address === undefined ? 0 : 1);
  answer.set(asked, HEADER);
  answer.set(record, HEADER + asked.length);
  return answer;
}

/** A record of the name that was asked for. */
function addressRecord(address: InetAddress): Uint8Array {
  const record = new Uint8Array(12 + address.length);
  const view = new DataView(record.buffer);
  // the name is the one at this offset (RFC 1035 4.1.4)
  view.setUint16(0, 0xc000 | HEADER);
  view.setUint16(2, address.length === 4 ? TYPE_A : TYPE_AAAA);
  view.setUint16(4, CLASS_IN);
  view.setUint32(6, TIME_TO_LIVE);
  view.setUint16(10, address.length);
  record.set(address, 12);
  return record;
}
