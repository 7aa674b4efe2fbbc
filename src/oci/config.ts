import * as v from "valibot";
import { HakoError } from "../errors";

const text = v.pipe(
  v.string(),
  v.check((value) => !value.includes("\0"), "has a NUL byte"),
);
const int = v.pipe(
  v.union([v.number(), v.bigint()]),
  v.check((n) => typeof n === "bigint" || Number.isInteger(n), "is no integer"),
);
const small = v.pipe(v.number(), v.integer());
const id = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(0xffffffff));
const opt = <S extends v.GenericSchema>(schema: S) => v.optional(v.nullish(schema) as never as S);
const optional = <S extends v.GenericSchema>(schema: S) =>
  v.optional(
    v.pipe(
      v.nullable(schema),
      v.transform((value) => value ?? undefined),
    ),
  );
const list = <S extends v.GenericSchema>(schema: S) => optional(v.array(schema));
const words = list(text);
const textMap = optional(v.record(v.string(), text));
void opt;

const user = v.object({
  uid: v.optional(id, 0),
  gid: v.optional(id, 0),
  umask: optional(id),
  additionalGids: list(id),
  username: optional(text),
});
const capabilities = v.object({
  bounding: words,
  effective: words,
  permitted: words,
  inheritable: words,
  ambient: words,
});
const rlimit = v.object({ type: text, soft: int, hard: int });
const process = v.object({
  terminal: optional(v.boolean()),
  consoleSize: optional(v.object({ width: small, height: small })),
  user: v.optional(user, { uid: 0, gid: 0 }),
  args: words,
  commandLine: optional(text),
  env: words,
  cwd: text,
  capabilities: optional(capabilities),
  rlimits: list(rlimit),
  noNewPrivileges: optional(v.boolean()),
  apparmorProfile: optional(text),
  oomScoreAdj: optional(small),
  selinuxLabel: optional(text),
  scheduler: optional(v.looseObject({})),
  ioPriority: optional(v.looseObject({})),
  execCPUAffinity: optional(v.looseObject({})),
});
const idMapping = v.object({ containerID: id, hostID: id, size: id });
const mount = v.object({
  destination: text,
  type: optional(text),
  source: optional(text),
  options: words,
  uidMappings: list(idMapping),
  gidMappings: list(idMapping),
});
const hook = v.object({ path: text, args: words, env: words, timeout: optional(small) });
const hooks = v.object({
  prestart: list(hook),
  createRuntime: list(hook),
  createContainer: list(hook),
  startContainer: list(hook),
  poststart: list(hook),
  poststop: list(hook),
});
const deviceRule = v.object({
  allow: v.boolean(),
  type: optional(text),
  major: optional(int),
  minor: optional(int),
  access: optional(text),
});
const weightDevice = v.object({ major: int, minor: int, weight: optional(int), leafWeight: optional(int) });
const throttle = v.object({ major: int, minor: int, rate: int });
const resources = v.object({
  devices: list(deviceRule),
  memory: optional(
    v.object({
      limit: optional(int),
      reservation: optional(int),
      swap: optional(int),
      kernel: optional(int),
      kernelTCP: optional(int),
      swappiness: optional(int),
      disableOOMKiller: optional(v.boolean()),
      useHierarchy: optional(v.boolean()),
      checkBeforeUpdate: optional(v.boolean()),
    }),
  ),
  cpu: optional(
    v.object({
      shares: optional(int),
      quota: optional(int),
      burst: optional(int),
      period: optional(int),
      realtimeRuntime: optional(int),
      realtimePeriod: optional(int),
      cpus: optional(text),
      mems: optional(text),
      idle: optional(int),
    }),
  ),
  pids: optional(v.object({ limit: optional(int) })),
  blockIO: optional(
    v.object({
      weight: optional(int),
      leafWeight: optional(int),
      weightDevice: list(weightDevice),
      throttleReadBpsDevice: list(throttle),
      throttleWriteBpsDevice: list(throttle),
      throttleReadIOPSDevice: list(throttle),
      throttleWriteIOPSDevice: list(throttle),
    }),
  ),
  hugepageLimits: list(v.object({ pageSize: text, limit: int })),
  network: optional(v.looseObject({})),
  rdma: optional(v.looseObject({})),
  unified: textMap,
});
const namespace = v.object({ type: text, path: optional(text) });
const device = v.object({
  path: text,
  type: text,
  major: optional(small),
  minor: optional(small),
  fileMode: optional(small),
  uid: optional(id),
  gid: optional(id),
});
const linux = v.object({
  uidMappings: list(idMapping),
  gidMappings: list(idMapping),
  timeOffsets: optional(v.looseObject({})),
  sysctl: textMap,
  resources: optional(resources),
  cgroupsPath: optional(text),
  namespaces: list(namespace),
  devices: list(device),
  netDevices: optional(v.looseObject({})),
  seccomp: optional(v.looseObject({})),
  rootfsPropagation: optional(text),
  maskedPaths: words,
  readonlyPaths: words,
  mountLabel: optional(text),
  intelRdt: optional(v.looseObject({})),
  memoryPolicy: optional(v.looseObject({})),
  personality: optional(v.looseObject({})),
});
const config = v.object({
  ociVersion: v.pipe(text, v.regex(/^1\./, "is not 1.x")),
  process: optional(process),
  root: optional(v.object({ path: text, readonly: optional(v.boolean()) })),
  hostname: optional(text),
  domainname: optional(text),
  mounts: list(mount),
  hooks: optional(hooks),
  annotations: textMap,
  linux: optional(linux),
});

export type Config = v.InferOutput<typeof config>;
export type Process = v.InferOutput<typeof process>;
export type User = v.InferOutput<typeof user>;
export type Mount = v.InferOutput<typeof mount>;
export type Namespace = v.InferOutput<typeof namespace>;
export type Resources = v.InferOutput<typeof resources>;
export type Hook = v.InferOutput<typeof hook>;
export type Hooks = v.InferOutput<typeof hooks>;
export type LinuxDevice = v.InferOutput<typeof device>;
export type DeviceRule = v.InferOutput<typeof deviceRule>;
export type IdMapping = v.InferOutput<typeof idMapping>;
export type Rlimit = v.InferOutput<typeof rlimit>;
export type Capabilities = v.InferOutput<typeof capabilities>;

export function parseConfig(source: string, file: string): Config {
  let parsed: unknown;
  try {
    parsed = JSON.parse(source);
  } catch (error) {
    throw new HakoError({ code: "config", message: `${file}: ${(error as Error).message}` });
  }
  const result = v.safeParse(config, parsed);
  if (result.success) return result.output;
  const issue = result.issues[0];
  const pointer = (issue.path ?? []).map((item) => `/${String(item.key)}`).join("");
  throw new HakoError({ code: "config", message: `${file}: ${pointer}: ${issue.message}` });
}
