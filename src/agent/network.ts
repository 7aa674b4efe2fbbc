import { during, HakoError } from "../base/errors";
import { sysctlPath } from "../drivers/namespaces/program/sysctl";
import type { AgentData } from "../drivers/vm/channel/agent-protocol";
import { writeText } from "../linux/file/file";
import { linkSetting } from "../linux/network/interface";
import {
  moveNetworkDevice,
  type NetworkDevice,
  networkDevices,
  OF_KERNEL,
  setMtu,
  setUp,
  withoutLinkLocal,
} from "../linux/network/network-device";
import {
  makeEntry,
  type NetworkEntry,
  networkEntries,
  removeEntry,
  withIndices,
} from "../linux/network/network-entries";
import { openNamespace, withNetworkNamespace } from "../linux/process/namespace";
import { pointer } from "../oci/json";

/** How long a card may take to appear that QEMU has plugged. */
const CARD_MS = 10_000;
/** How long one may take that is up until it has a carrier. */
const CARRIER_MS = 1000;
const PAUSE_MS = 5;

type Link = AgentData<"network">["links"][number];

/** Gives a network namespace of the guest, by its file, what the container's has on the host. */
export function setNetwork(
  namespace: string,
  { links, entries, sysctls }: Omit<AgentData<"network">, "container">,
): void {
  placeCards(namespace, links);
  withNetworkNamespace(namespace, () => {
    const devices = networkDevices();
    const deviceOf = ({ name }: Link) => {
      const device = devices.find((each) => each.name === name);
      if (device === undefined) throw new Error(`no interface ${name}`);
      return device;
    };
    for (const link of links) setLink(link, deviceOf(link));
    for (const [name, value] of Object.entries(sysctls))
      during(`config ${pointer(["linux", "sysctl", name])}: write ${value}`, () =>
        writeText(`/proc/sys/${sysctlPath(name)}`, value),
      );
    const indices = new Map(links.map((link) => [link.index, deviceOf(link).index]));
    const wanted = entries.map(({ kind, body }) => ({ kind, body: Buffer.from(body, "base64") }));
    setEntries(wanted.map((entry) => inGuest(entry, indices)));
    awaitCarrier(links.filter(({ card, up }) => card !== undefined && up).map(({ name }) => name));
  });
}

/** Has cards be in a namespace, under their names, and those that belong to nothing any more out of it. */
function placeCards(namespace: string, links: readonly Link[]): void {
  using own = openNamespace("/proc/self/ns/net", "network");
  using target = openNamespace(namespace, "network");
  const there = withNetworkNamespace(namespace, networkDevices);
  const isPlaced = (device: NetworkDevice) =>
    links.some(({ name, card }) => name === device.name && (card === undefined || card === device.mac));
  const astray = there.filter((device) => !OF_KERNEL.test(device.name) && !isPlaced(device));
  withNetworkNamespace(namespace, () => {
    for (const device of astray) moveNetworkDevice(device, own, "card%d");
  });
  for (const { name, card } of links)
    if (card !== undefined && !there.some((device) => device.name === name && device.mac === card))
      moveNetworkDevice(awaitCard(card), target, name);
}

/** A card of the machine's that is no container's yet. */
function awaitCard(address: string): NetworkDevice {
  const deadline = performance.now() + CARD_MS;
  for (;;) {
    const found = networkDevices().find(({ mac }) => mac === address);
    if (found !== undefined) return found;
    if (performance.now() > deadline)
      throw new HakoError({ code: "system", message: `the machine has no network card ${address}` });
    Bun.sleepSync(PAUSE_MS);
  }
}

/** Until there is a carrier, which comes a moment after the card is up, what a program sends is lost. */
function awaitCarrier(names: readonly string[]): void {
  const deadline = performance.now() + CARRIER_MS;
  const isMissing = () => networkDevices().some(({ name, running }) => names.includes(name) && !running);
  while (performance.now() < deadline && isMissing()) Bun.sleepSync(PAUSE_MS);
}

function setLink({ name, card, mtu, up, settings }: Link, device: NetworkDevice): void {
  // loopback is as the kernel has it
  if (card !== undefined) {
    withoutLinkLocal(device);
    if (device.mtu !== mtu) setMtu(device, mtu);
    for (const [setting, value] of Object.entries(settings)) writeText(linkSetting(name, setting), value);
  }
  if (device.up !== up) setUp(device, up);
}

function inGuest(entry: NetworkEntry, indices: ReadonlyMap<number, number>): NetworkEntry {
  const found = withIndices(entry, indices);
  if (found === undefined) throw new Error(`${entry.kind} of an interface that is not there`);
  return found;
}

/** Removes what is not wanted, and makes what is not there. */
function setEntries(wanted: readonly NetworkEntry[]): void {
  const there = networkEntries();
  const isIn = (list: readonly NetworkEntry[], { kind, body }: NetworkEntry) =>
    list.some((each) => each.kind === kind && each.body.equals(body));
  for (const entry of there.toReversed()) if (!isIn(wanted, entry)) removeEntry(entry);
  for (const entry of wanted) if (!isIn(there, entry)) makeEntry(entry);
}
