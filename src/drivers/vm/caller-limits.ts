import {
  callerOpenFiles,
  getLimit,
  openFilesLimit,
  RLIMITS,
  type RlimitName,
} from "../../linux/process/rlimit";
import type { Process } from "../../oci/config";

/** No process of a kernel can have more open files by itself (/proc/sys/fs/nr_open, fs/file.c); the host's may have been told otherwise. */
const MOST_OPEN_FILES = 1n << 20n;

/** A process that has the caller's limits where it has none of its own, as on a host, where it inherits them. */
export function withCallersLimits(process: Process): Process {
  const own = process.rlimits ?? [];
  const inherited = (Object.keys(RLIMITS) as RlimitName[])
    .filter((name) => !own.some(({ type }) => type === name))
    .map((type) => ({ type, ...callersLimit(type) }));
  return { ...process, rlimits: [...own, ...inherited] };
}

function callersLimit(name: RlimitName): { soft: bigint; hard: bigint } {
  const ofCaller = name === "RLIMIT_NOFILE" ? callerOpenFiles() : undefined;
  const { soft, hard } = ofCaller === undefined ? getLimit(0, name) : openFilesLimit(ofCaller);
  if (name !== "RLIMIT_NOFILE") return { soft, hard };
  const least = (limit: bigint) => (limit < MOST_OPEN_FILES ? limit : MOST_OPEN_FILES);
  return { soft: least(soft), hard: least(hard) };
}
