// What is plugged into a machine that runs, at a monitor of QEMU's that says what it is told to.
import { expect, test } from "bun:test";
import { freePort, plugMemory } from "../../src/drivers/vm/qemu/plug";
import type { Qmp } from "../../src/drivers/vm/qemu/qmp";

/** A monitor with these answers; `asked` gets what it was asked. */
function monitor(answers: Record<string, unknown>, asked: [string, unknown][] = []): Qmp {
  const command = (name: string, values: unknown) => {
    asked.push([name, values]);
    const answer = answers[name] ?? {};
    if (answer instanceof Error) throw answer;
    return answer;
  };
  return { command, lines: { broken: (what: string) => new Error(what) } } as unknown as Qmp;
}

const port = (number: number, devices: unknown[]) => ({
  qdev_id: `plug${number}`,
  pci_bridge: { bus: {}, ...(devices.length > 0 && { devices }) },
});

test("a device gets a port that has none", () => {
  const devices = [{ qdev_id: "" }, port(0, [{}]), port(1, []), port(2, [])];
  expect(freePort(monitor({ "query-pci": [{ bus: 0, devices }] }), 0)).toBe("plug1");
  const full = monitor({ "query-pci": [{ devices: [port(0, [{}]), { qdev_id: "other", pci_bridge: {} }] }] });
  expect(() => freePort(full, 0)).toThrow("no room for another device: 1 are plugged");
  expect(() => freePort(monitor({ "query-pci": "garbage" }), 0)).toThrow("no list of devices");
});

test("memory is plugged in whole blocks, under names of its own; none is left if that fails", () => {
  const asked: [string, unknown][] = [];
  const there = [{ type: "dimm", data: { id: "dimm0" } }];
  expect(plugMemory(monitor({ "query-memory-devices": there }, asked), 1, 0)).toBe(128 << 20);
  expect(asked.slice(1)).toEqual([
    ["object-add", { "qom-type": "memory-backend-memfd", id: "memory1", size: 128 << 20, share: true }],
    ["device_add", { driver: "pc-dimm", id: "dimm1", memdev: "memory1" }],
  ]);
  const full = { "query-memory-devices": [], device_add: new Error("no slot") };
  const failed: [string, unknown][] = [];
  expect(() => plugMemory(monitor(full, failed), 1, 0)).toThrow("no slot");
  expect(failed.at(-1)).toEqual(["object-del", { id: "memory0" }]);
});
