import type { Resources } from "../../oci/config";
import type { Integer } from "../../oci/json";
import type { CgroupNode } from "../hierarchy/record";
import { isSet } from "./amount";
import type { Target } from "./target";

type BlockIo = NonNullable<Resources["blockIO"]>;
type ThrottleDevice = NonNullable<BlockIo["throttleReadBpsDevice"]>[number];

/** Throttles: the field of config.json, its v1 file, its key in v2's io.max. */
const THROTTLES = [
  ["throttleReadBpsDevice", "blkio.throttle.read_bps_device", "rbps"],
  ["throttleWriteBpsDevice", "blkio.throttle.write_bps_device", "wbps"],
  ["throttleReadIOPSDevice", "blkio.throttle.read_iops_device", "riops"],
  ["throttleWriteIOPSDevice", "blkio.throttle.write_iops_device", "wiops"],
] as const;

/** A blkio.weight (10 … 1000) as an io.weight (1 … 10000). */
export function blkioToIoWeight(weight: Integer): bigint {
  const value = BigInt(weight);
  return value === 0n ? 0n : 1n + ((value - 10n) * 9999n) / 990n;
}

/** Writes linux.resources.blockIO. */
export function applyBlockIo(target: Target, { blockIO: io }: Resources): void {
  if (io === undefined) return;
  const field = firstField(io);
  if (field === undefined) return;
  const node = target.need("blkio", `/blockIO/${field}`);
  if (node.unified) {
    applyWeightV2(target, node, io);
    applyThrottleV2(target, node, io);
  } else {
    applyWeightV1(target, node, io);
    for (const [name, file] of THROTTLES) {
      for (const [index, device] of (io[name] ?? []).entries()) {
        target.write(node, file, `${deviceNumber(device)} ${device.rate}`, `/blockIO/${name}/${index}`);
      }
    }
  }
}

function firstField(io: BlockIo): string | undefined {
  if (isSet(io.weight)) return "weight";
  if (isSet(io.leafWeight)) return "leafWeight";
  if ((io.weightDevice ?? []).length > 0) return "weightDevice";
  return THROTTLES.map(([name]) => name).find((name) => (io[name] ?? []).length > 0);
}

/** Writes weights on v1. The files of CFQ are gone since Linux 5.0; BFQ has files of its own, with the same numbers. */
function applyWeightV1(target: Target, node: CgroupNode, io: BlockIo): void {
  const bfq = !target.exists(node, "blkio.weight") && target.exists(node, "blkio.bfq.weight");
  const prefix = bfq ? "blkio.bfq." : "blkio.";
  const write = (file: string, value: string | Integer, pointer: string) => {
    const failed = target.tryWrite(node, prefix + file, value);
    if (failed === undefined) return;
    const hint =
      failed.errno === "ENOENT"
        ? "weights need the bfq I/O scheduler: modprobe bfq, or remove the weight"
        : undefined;
    throw target.failure(pointer, failed, prefix + file, hint);
  };
  if (isSet(io.weight)) write("weight", io.weight, "/blockIO/weight");
  if (isSet(io.leafWeight)) write("leaf_weight", io.leafWeight, "/blockIO/leafWeight");
  for (const [index, device] of (io.weightDevice ?? []).entries()) {
    const pointer = `/blockIO/weightDevice/${index}`;
    const number = deviceNumber(device);
    if (isSet(device.weight)) write("weight_device", `${number} ${device.weight}`, `${pointer}/weight`);
    if (isSet(device.leafWeight))
      write("leaf_weight_device", `${number} ${device.leafWeight}`, `${pointer}/leafWeight`);
  }
}

function applyWeightV2(target: Target, node: CgroupNode, io: BlockIo): void {
  if (isSet(io.leafWeight)) throw target.refuse("/blockIO/leafWeight", "cgroup v2 cannot do it", "remove it");
  const bfq = target.exists(node, "io.bfq.weight");
  const file = bfq ? "io.bfq.weight" : "io.weight";
  const convert = (weight: Integer) => (bfq ? BigInt(weight) : blkioToIoWeight(weight));
  if (isSet(io.weight)) target.write(node, file, `default ${convert(io.weight)}`, "/blockIO/weight");
  for (const [index, device] of (io.weightDevice ?? []).entries()) {
    const pointer = `/blockIO/weightDevice/${index}`;
    if (isSet(device.leafWeight))
      throw target.refuse(`${pointer}/leafWeight`, "cgroup v2 cannot do it", "remove it");
    if (isSet(device.weight))
      target.write(node, file, `${deviceNumber(device)} ${convert(device.weight)}`, pointer);
  }
}

function applyThrottleV2(target: Target, node: CgroupNode, io: BlockIo): void {
  for (const [name, , key] of THROTTLES) {
    for (const [index, device] of (io[name] ?? []).entries()) {
      target.write(node, "io.max", throttleLine(device, key), `/blockIO/${name}/${index}`);
    }
  }
}

/** A line of io.max. A rate of 0 takes the limit away, as it does on v1. */
function throttleLine(device: ThrottleDevice, key: string): string {
  return `${deviceNumber(device)} ${key}=${BigInt(device.rate) === 0n ? "max" : device.rate}`;
}

/** The number of a device as cgroup files have it, MAJOR:MINOR. */
export function deviceNumber(device: { major: Integer; minor: Integer }): string {
  return `${device.major}:${device.minor}`;
}
