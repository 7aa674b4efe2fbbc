import * as v from "valibot";
import { HakoError } from "../../../base/errors";
import { isRootPort, MEMORY_BLOCK } from "./qemu-arguments";
import type { Qmp } from "./qmp";

/** Of QEMU's answer to query-pci (qapi/pci.json): devices of the first bus, and what is behind those that are bridges. */
const buses = v.array(
  v.object({
    devices: v.array(
      v.object({
        qdev_id: v.string(),
        pci_bridge: v.optional(v.object({ devices: v.optional(v.array(v.unknown())) })),
      }),
    ),
  }),
);
/** Of its answer to query-memory-devices (qapi/machine.json). */
const memoryDevices = v.array(v.object({ data: v.object({ id: v.optional(v.string()) }) }));

/** A port into which nothing is plugged. */
export function freePort(monitor: Qmp, deadline: number): string {
  const answer = v.safeParse(buses, monitor.command("query-pci", {}, deadline));
  if (!answer.success) throw monitor.lines.broken("no list of devices");
  const ports = answer.output.flatMap(({ devices }) => devices).filter((each) => isRootPort(each.qdev_id));
  const free = ports.find(({ pci_bridge }) => (pci_bridge?.devices ?? []).length === 0);
  if (free !== undefined) return free.qdev_id;
  throw new HakoError({
    code: "state",
    message: `the machine has no room for another device: ${ports.length} are plugged`,
  });
}

/** Plugs memory, which virtiofsd may have too, in whole blocks of the guest's kernel; how many bytes. */
export function plugMemory(monitor: Qmp, bytes: number, deadline: number): number {
  const answer = v.safeParse(memoryDevices, monitor.command("query-memory-devices", {}, deadline));
  if (!answer.success) throw monitor.lines.broken("no list of memory");
  const number = answer.output.length;
  const size = Math.ceil(bytes / MEMORY_BLOCK) * MEMORY_BLOCK;
  const [backend, device] = [`memory${number}`, `dimm${number}`];
  monitor.command(
    "object-add",
    { "qom-type": "memory-backend-memfd", id: backend, size, share: true },
    deadline,
  );
  try {
    monitor.command("device_add", { driver: "pc-dimm", id: device, memdev: backend }, deadline);
  } catch (error) {
    monitor.command("object-del", { id: backend }, deadline);
    throw error;
  }
  return size;
}
