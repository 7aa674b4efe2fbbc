import * as v from "valibot";
import { RULE_TYPES } from "./device-types";
import {
  bytes,
  flag,
  int64,
  list,
  map,
  nameOf,
  object,
  optional,
  text,
  textMap,
  uint16,
  uint32,
  uint64,
} from "./schema";

/** `linux.resources` of config.json: the limits of cgroups (runtime-spec config-linux.md "Control groups"). */

export const deviceRule = object({
  allow: v.nullish(v.boolean(), false),
  type: optional(nameOf(RULE_TYPES)),
  major: optional(int64),
  minor: optional(int64),
  access: optional(text),
});

const memory = object({
  limit: optional(bytes),
  reservation: optional(bytes),
  swap: optional(bytes),
  kernel: optional(bytes),
  kernelTCP: optional(bytes),
  swappiness: optional(uint64),
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
  idle: optional(int64),
});

const throttle = list(object({ major: int64, minor: int64, rate: uint64 }));

const blockIO = object({
  weight: optional(uint16),
  leafWeight: optional(uint16),
  weightDevice: list(
    object({ major: int64, minor: int64, weight: optional(uint16), leafWeight: optional(uint16) }),
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
  hugepageLimits: list(object({ pageSize: text, limit: uint64 })),
  network: optional(
    object({
      classID: optional(uint32),
      priorities: list(object({ name: text, priority: uint32 })),
    }),
  ),
  rdma: optional(map(object({ hcaHandles: optional(uint32), hcaObjects: optional(uint32) }))),
  unified: textMap,
});
