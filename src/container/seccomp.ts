import { during } from "../errors";
import { bytesOf } from "../linux/bytes";
import type { Fd } from "../linux/fd";
import { hasErrno, readBytes, writeBytes } from "../linux/file";
import { join } from "../linux/path-text";
import { PASSING_CALLS, type SeccompFilter } from "../linux/seccomp";
import { sendFd, unixConnect, writeAll } from "../linux/socket";
import type { Config } from "../oci/config";
import type { State } from "../oci/state";
import type { ContainerId } from "./id";
import { containerDirectory } from "./record";

/** The compiled filter: four bytes of flags, four that say which of PASSING_CALLS is its listener's, then the program. */
const FILE = "seccomp.bpf";
const HEADER = 8;
/** What sendFd sends along with a descriptor; the rest follows. */
const FIRST_PART = 4000;

/** Compiles the profile of a config, unless that was done, and keeps the filter for `exec`. */
export function makeFilter(
  root: string,
  id: ContainerId,
  config: Config,
  warn: (message: string) => void,
  made?: SeccompFilter,
): SeccompFilter | undefined {
  const filter = made ?? compiled(config, warn);
  if (filter === undefined) return undefined;
  const bytes = new Uint8Array(HEADER + filter.program.length);
  const header = new DataView(bytes.buffer);
  header.setUint32(0, filter.flags, true);
  header.setUint32(4, PASSING_CALLS.indexOf(filter.passedBy), true);
  bytes.set(filter.program, HEADER);
  writeBytes(join(containerDirectory(root, id), FILE), bytes, 0o600);
  return filter;
}

function compiled(config: Config, warn: (message: string) => void): SeccompFilter | undefined {
  const profile = config.linux?.seccomp;
  if (profile === undefined) return undefined;
  // the compiler with its tables is loaded for those who have a profile
  const { compile } = require("../seccomp/compile") as typeof import("../seccomp/compile");
  const { checkStart } = require("../seccomp/answer") as typeof import("../seccomp/answer");
  const { unknownForbidden } =
    require("../seccomp/unknown-calls") as typeof import("../seccomp/unknown-calls");
  // as with runc, whose callers may know of calls that are newer than hako
  for (const { pointer, message } of unknownForbidden(profile))
    warn(`config /linux/seccomp${pointer}: ${message}`);
  const filter = compile(profile);
  checkStart(filter, config.process?.noNewPrivileges === true);
  return filter;
}

/** The filter that the container was made with. */
export function storedFilter(root: string, id: ContainerId): SeccompFilter | undefined {
  let bytes: Uint8Array;
  try {
    bytes = readBytes(join(containerDirectory(root, id), FILE));
  } catch (error) {
    if (hasErrno(error, "ENOENT")) return undefined;
    throw error;
  }
  const header = new DataView(bytes.buffer, bytes.byteOffset);
  return {
    flags: header.getUint32(0, true),
    passedBy: PASSING_CALLS[header.getUint32(4, true)] ?? "sendmsg",
    program: bytes.slice(HEADER),
  };
}

/** Sends a filter's listener to the agent at /linux/seccomp/listenerPath (config-linux.md "The Container Process State"). */
export function passListener(fd: Fd, config: Config, pid: number, state: State): void {
  const { listenerPath = "", listenerMetadata } = config.linux?.seccomp ?? {};
  const metadata = listenerMetadata === undefined ? {} : { metadata: listenerMetadata };
  const text = JSON.stringify({ ociVersion: state.ociVersion, fds: ["seccompFd"], pid, ...metadata, state });
  const bytes = bytesOf(text);
  during(`config /linux/seccomp/listenerPath: ${listenerPath}`, () => {
    using agent = unixConnect(listenerPath);
    sendFd(agent, fd, bytes.subarray(0, FIRST_PART));
    writeAll(agent, bytes.subarray(FIRST_PART));
  });
}
