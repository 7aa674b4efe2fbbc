import { HakoError } from "../base/errors";
import { hasErrno, readBytes, writeBytes } from "../linux/file/file";
import { join } from "../linux/file/path-text";
import type { SeccompFilter } from "../linux/process/filter-steps";
import type { Config, Seccomp } from "../oci/config";
import type { ContainerId } from "../oci/id";
import { logWarning } from "../output/log";
import { bytesOfFilter, filterOfBytes } from "../seccomp/filter-bytes";
import type { CachedFilter } from "./filter-cache";
import { containerDirectory, FILTER } from "./root";

/** Loaded on first use. */
const rare = {
  /** For those who have a profile. */
  get filterCache() {
    return require("./filter-cache") as typeof import("./filter-cache");
  },
  get compile() {
    return require("../seccomp/compile") as typeof import("../seccomp/compile");
  },
  get answer() {
    return require("../seccomp/answer") as typeof import("../seccomp/answer");
  },
  get unknownCalls() {
    return require("../seccomp/unknown-calls") as typeof import("../seccomp/unknown-calls");
  },
};

/** Stores the filter of a config's profile for `exec`, and returns it. */
export function makeFilter(
  root: string,
  id: ContainerId,
  config: Config,
  made?: SeccompFilter,
): SeccompFilter | undefined {
  const filter = made ?? compiledFilter(config);
  if (filter === undefined) return undefined;
  writeBytes(join(containerDirectory(root, id), FILTER), bytesOfFilter(filter), 0o600);
  return filter;
}

/** The filter of a config's profile: it comes from the cache, or the profile is compiled. */
export function compiledFilter(config: Config): SeccompFilter | undefined {
  const profile = config.linux?.seccomp;
  if (profile === undefined) return undefined;
  const noNewPrivileges = config.process?.noNewPrivileges === true;
  const { FilterCache, filterKey } = rare.filterCache;
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

/** Compiles a profile. The compiler and its tables are loaded for this alone. */
function compileFilter(profile: Seccomp, noNewPrivileges: boolean): CachedFilter {
  // as with runc, whose callers may know of calls that are newer than hako
  const warnings = rare.unknownCalls
    .unknownForbidden(profile)
    .map(({ pointer, message }) => `config /linux/seccomp${pointer}: ${message}`);
  for (const message of warnings) logWarning(message);
  const filter = rare.compile.compile(profile);
  rare.answer.checkStart(filter, noNewPrivileges);
  return { filter, warnings };
}

/** The filter that the container was made with. */
export function storedFilter(root: string, id: ContainerId): SeccompFilter | undefined {
  const file = join(containerDirectory(root, id), FILTER);
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
