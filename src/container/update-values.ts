import { HakoError } from "../base/errors";
import { parseSize } from "../base/size";
import type { Update } from "../drivers/interface/driver";
import { textOf } from "../linux/call/bytes";
import { readText } from "../linux/file/file";
import { readAllWaiting } from "../linux/file/stream";
import { exactInteger, pointer } from "../oci/json";
import { parseResources, readResources } from "../oci/resources-document";
import { logWarning } from "../output/log";
import { cpuTime } from "./cpus";

const STANDARD_INPUT = 0;

/** What each flag of `update` sets, and how it is written. */
export const LIMIT_FLAGS = {
  "blkio-weight": ["blockIO", "weight", "number", "share of block IO, 10 to 1000"],
  "cpu-period": ["cpu", "period", "number", "CPU period in microseconds"],
  "cpu-quota": ["cpu", "quota", "number", "CPU time in each period, in microseconds; -1 is no limit"],
  "cpu-burst": ["cpu", "burst", "number", "CPU time that may be saved up, in microseconds"],
  "cpu-share": ["cpu", "shares", "number", "share of CPU time beside others, 1024 is the default"],
  "cpu-rt-period": ["cpu", "realtimePeriod", "number", "period of realtime scheduling in microseconds"],
  "cpu-rt-runtime": ["cpu", "realtimeRuntime", "number", "realtime CPU time in each period"],
  "cpu-idle": ["cpu", "idle", "number", "1: only what others leave idle; 0: ordinary"],
  "cpuset-cpus": ["cpu", "cpus", "text", "processors to use, as 0-3,7"],
  "cpuset-mems": ["cpu", "mems", "text", "memory nodes to use"],
  "kernel-memory": [
    "memory",
    "kernel",
    "size",
    "limit of kernel memory (cgroup v1; no effect on newer kernels)",
  ],
  "kernel-memory-tcp": ["memory", "kernelTCP", "size", "limit of kernel memory for TCP buffers (cgroup v1)"],
  memory: ["memory", "limit", "size", "memory limit, as 64M; -1 is none"],
  "memory-reservation": [
    "memory",
    "reservation",
    "size",
    "memory that the kernel leaves it when it is short",
  ],
  "memory-swap": ["memory", "swap", "size", "limit of memory and swap together; -1 is none"],
  "pids-limit": ["pids", "limit", "number", "limit of processes and threads; -1 is none, 0 leaves it"],
} as const;

const FORM_HINTS = {
  number: "digits alone",
  size: "a number with K, M or G, as 64M",
} as const;

type LimitFlag = keyof typeof LIMIT_FLAGS;

/** Of Intel RDT, which is no cgroup's. */
export const SCHEMA_FLAGS = {
  "l3-cache-schema": "share of the L3 cache, by Intel RDT, as L3:0=ff;1=f",
  "mem-bw-schema": "share of the memory bandwidth, by Intel RDT, as MB:0=20;1=70",
} as const;

/** Sets two of the limits. */
export const CPUS_FLAG = "processors' time, as 0.5: --cpu-quota and --cpu-period in one";

type Flag = LimitFlag | keyof typeof SCHEMA_FLAGS | "cpus";

/** What `--resources` (a file, or - for standard input) describes, or the other flags, which don't count beside it. */
export function changesOf(
  file: string | undefined,
  values: Readonly<Partial<Record<Flag, string | undefined>>>,
): Update {
  const isGiven = (flag: Flag): boolean => values[flag] !== undefined;
  const flags = (Object.keys(LIMIT_FLAGS) as LimitFlag[]).filter(isGiven);
  const schemas = (Object.keys(SCHEMA_FLAGS) as (keyof typeof SCHEMA_FLAGS)[]).filter(isGiven);
  if (file !== undefined) {
    const cpus = values.cpus === undefined ? [] : ["cpus"];
    const ignored = [...flags, ...schemas, ...cpus].map((flag) => `--${flag}`).join(", ");
    if (ignored !== "") logWarning(`update: ${ignored}: without effect beside --resources`);
    const text = file === "-" ? textOf(readAllWaiting(STANDARD_INPUT)) : readText(file);
    const name = file === "-" ? "standard input" : file;
    const { resources, unknown } = parseResources(text, name);
    if (unknown.length > 0)
      logWarning(`update: ${name}: unknown, and changes nothing: ${unknown.join(", ")}`);
    return { resources, schemas: {} };
  }
  const sections: Record<string, Record<string, string | number | bigint>> = {};
  for (const flag of flags) {
    const [section, field, form] = LIMIT_FLAGS[flag];
    sections[section] = { ...sections[section], [field]: limitOf(flag, form, values[flag] ?? "") };
  }
  if (values.cpus !== undefined) {
    const other = flags.find((flag) => flag === "cpu-quota" || flag === "cpu-period");
    if (other !== undefined) throw usage(`--cpus and --${other} say the same`);
    sections.cpu = { ...sections.cpu, ...cpuTime(values.cpus) };
  }
  const read = readResources(sections);
  if ("problems" in read) {
    const [problem] = read.problems;
    const wrong = flags.find((flag) => problem?.pointer === pointer(LIMIT_FLAGS[flag].slice(0, 2)));
    throw usage(`--${wrong}: ${problem?.message}`);
  }
  return {
    resources: read.resources,
    schemas: Object.fromEntries(schemas.map((flag) => [flag, values[flag] ?? ""])),
  };
}

function limitOf(flag: string, form: "number" | "size" | "text", text: string): string | number | bigint {
  if (form === "text") return text;
  if (/^-?\d{1,19}$/.test(text)) return exactInteger(text);
  const bytes = form === "size" ? parseSize(text) : undefined;
  if (bytes !== undefined) return bytes;
  throw usage(`--${flag}: ${JSON.stringify(text)} is not a ${form}`, FORM_HINTS[form]);
}

function usage(message: string, hint?: string): HakoError {
  return HakoError.usage(`update: ${message}`, hint);
}
