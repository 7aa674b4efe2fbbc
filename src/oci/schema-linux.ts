import * as v from "valibot";
import { MEMORY_POLICIES, MEMORY_POLICY_FLAGS } from "../linux/process/memory-policy";
import { NAMESPACE_FLAGS } from "../linux/process/namespace";
import { PERSONALITIES } from "../linux/process/personality";
import { DEVICE_TYPES } from "./device-types";
import { ROOT_PROPAGATIONS } from "./root-propagation";
import {
  between,
  flag,
  id,
  int64,
  list,
  map,
  mapOf,
  nameOf,
  object,
  optional,
  text,
  textMap,
  texts,
  uint32,
} from "./schema";
import { resources } from "./schema-resources";
import { seccomp } from "./schema-seccomp";

/** `linux` of config.json (runtime-spec config-linux.md). */

/** The largest parts of a device number (linux/kdev_t.h): 12 and 20 bits. */
const MAX_MAJOR = 0xfff;
const MAX_MINOR = 0xfffff;

// A missing field is 0, and so is null: Go leaves fields with their zero value out, or writes null.
export const idMapping = object({
  containerID: v.nullish(uint32, 0),
  hostID: v.nullish(uint32, 0),
  size: v.nullish(uint32, 0),
});

export const namespace = object({ type: nameOf(NAMESPACE_FLAGS), path: optional(text) });

export const device = object({
  path: text,
  type: nameOf(DEVICE_TYPES),
  major: optional(between(0, MAX_MAJOR)),
  minor: optional(between(0, MAX_MINOR)),
  fileMode: optional(between(0, 0o177777)),
  uid: optional(id),
  gid: optional(id),
});

/** Clocks of a time namespace (time_namespaces(7)). */
const CLOCKS = ["monotonic", "boottime"] as const;

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
  timeOffsets: optional(mapOf(CLOCKS, timeOffset)),
  sysctl: textMap,
  resources: optional(resources),
  cgroupsPath: optional(text),
  namespaces: list(namespace),
  devices: list(device),
  netDevices: optional(map(object({ name: optional(text) }))),
  seccomp: optional(seccomp),
  rootfsPropagation: optional(nameOf(ROOT_PROPAGATIONS)),
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
