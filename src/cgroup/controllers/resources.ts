/** `linux.resources` of config.json, as far as cgroups take part in it. */
export type Int = number | bigint;

export interface DeviceRule {
  allow: boolean;
  type?: string | undefined;
  major?: Int | undefined;
  minor?: Int | undefined;
  access?: string | undefined;
}

interface WeightDevice {
  major: Int;
  minor: Int;
  weight?: Int | undefined;
  leafWeight?: Int | undefined;
}

export interface ThrottleDevice {
  major: Int;
  minor: Int;
  rate: Int;
}

export interface MemoryResources {
  limit?: Int | undefined;
  reservation?: Int | undefined;
  swap?: Int | undefined;
  kernel?: Int | undefined;
  kernelTCP?: Int | undefined;
  swappiness?: Int | undefined;
  disableOOMKiller?: boolean | undefined;
  useHierarchy?: boolean | undefined;
  checkBeforeUpdate?: boolean | undefined;
}

export interface CpuResources {
  shares?: Int | undefined;
  quota?: Int | undefined;
  burst?: Int | undefined;
  period?: Int | undefined;
  realtimeRuntime?: Int | undefined;
  realtimePeriod?: Int | undefined;
  cpus?: string | undefined;
  mems?: string | undefined;
  idle?: Int | undefined;
}

export interface BlockIoResources {
  weight?: Int | undefined;
  leafWeight?: Int | undefined;
  weightDevice?: WeightDevice[] | undefined;
  throttleReadBpsDevice?: ThrottleDevice[] | undefined;
  throttleWriteBpsDevice?: ThrottleDevice[] | undefined;
  throttleReadIOPSDevice?: ThrottleDevice[] | undefined;
  throttleWriteIOPSDevice?: ThrottleDevice[] | undefined;
}

interface Network {
  classID?: Int | undefined;
  priorities?: { name: string; priority: Int }[] | undefined;
}

export interface Resources {
  devices?: DeviceRule[] | undefined;
  memory?: MemoryResources | undefined;
  cpu?: CpuResources | undefined;
  pids?: { limit?: Int | undefined } | undefined;
  blockIO?: BlockIoResources | undefined;
  hugepageLimits?: { pageSize: string; limit: Int }[] | undefined;
  network?: Network | undefined;
  rdma?: Record<string, { hcaHandles?: Int | undefined; hcaObjects?: Int | undefined }> | undefined;
  unified?: Record<string, string> | undefined;
}

/** Whether a limit is asked for: clients whose type has no way to leave it out send 0. */
export function isSet(value: Int | undefined): value is Int {
  return value !== undefined && BigInt(value) !== 0n;
}

/** Whether it is one that restricts: a negative one is no limit, which is true already where there is no controller. */
export function isLimit(value: Int | undefined): value is Int {
  return isSet(value) && BigInt(value) > 0n;
}
