import { deserialize, serialize } from "bun:jsc";
import type { CgroupMounts } from "../cgroup";
import { type ErrorCode, HakoError } from "../errors";
import type { ErrnoName } from "../linux/errno";
import type { Fd } from "../linux/fd";
import { hasErrno } from "../linux/file";
import type { SeccompFilter } from "../linux/seccomp";
import { readSome, recvByte, writeAll } from "../linux/socket";
import type { Config, Linux, Process } from "../oci/config";
import type { State } from "../oci/state";

/** More than any config.json; a longer frame is a mistake. */
const MAX_FRAME = 64 << 20;
const HEADER = 4;

export { STAGE_NAME } from "./stage-name";

/** What a process of a container is told, once. Numbers of descriptors are its own. */
export type StageRequest = InitRequest | ExecRequest;

/** For one that is to run beside the first. */
export interface ExecRequest {
  kind: "exec";
  process: Process;
  /** What of the container's /linux concerns each of its programs. */
  linux: Pick<Linux, "personality" | "memoryPolicy"> | undefined;
  /** The container's seccomp filter. */
  filter: SeccompFilter | undefined;
  /** The id of the container. */
  id: string;
  noNewKeyring: boolean;
  preserveFds: number;
  /** The soft limit of open files that the caller had. */
  openFiles: number | undefined;
  cgroupFiles: number[];
  consoleSocket: number | undefined;
  /** The container's mount namespace; undefined if it is ours. */
  mountNamespace: number | undefined;
  /** Its root directory, if it has no mount namespace. */
  root: number | undefined;
}

/** For the first one. */
export interface InitRequest {
  kind: "init";
  config: Config;
  filter: SeccompFilter | undefined;
  /** Absolute. */
  bundle: string;
  rootfs: string;
  /** A directory where the host's root is mounted with a tmpfs over it; it is then the rootfs. */
  overlay: string | undefined;
  noPivot: boolean;
  noNewKeyring: boolean;
  preserveFds: number;
  /** The soft limit of open files that the caller had. */
  openFiles: number | undefined;
  cgroup: CgroupMounts | undefined;
  /** Descriptors of cgroup files in which init writes 0 to move in. */
  cgroupFiles: number[];
  newCgroupNamespace: boolean;
  newNetworkNamespace: boolean;
  /** It makes its time namespace itself. */
  newTimeNamespace: boolean;
  userNamespace: boolean;
  /** For hooks that run inside. */
  state: State;
  startSocket: number;
  consoleSocket: number | undefined;
  /** Descriptors of the sources of mounts whose owners are mapped, by their place in /mounts. */
  mappedMounts: [number, number][];
  /** A mount namespace to join. */
  mountNamespace: number | undefined;
}

/** Where init has come to and waits until it may go on. */
export type Stage =
  | "mounted" // the rootfs is built: time for prestart and createRuntime hooks
  | "prepared" // the rootfs is entered and finished: time to join the cgroup
  | "ready"; // all is done but the program's execution: waits for start

export interface ErrorMessage {
  code: ErrorCode;
  message: string;
  hint?: string | undefined;
  errno?: string | undefined;
  syscall?: string | undefined;
  path?: string | undefined;
}

export type InitMessage = { stage: Stage } | { warning: string } | { error: ErrorMessage };

/** Sends a frame: four bytes of length, then the value; big integers survive. */
export function sendValue(socket: Fd, value: unknown): void {
  const body = new Uint8Array(serialize(value));
  const frame = new Uint8Array(HEADER + body.length);
  new DataView(frame.buffer).setUint32(0, body.length, true);
  frame.set(body, HEADER);
  writeAll(socket, frame);
}

/** Receives a frame; undefined when the other side has closed its end. A descriptor before it goes to `listener`. */
export function receiveValue(socket: Fd, listener?: (fd: Fd) => void): unknown {
  try {
    return receiveFrame(socket, listener);
  } catch (error) {
    // closed with something of ours unread
    if (hasErrno(error, "ECONNRESET")) return undefined;
    throw error;
  }
}

function receiveFrame(socket: Fd, listener?: (fd: Fd) => void): unknown {
  const { byte, fd } = listener === undefined ? { byte: 0, fd: undefined } : recvByte(socket);
  if (byte === undefined) return undefined;
  if (fd !== undefined) {
    using owned = fd;
    listener?.(owned);
    writeAll(socket, new Uint8Array(1));
    return receiveFrame(socket);
  }
  const rest = readExactly(socket, listener === undefined ? HEADER : HEADER - 1);
  const header = listener === undefined || rest === undefined ? rest : Uint8Array.of(byte, ...rest);
  if (header === undefined) return undefined;
  const length = new DataView(header.buffer, header.byteOffset).getUint32(0, true);
  if (length > MAX_FRAME) throw new HakoError({ code: "system", message: `a frame of ${length} bytes` });
  const body = readExactly(socket, length);
  return body === undefined ? undefined : deserialize(new Uint8Array(body).buffer);
}

function readExactly(socket: Fd, length: number): Uint8Array | undefined {
  const parts: Buffer[] = [];
  for (let missing = length; missing > 0; ) {
    const part = readSome(socket, missing);
    if (part.length === 0) return undefined;
    parts.push(part);
    missing -= part.length;
  }
  return Buffer.concat(parts);
}

/** An error as plain data: its line with all causes, what to try apart. */
export function errorMessage(error: HakoError): ErrorMessage {
  const { code, oneLine: message, errno, syscall, path } = error;
  return { code, message, errno, syscall, path };
}

export function errorFrom(message: ErrorMessage): HakoError {
  return new HakoError({ ...message, errno: message.errno as ErrnoName | undefined });
}
