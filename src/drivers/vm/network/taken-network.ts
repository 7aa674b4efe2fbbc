import { asHakoError, HakoError } from "../../../base/errors";
import type { Fd, FdList } from "../../../linux/call/fd";
import { tryStatus } from "../../../linux/file/stat";
import { netlinkSocketStep, withNetlink } from "../../../linux/network/netlink";
import {
  type NetworkDevice,
  networkDevice,
  networkDevices,
  OF_KERNEL,
  setMtu,
  setUp,
  withoutLinkLocal,
} from "../../../linux/network/network-device";
import { type NetworkEntry, networkEntries, withIndices } from "../../../linux/network/network-entries";
import { makeTap, tunStep } from "../../../linux/network/tap";
import {
  addIngress,
  hasIngress,
  isRedirected,
  redirect,
  removeIngress,
  removeRedirect,
} from "../../../linux/network/traffic-control";
import { openNamespace } from "../../../linux/process/namespace";
import { openProcess } from "../../../linux/process/process";
import { effectiveUser } from "../../../linux/process/rootless";
import { openInNetwork } from "../../../linux/remote/namespace-root";
import type { ProcessRecord } from "../../../state/record";
import type { AgentData } from "../channel/agent-protocol";
import { answerEntries, hasOwnCallers, leadToGuest, leadToNamespace, waysToItself } from "./own-callers";

/**
 * The network namespace of a container, which stays as it is: frames that come to one of its interfaces go to a tap beside it, which is the guest's
 * network card, and those that the guest sends leave by the interface. The guest's kernel has the addresses.
 */

/** ARPHRD_ETHER, ARPHRD_LOOPBACK (linux/if_arp.h). */
const [ETHERNET, LOOPBACK] = [1, 772] as const;
const TAP_NAME = "hako%d";

/** An interface whose frames are the guest's. */
export interface TakenLink {
  index: number;
  name: string;
  mac: string;
  tap: string;
  /** Whether its incoming frames were classified before. */
  hadIngress: boolean;
  /** Ways of the namespace to itself that lead to the guest now, in base64 (own-callers.ts). */
  led?: readonly string[] | undefined;
}

/** What is kept of it, until it is undone. */
export interface NetworkRecord {
  format: 1;
  /** The container's namespace: a file that others have made, with what tells it from another one of that name, or one that ends with the container. */
  namespace: { path: string | undefined; identity: string };
  /** The caller may have meant the container to have a network. */
  wanted: boolean;
  /** Also those that are there no more. */
  links: readonly TakenLink[];
  /** What the guest was told last. */
  told: string | undefined;
}

/** What the guest is told of a network. */
export type NetworkDescription = Omit<AgentData<"network">, "container" | "sysctls">;

/** A card that the machine gets: the other end of a tap. */
export interface NetworkCard {
  mac: string;
  fd: Fd;
}

/** Tells a namespace from all others, as long as it is there; undefined of one that is not there, or not to be seen. */
function identityOf(path: string): string | undefined {
  const status = tryStatus(path, true);
  return typeof status === "number" ? undefined : `${status.device}:${status.inode}`;
}

function namespaceOf(pid: number | "self"): string {
  return `/proc/${pid}/ns/net`;
}

/** The record of a network of which nothing is taken yet; `path` is where others have made it. */
export function untakenNetwork(pid: number, path: string | undefined, wanted: boolean): NetworkRecord {
  const identity = identityOf(namespaceOf(pid));
  if (identity === undefined)
    throw new HakoError({ code: "system", message: "the container's process has ended" });
  return { format: 1, namespace: { path, identity }, wanted, links: [], told: undefined };
}

/**
 * Refuses what a machine can't have as its network, before it takes it; how many cards it needs. `machines` is the network of the container's machine, if
 * there is one: it may be this one.
 */
export function checkNetwork(process: ProcessRecord, machines: NetworkRecord | undefined): number {
  const own = identityOf(namespaceOf(process.pid));
  // that of the host's first process is not to be seen by everybody
  if (own !== undefined && [namespaceOf("self"), namespaceOf(1)].map(identityOf).includes(own))
    throw refused("the host's network", "--network none, or a network namespace of the container's own");
  using namespace = new Network(process);
  const taken = machines?.namespace.identity === own ? (machines?.links ?? []) : [];
  return namespace.about(() => takable(networkDevices(), taken).length);
}

function refused(what: string, hint?: string): HakoError {
  return new HakoError({ code: "unsupported", message: `${what}: the driver "vm" can't do this`, hint });
}

/** The network namespace of a process; another process joins it, for this one might not come back. */
class Network implements Disposable {
  readonly #process: Fd;
  readonly #socket: Fd;
  readonly #joinsUser = effectiveUser() !== 0;

  constructor({ pid, startTime }: ProcessRecord) {
    const opened = openProcess(pid, startTime);
    if (opened === undefined)
      throw new HakoError({ code: "system", message: "the container's process has ended" });
    this.#process = opened;
    this.#socket = openInNetwork(opened, this.#joinsUser, netlinkSocketStep());
  }

  about<T>(action: () => T): T {
    return withNetlink(this.#socket, action);
  }

  openTun(): Fd {
    try {
      return openInNetwork(this.#process, this.#joinsUser, tunStep());
    } catch (error) {
      const hints = {
        ENOENT: "modprobe tun",
        ENODEV: "modprobe tun",
        EACCES: "chmod 0666 /dev/net/tun",
      } as const;
      const { errno } = asHakoError(error);
      const hint = Object.entries(hints).find(([name]) => name === errno)?.[1];
      throw hint === undefined ? error : asHakoError(error).with({ code: "unsupported", hint });
    }
  }

  [Symbol.dispose](): void {
    this.#socket.close();
    this.#process.close();
  }
}

/** Interfaces whose frames are, or will be, the guest's. */
function takable(devices: readonly NetworkDevice[], taken: readonly TakenLink[]): NetworkDevice[] {
  const taps = taken.map(({ tap }) => tap);
  return devices.filter((device) => {
    const { name, up, hardware, tiedTo } = device;
    if (hardware === LOOPBACK || taps.includes(name) || (!up && OF_KERNEL.test(name))) return false;
    const of = `network interface ${name} of the container`;
    if (hardware !== ETHERNET) throw refused(`${of}, which is no Ethernet`);
    if (tiedTo !== undefined) throw refused(`${of}, which is tied to another one`);
    const isOurs = taken.some(({ index }) => index === device.index);
    if (!isOurs && isRedirected(device)) throw refused(`${of}, which is another machine's`);
    return true;
  });
}

/**
 * Takes what is in a process's network namespace and was not taken before: the cards that the machine is to get, whose descriptors are `owned`'s, and
 * what the guest is to know. `write` is called before anything is changed that does not end with the namespace.
 */
export function takeNetwork(
  process: ProcessRecord,
  record: NetworkRecord,
  write: (record: NetworkRecord) => void,
  owned: FdList,
): { record: NetworkRecord; cards: NetworkCard[]; description: NetworkDescription } {
  using namespace = new Network(process);
  return namespace.about(() => {
    const devices = networkDevices();
    const taken = takable(devices, record.links);
    const more = taken.filter((device) => !record.links.some(({ index }) => index === device.index));
    const cards: NetworkCard[] = [];
    const links = more.map((device): TakenLink => {
      const { fd, name: tap } = makeTap(namespace.openTun(), TAP_NAME);
      owned.add(fd);
      const { index, name, mac } = device;
      cards.push({ mac, fd });
      return { index, name, mac, tap, hadIngress: hasIngress(device) };
    });
    const changed = { ...record, links: [...record.links, ...links] };
    if (links.length > 0) write(changed);
    for (const [at, device] of more.entries()) connect(device, links[at] as TakenLink);
    const { led, answers } = leadOwnCallers(changed, taken, write);
    const loopback = devices.filter(({ hardware }) => hardware === LOOPBACK);
    return { record: led, cards, description: describe(taken, loopback, answers) };
  });
}

/** Has processes of the namespace itself reach the guest by the first interface that has such ones; what the guest has to know for that. */
function leadOwnCallers(
  record: NetworkRecord,
  taken: readonly NetworkDevice[],
  write: (record: NetworkRecord) => void,
): { led: NetworkRecord; answers: NetworkEntry[] } {
  const link = taken.find(hasOwnCallers);
  const known = record.links.find(({ index }) => index === link?.index);
  if (link === undefined || known === undefined) return { led: record, answers: [] };
  const pair = { link, tap: networkDevice(known.tap) };
  const ways = waysToItself(pair);
  const changed = { ...known, led: [...(known.led ?? []), ...ways] };
  const led = { ...record, links: record.links.map((each) => (each === known ? changed : each)) };
  if (ways.length > 0) write(led);
  leadToGuest(pair, ways);
  return { led, answers: changed.led.length === 0 ? [] : answerEntries(pair) };
}

/** Frames go from an interface to its tap and back. The tap has no addresses: what the namespace says of itself would reach the guest. */
function connect(device: NetworkDevice, { tap: name, hadIngress }: TakenLink): void {
  const tap = networkDevice(name);
  withoutLinkLocal(tap);
  setMtu(tap, device.mtu);
  setUp(tap, true);
  addIngress(tap);
  redirect(tap, device);
  if (!hadIngress) addIngress(device);
  redirect(device, tap);
}

function describe(
  cards: readonly NetworkDevice[],
  loopback: readonly NetworkDevice[],
  answers: readonly NetworkEntry[],
): NetworkDescription {
  const links = [...loopback, ...cards].map((device) => {
    const { index, name, mac, mtu, up, settings } = device;
    return {
      index,
      name,
      mtu,
      up,
      card: cards.includes(device) ? mac : undefined,
      settings,
    };
  });
  const indices = new Map(links.map(({ index }) => [index, index]));
  // of other interfaces there is nothing in the guest
  const entries = [...networkEntries(), ...answers].filter(
    (entry) => withIndices(entry, indices) !== undefined,
  );
  return { links, entries: entries.map(({ kind, body }) => ({ kind, body: body.toString("base64") })) };
}

/** Undoes what does not end with the machine and its container: filters in a namespace that others have made, and will use again. */
export function releaseNetwork({ namespace: { path, identity }, links }: NetworkRecord): void {
  // another one may have its name by now
  if (path === undefined || identityOf(path) !== identity) return;
  using target = openNamespace(path, "network");
  using socket = openInNetwork(target, false, netlinkSocketStep());
  withNetlink(socket, () => {
    const devices = networkDevices();
    for (const { index, name, hadIngress, led = [] } of links) {
      leadToNamespace(led);
      const device = devices.find((each) => each.index === index && each.name === name);
      if (device === undefined || !hasIngress(device)) continue;
      removeRedirect(device);
      if (!hadIngress) removeIngress(device);
    }
  });
}
