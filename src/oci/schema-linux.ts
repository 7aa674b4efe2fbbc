import * as v from "valibot";
import { MEMORY_POLICIES, MEMORY_POLICY_FLAGS } from "../linux/memory-policy";
import {
  between,
  flag,
  id,
  int32,
  int64,
  list,
  nameOf,
  optional,
  text,
  textMap,
  texts,
  uint32,
} from "./schema";
import { seccomp } from "./schema-seccomp";

/** `linux` of config.json (runtime-spec config-linux.md). */

// what is missing or null is 0 or false, as in Go, which leaves such fields out or fills them so
export const idMapping = v.object({
  containerID: v.nullish(uint32, 0),
  hostID: v.nullish(uint32, 0),
  size: v.nullish(uint32, 0),
});

export const namespace = v.object({ type: text, path: optional(text) });

export const device = v.object({
  path: text,
  type: text,
  major: optional(int32),
  minor: optional(int32),
  fileMode: optional(between(0, 0o177777)),
  uid: optional(id),
  gid: optional(id),
});

export const deviceRule = v.object({
  allow: v.nullish(v.boolean(), false),
  type: optional(text),
  major: optional(int64),
  minor: optional(int64),
  access: optional(text),
});

const memory = v.object({
  limit: optional(int64),
  reservation: optional(int64),
  swap: optional(int64),
  kernel: optional(int64),
  kernelTCP: optional(int64),
  swappiness: optional(int64),
  disableOOMKiller: flag,
  useHierarchy: flag,
  checkBeforeUpdate: flag,
});

const cpu = v.object({
  shares: optional(int64),
  quota: optional(int64),
  burst: optional(int64),
  period: optional(int64),
  realtimeRuntime: optional(int64),
  realtimePeriod: optional(int64),
  cpus: optional(text),
  mems: optional(text),
  idle: optional(int64),
});

const throttle = list(v.object({ major: int64, minor: int64, rate: int64 }));

const blockIO = v.object({
  weight: optional(int64),
  leafWeight: optional(int64),
  weightDevice: list(
    v.object({ major: int64, minor: int64, weight: optional(int64), leafWeight: optional(int64) }),
  ),
  throttleReadBpsDevice: throttle,
  throttleWriteBpsDevice: throttle,
  throttleReadIOPSDevice: throttle,
  throttleWriteIOPSDevice: throttle,
});

export const resources = v.object({
  devices: list(deviceRule),
  memory: optional(memory),
  cpu: optional(cpu),
  pids: optional(v.object({ limit: optional(int64) })),
  blockIO: optional(blockIO),
  hugepageLimits: list(v.object({ pageSize: text, limit: int64 })),
  network: optional(
    v.object({
      classID: optional(uint32),
      priorities: list(v.object({ name: text, priority: uint32 })),
    }),
  ),
  rdma: optional(
    v.record(v.string(), v.object({ hcaHandles: optional(uint32), hcaObjects: optional(uint32) })),
  ),
  unified: textMap,
});

const timeOffset = v.object({ secs: v.nullish(int64, 0), nanosecs: v.nullish(between(0, 999_999_999), 0) });

const memoryPolicy = v.object({
  mode: nameOf(MEMORY_POLICIES),
  nodes: optional(text),
  flags: list(nameOf(MEMORY_POLICY_FLAGS)),
});

const personality = v.object({ domain: v.picklist(["LINUX", "LINUX32"]), flags: texts });

export const linux = v.object({
  uidMappings: list(idMapping),
  gidMappings: list(idMapping),
  timeOffsets: optional(v.record(v.string(), timeOffset)),
  sysctl: textMap,
  resources: optional(resources),
  cgroupsPath: optional(text),
  namespaces: list(namespace),
  devices: list(device),
  netDevices: optional(v.record(v.string(), v.object({ name: optional(text) }))),
  seccomp: optional(seccomp),
  rootfsPropagation: optional(text),
  maskedPaths: texts,
  readonlyPaths: texts,
  mountLabel: optional(text),
  intelRdt: optional(
    v.object({
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
