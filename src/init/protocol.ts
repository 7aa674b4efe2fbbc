import { deserialize, serialize } from "bun:jsc";
import type { CgroupMounts } from "../cgroup";
import { HakoError } from "../errors";
import { concatenated } from "../linux/bytes";
import type { Fd } from "../linux/fd";
import { hasErrno } from "../linux/file";
import type { SeccompFilter } from "../linux/seccomp";
import { readSome, writeAll } from "../linux/socket";
import type { Config, Linux } from "../oci/config";
import type { State } from "../oci/state";
import type { ErrorMessage } from "./error-message";

/** More than any config.json; a longer frame is a mistake. */
const MAX_FRAME = 64 << 20;
const HEADER = 4;

/** What of a config the container's process has to do with: others compile the filter and write the limits. */
export type InitConfig = Omit<Config, "linux"> & {
  linux?: (Omit<Linux, "seccomp" | "resources"> & { seccomp?: never; resources?: never }) | undefined;
};

/** What a container's first process is told, once. Numbers of descriptors are its own. */
export interface InitRequest {
  config: InitConfig;
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
  /** How many descriptors of cgroup files follow, the first of all: init writes 0 in each to move in. */
  cgroupFiles: number;
  /** It does so before anything is mounted; otherwise last. */
  joinsFirst: boolean;
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
  /** Places in /mounts whose sources follow after those, each as a descriptor. */
  bindSources: number[];
  /** Places in /linux/devices of those that were made outside; each follows as a descriptor, the last of all. */
  madeDevices: number[];
  /** A mount namespace to join. */
  mountNamespace: number | undefined;
}

/** What it is told next: it can build the root file system before there is a filter, which takes as long to compile. */
export interface FilterMessage {
  filter: SeccompFilter | undefined;
}

/** Where init has come to and waits until it may go on. */
export type Stage =
  | "mounted" // the rootfs is built: time for prestart and createRuntime hooks
  | "prepared" // the rootfs is entered and finished: time for what is done to the process from outside
  | "ready"; // all is done but the program's execution: waits for start

export type InitMessage = { stage: Stage } | { warning: string } | { error: ErrorMessage };

/** Sends a frame: four bytes of length, then the value; big integers survive. */
export function sendValue(socket: Fd, value: unknown): void {
  const body = new Uint8Array(serialize(value));
  const frame = new Uint8Array(HEADER + body.length);
  new DataView(frame.buffer).setUint32(0, body.length, true);
  frame.set(body, HEADER);
  writeAll(socket, frame);
}

/** Receives a frame; undefined when the other side has closed its end. */
export function receiveValue(socket: Fd): unknown {
  try {
    return receiveFrame(socket);
  } catch (error) {
    // closed with something of ours unread
    if (hasErrno(error, "ECONNRESET")) return undefined;
    throw error;
  }
}

function receiveFrame(socket: Fd): unknown {
  const header = readExactly(socket, HEADER);
  if (header === undefined) return undefined;
  const length = new DataView(header.buffer, header.byteOffset).getUint32(0, true);
  if (length > MAX_FRAME) throw new HakoError({ code: "system", message: `a frame of ${length} bytes` });
  const body = readExactly(socket, length);
  return body === undefined ? undefined : deserialize(new Uint8Array(body).buffer);
}

function readExactly(socket: Fd, length: number): Uint8Array | undefined {
  const parts: Uint8Array[] = [];
  for (let missing = length; missing > 0; ) {
    const part = readSome(socket, missing);
    if (part.length === 0) return undefined;
    parts.push(part);
    missing -= part.length;
  }
  return concatenated(parts);
}
