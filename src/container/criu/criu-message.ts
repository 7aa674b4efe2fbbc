/**
 * The messages of criu's service socket that hako needs (criu: images/rpc.proto). They are protocol buffers: fields with a number and a
 * value. Two kinds of values occur here, whole numbers and runs of bytes.
 */

import { bytesOf, textOf as textOfBytes } from "../../linux/call/bytes";

/** What criu is asked to do (criu_req_type). */
export const REQUEST = { dump: 1, restore: 2, "pre-dump": 4, notify: 6, features: 9 } as const;
export type RequestKind = keyof typeof REQUEST;

/** criu_cg_mode. */
export const CGROUP_MODES = { ignore: 0, soft: 3, full: 4, strict: 5 } as const;
export type CgroupMode = keyof typeof CGROUP_MODES;

/** Numbers of the fields of criu_opts. */
const OPTIONS = {
  imagesDirectory: 1,
  pid: 2,
  leaveRunning: 3,
  externalUnixSockets: 4,
  tcpEstablished: 5,
  evasiveDevices: 6,
  shellJob: 7,
  fileLocks: 8,
  logLevel: 9,
  logFile: 10,
  pageServer: 11,
  notifyScripts: 12,
  root: 13,
  parentImage: 14,
  trackMemory: 15,
  autoDedup: 16,
  workDirectory: 17,
  linkRemap: 18,
  cgroupRoots: 25,
  restoreSibling: 26,
  inheritFds: 27,
  cgroupMode: 34,
  external: 37,
  emptyNamespaces: 38,
  joinNamespaces: 39,
  freezeCgroup: 44,
  tcpSkipInFlight: 46,
  lazyPages: 48,
  orphanPtsMaster: 50,
  configFile: 51,
  tcpClose: 52,
  lsmProfile: 53,
  lsmMountContext: 63,
} as const;

/** The value of a field. A list repeats the field; undefined leaves it out. */
type Value = number | boolean | string | Uint8Array | readonly (string | Uint8Array)[] | undefined;
export type CriuOptions = { [K in keyof typeof OPTIONS]?: Value };

/** A whole number in groups of seven bits, the lowest first. */
function varint(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  for (; rest > 0x7f; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 0x80);
  return [...bytes, rest];
}

function field(number: number, value: Value): Uint8Array[] {
  if (value === undefined) return [];
  if (typeof value === "number" || typeof value === "boolean") {
    return [Uint8Array.from([...varint(number * 8), ...varint(Number(value))])];
  }
  if (typeof value === "string" || value instanceof Uint8Array) {
    const data = typeof value === "string" ? bytesOf(value) : value;
    return [Uint8Array.from([...varint(number * 8 + 2), ...varint(data.length)]), data];
  }
  return value.flatMap((each) => field(number, each));
}

/** A message of fields by their numbers. */
export function encodeFields(fields: readonly (readonly [number: number, value: Value])[]): Uint8Array {
  return Buffer.concat(fields.flatMap(([number, value]) => field(number, value)));
}

/** inherit_fd: hako's descriptor in place of what the image calls `key`. */
export function encodeInheritedFd(key: string, fd: number): Uint8Array {
  return encodeFields([
    [1, key],
    [2, fd],
  ]);
}

/** cgroup_root: the cgroup that the restored processes' cgroups of a controller begin at. */
export function encodeCgroupRoot(controller: string, path: string): Uint8Array {
  return encodeFields([
    [1, controller],
    [2, path],
  ]);
}

/** join_namespace: a namespace that exists already. */
export function encodeJoinNamespace(type: string, file: string): Uint8Array {
  return encodeFields([
    [1, type],
    [2, file],
  ]);
}

/** criu_page_server_info: the server that takes the pages of memory. */
export function encodePageServer(address: string, port: number): Uint8Array {
  return encodeFields([
    [1, address],
    [2, port],
  ]);
}

/** criu_req. The feature check asks for dirty tracking and lazy pages. */
export function encodeRequest(kind: RequestKind, options?: CriuOptions): Uint8Array {
  const fields = Object.entries(options ?? {}).map(
    ([name, value]) => [OPTIONS[name as keyof typeof OPTIONS], value] as const,
  );
  return encodeFields([
    [1, REQUEST[kind]],
    [2, options === undefined ? undefined : encodeFields(fields)],
    [
      5,
      kind === "features"
        ? encodeFields([
            [1, true],
            [2, true],
          ])
        : undefined,
    ],
  ]);
}

/** The answer to a notification. */
export function encodeAcknowledgement(success: boolean): Uint8Array {
  return encodeFields([
    [1, REQUEST.notify],
    [3, success],
  ]);
}

/** What criu answers (criu_resp). */
export interface CriuResponse {
  type: number;
  success: boolean;
  /** Of the restored first process. */
  pid: number | undefined;
  notification: { script: string; pid: number | undefined } | undefined;
  /** errno, or 0. */
  errno: number;
  message: string;
  features: { memoryTracking: boolean; lazyPages: boolean };
}

type Fields = Map<number, number | Buffer>;

export function decodeFields(message: Buffer): Fields {
  const fields: Fields = new Map();
  let at = 0;
  const number = (): number => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = message[at++];
      if (byte === undefined) throw new Error("criu's message ends in the middle of a number");
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return Number(BigInt.asIntN(64, value));
    }
  };
  while (at < message.length) {
    const tag = number();
    const kind = tag % 8;
    if (kind === 0) fields.set(Math.floor(tag / 8), number());
    else if (kind === 2) {
      const length = number();
      fields.set(Math.floor(tag / 8), message.subarray(at, at + length));
      at += length;
    } else throw new Error(`criu's message has a field of the unknown kind ${kind}`);
  }
  return fields;
}

export function decodeResponse(message: Buffer): CriuResponse {
  const fields = decodeFields(message);
  const part = (number: number): Fields | undefined => {
    const bytes = fields.get(number);
    return bytes instanceof Buffer ? decodeFields(bytes) : undefined;
  };
  const notify = part(5);
  const features = part(8);
  return {
    type: numberOf(fields, 1) ?? 0,
    success: numberOf(fields, 2) === 1,
    pid: numberOf(part(4), 1),
    notification: notify === undefined ? undefined : { script: textOf(notify, 1), pid: numberOf(notify, 2) },
    errno: numberOf(fields, 7) ?? 0,
    message: textOf(fields, 9),
    features: { memoryTracking: numberOf(features, 1) === 1, lazyPages: numberOf(features, 2) === 1 },
  };
}

function numberOf(fields: Fields | undefined, number: number): number | undefined {
  const value = fields?.get(number);
  return typeof value === "number" ? value : undefined;
}

function textOf(fields: Fields, number: number): string {
  const value = fields.get(number);
  return value instanceof Buffer ? textOfBytes(value) : "";
}
