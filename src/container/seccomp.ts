import { during, HakoError } from "../base/errors";
import { bytesOf } from "../linux/call/bytes";
import type { Fd } from "../linux/call/fd";
import { sendFd } from "../linux/file/descriptor-passing";
import { hasErrno, readBytes, writeBytes } from "../linux/file/file";
import { join } from "../linux/file/path-text";
import { writeAllWaiting } from "../linux/file/stream";
import { unixConnect } from "../linux/file/unix-socket";
import type { SeccompFilter } from "../linux/process/filter-steps";
import type { Config, Seccomp } from "../oci/config";
import type { ContainerId } from "../oci/id";
import type { State } from "../oci/state";
import { logWarning } from "../output/log";
import { bytesOfFilter, filterOfBytes } from "../seccomp/filter-bytes";
import { containerDirectory } from "../state/record";
import type { CachedFilter } from "./filter-cache";

/** The compiled filter. */
const FILE = "seccomp.bpf";
/** What sendFd sends along with a descriptor; the rest follows. */
const FIRST_PART = 4000;

/** Compiles the profile of a config, unless that was done, and keeps the filter for `exec`. */
export function makeFilter(
  root: string,
  id: ContainerId,
  config: Config,
  made?: SeccompFilter,
): SeccompFilter | undefined {
  const filter = made ?? compiled(config);
  if (filter === undefined) return undefined;
  writeBytes(join(containerDirectory(root, id), FILE), bytesOfFilter(filter), 0o600);
  return filter;
}

function compiled(config: Config): SeccompFilter | undefined {
  const profile = config.linux?.seccomp;
  if (profile === undefined) return undefined;
  const noNewPrivileges = config.process?.noNewPrivileges === true;
  // for those who have a profile
  const { FilterCache, filterKey } = require("./filter-cache") as typeof import("./filter-cache");
  const cache = new FilterCache();
  const key = filterKey(profile, noNewPrivileges);
  const found = key === undefined ? undefined : cache.find(key);
  if (found !== undefined) {
    for (const message of found.warnings) logWarning(message);
    return found.filter;
  }
  const made = compileFilter(profile, noNewPrivileges);
  if (key !== undefined) cache.keep(key, made);
  return made.filter;
}

/** The compiler with its tables is loaded for those whose profile is not in the cache. */
function compileFilter(profile: Seccomp, noNewPrivileges: boolean): CachedFilter {
  const { compile } = require("../seccomp/compile") as typeof import("../seccomp/compile");
  const { checkStart } = require("../seccomp/answer") as typeof import("../seccomp/answer");
  const { unknownForbidden } =
    require("../seccomp/unknown-calls") as typeof import("../seccomp/unknown-calls");
  // as with runc, whose callers may know of calls that are newer than hako
  const warnings = unknownForbidden(profile).map(
    ({ pointer, message }) => `config /linux/seccomp${pointer}: ${message}`,
  );
  for (const message of warnings) logWarning(message);
  const filter = compile(profile);
  checkStart(filter, noNewPrivileges);
  return { filter, warnings };
}

/** The filter that the container was made with. */
export function storedFilter(root: string, id: ContainerId): SeccompFilter | undefined {
  const file = join(containerDirectory(root, id), FILE);
  let bytes: Uint8Array;
  try {
    bytes = readBytes(file);
  } catch (error) {
    if (hasErrno(error, "ENOENT")) return undefined;
    throw error;
  }
  const filter = filterOfBytes(bytes);
  if (filter !== undefined) return filter;
  throw new HakoError({ code: "state", message: `container "${id}": ${file} is broken` });
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
    writeAllWaiting(agent, bytes.subarray(FIRST_PART));
  });
}
