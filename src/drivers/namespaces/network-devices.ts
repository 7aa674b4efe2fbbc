import { during, HakoError } from "../../base/errors";
import type { UndoStack } from "../../base/undo";
import type { Fd } from "../../linux/call/fd";
import {
  addAddress,
  globalAddresses,
  moveNetworkDevice,
  type NetworkDevice,
  networkDevice,
  networkDevices,
  setUp,
} from "../../linux/network/network-device";
import { openNamespace, withNetworkNamespace } from "../../linux/process/namespace";
import type { Config } from "../../oci/config";

type Addresses = ReturnType<typeof globalAddresses>;

/** Moves linux.netDevices into a container's network namespace (config-linux.md "Network Devices"). */
export function moveNetDevices(config: Config, pid: number, undo: UndoStack): void {
  const devices = Object.entries(config.linux?.netDevices ?? {});
  if (devices.length === 0) return;
  const theirs = openNamespace(`/proc/${pid}/ns/net`, "network");
  // it outlives its first process: that may be what fails
  undo.own(theirs);
  for (const [name, { name: wanted }] of devices) {
    during(`config /linux/netDevices/${name}`, () => moveOne(name, wanted || name, theirs, undo));
  }
}

function moveOne(name: string, wanted: string, theirs: Fd, undo: UndoStack): void {
  const { path } = theirs;
  const device = networkDevice(name);
  const addresses = globalAddresses(device.index);
  const before = withNetworkNamespace(path, networkDevices);
  if (before.some((there) => there.name === wanted)) {
    throw new HakoError({
      code: "exists",
      message: `the container has a network interface ${wanted} already`,
    });
  }
  moveNetworkDevice(device, theirs, wanted);
  const moved = withNetworkNamespace(path, () => arrivedAfter(before, wanted));
  undo.defer(`network interface ${name}`, () => takeBack(device, addresses, moved, path));
  withNetworkNamespace(path, () => {
    for (const address of addresses) addAddress(moved, address);
    setUp(moved, true);
  });
}

/** The interface that was not there before, whatever number the kernel gave it. */
function arrivedAfter(before: readonly NetworkDevice[], wanted: string): NetworkDevice {
  const names = new Set(before.map(({ name }) => name));
  const arrived = networkDevices().find(({ name }) => !names.has(name));
  if (arrived !== undefined) return arrived;
  throw new HakoError({ code: "system", message: `network interface ${wanted} did not arrive` });
}

/** With its namespace a virtual interface would be gone. */
function takeBack(device: NetworkDevice, addresses: Addresses, moved: NetworkDevice, path: string): void {
  using own = openNamespace("/proc/self/ns/net", "network");
  withNetworkNamespace(path, () => moveNetworkDevice(moved, own, device.name));
  const back = networkDevice(device.name);
  for (const address of addresses) addAddress(back, address);
  if (device.up) setUp(back, true);
}
