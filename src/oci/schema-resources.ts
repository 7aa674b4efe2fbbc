import * as v from "valibot";
import { RULE_TYPES } from "./device-types";
import type { Integer } from "./json";
import {
  between,
  bytes,
  expectedNumber,
  expectedText,
  flag,
  int64,
  isInteger,
  isText,
  list,
  map,
  nameOf,
  object,
  optional,
  schemaWord,
  text,
  textMap,
  uint32,
  uint64,
} from "./schema";

/** `linux.resources` of config.json: the limits of cgroups (runtime-spec config-linux.md "Control groups"). */

/** A number in a device rule; -1 is how some engines write "all". */
const ruleNumber = between(-1, 0x7fffffff);

const UNSIGNED_MINUS_ONE = 2n ** 64n - 1n;

/** Callers with unsigned numbers write -1, which leaves the kernel's value, as 2^64 - 1. */
function isSwappiness(value: unknown): value is Integer {
  return isInteger(value) && value >= 0 && (value <= 100 || value === UNSIGNED_MINUS_ONE);
}

const swappiness = schemaWord(isSwappiness, (input) => expectedNumber(input, 0, 100), {
  type: "integer",
  minimum: 0,
});

function isWeight(value: unknown): value is number {
  return (
    value === 0 || (typeof value === "number" && Number.isInteger(value) && value >= 10 && value <= 1000)
  );
}

/** A weight of blkio (cgroup-v1/blkio-controller.rst); 0 leaves the present one. */
const weight = schemaWord(isWeight, (input) => expectedNumber(input, 10, 1000), {
  type: "integer",
  minimum: 0,
  maximum: 1000,
});

const PAGE_SIZE = /^[1-9][0-9]*[KMG]B$/;

/** The size of huge pages as the kernel writes it. */
const pageSize = schemaWord(
  (value): value is string => isText(value) && PAGE_SIZE.test(value),
  (input) => (isText(input) ? 'expected a page size, such as "2MB"' : expectedText(input)),
  { type: "string", pattern: PAGE_SIZE.source },
);

export const deviceRule = object({
  allow: v.nullish(v.boolean(), false),
  type: optional(nameOf(RULE_TYPES)),
  major: optional(ruleNumber),
  minor: optional(ruleNumber),
  access: optional(text),
});

const memory = object({
  limit: optional(bytes),
  reservation: optional(bytes),
  swap: optional(bytes),
  kernel: optional(bytes),
  kernelTCP: optional(bytes),
  swappiness: optional(swappiness),
  disableOOMKiller: flag,
  useHierarchy: flag,
  checkBeforeUpdate: flag,
});

const cpu = object({
  shares: optional(uint64),
  quota: optional(int64),
  burst: optional(uint64),
  period: optional(uint64),
  realtimeRuntime: optional(int64),
  realtimePeriod: optional(uint64),
  cpus: optional(text),
  mems: optional(text),
  idle: optional(between(0, 1)),
});

const throttle = list(object({ major: int64, minor: int64, rate: uint64 }));

const blockIO = object({
  weight: optional(weight),
  leafWeight: optional(weight),
  weightDevice: list(
    object({ major: int64, minor: int64, weight: optional(weight), leafWeight: optional(weight) }),
  ),
  throttleReadBpsDevice: throttle,
  throttleWriteBpsDevice: throttle,
  throttleReadIOPSDevice: throttle,
  throttleWriteIOPSDevice: throttle,
});

export const resources = object({
  devices: list(deviceRule),
  memory: optional(memory),
  cpu: optional(cpu),
  pids: optional(object({ limit: optional(int64) })),
  blockIO: optional(blockIO),
  hugepageLimits: list(object({ pageSize, limit: uint64 })),
  network: optional(
    object({
      classID: optional(uint32),
      priorities: list(object({ name: text, priority: uint32 })),
    }),
  ),
  rdma: optional(map(object({ hcaHandles: optional(uint32), hcaObjects: optional(uint32) }))),
  unified: textMap,
});
