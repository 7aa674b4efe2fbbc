import * as v from "valibot";
import { MEMORY_POLICIES, MEMORY_POLICY_FLAGS } from "../linux/process/memory-policy";
import { PERSONALITIES } from "../linux/process/personality";
import {
  between,
  bytes,
  flag,
  id,
  int64,
  list,
  map,
  nameOf,
  object,
  optional,
  text,
  textMap,
  texts,
  uint16,
  uint32,
  uint64,
} from "./schema";
import { seccomp } from "./schema-seccomp";

/** `linux` of config.json (runtime-spec config-linux.md). */

/** What a device number has room for (linux/kdev_t.h): 12 and 20 bits. */
const MAX_MAJOR = 0xfff;
const MAX_MINOR = 0xfffff;

// what is missing or null is 0 or false, as in Go, which leaves such fields out or fills them so
export const idMapping = object({
  containerID: v.nullish(uint32, 0),
  hostID: v.nullish(uint32, 0),
  size: v.nullish(uint32, 0),
});

export const namespace = object({ type: text, path: optional(text) });

export const device = object({
  path: text,
  type: text,
  major: optional(between(0, MAX_MAJOR)),
  minor: optional(between(0, MAX_MINOR)),
  fileMode: optional(between(0, 0o177777)),
  uid: optional(id),
  gid: optional(id),
});

export const deviceRule = object({
  allow: v.nullish(v.boolean(), false),
  type: optional(text),
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

const timeOffset = object({ secs: v.nullish(int64, 0), nanosecs: v.nullish(between(0, 999_999_999), 0) });

const memoryPolicy = object({
  mode: nameOf(MEMORY_POLICIES),
  nodes: optional(text),
  flags: list(nameOf(MEMORY_POLICY_FLAGS)),
});

const personality = object({ domain: nameOf(PERSONALITIES), flags: texts });

export const linux = object({
  uidMappings: list(idMapping),
  gidMappings: list(idMapping),
  timeOffsets: optional(map(timeOffset)),
  sysctl: textMap,
  resources: optional(resources),
  cgroupsPath: optional(text),
  namespaces: list(namespace),
  devices: list(device),
  netDevices: optional(map(object({ name: optional(text) }))),
  seccomp: optional(seccomp),
  rootfsPropagation: optional(text),
  maskedPaths: texts,
  readonlyPaths: texts,
  mountLabel: optional(text),
  intelRdt: optional(
    object({
      closID: optional(text),
      schemata: texts,
      l3CacheSchema: optional(text),
      memBwSchema: optional(text),
      enableMonitoring: flag,
    }),
  ),
  memoryPolicy: optional(memoryPolicy),
  personality: optional(personality),
});
