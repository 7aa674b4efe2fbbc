import { hasErrno } from "../../../linux/file/file";
import { acceptLocal, type NetworkDevice } from "../../../linux/network/network-device";
import {
  addressEntry,
  destinationOf,
  linkRoute,
  localRoutes,
  makeEntry,
  type NetworkEntry,
  neighbourEntry,
  removeEntry,
} from "../../../linux/network/network-entries";
import { keepFor } from "../../../linux/network/traffic-control";

/**
 * Processes of the host that are in a container's network namespace and connect to the container's own address, as podman's rootlessport does for ordinary
 * users. The namespace would answer itself; what is there is in the guest. So packets to that address go to the tap, from one that is on no network, and
 * what the guest sends to that stays in the namespace.
 */

/** What they come from: the dummy address of RFC 7600. */
const SOURCE = Buffer.from([192, 0, 0, 8]);

/** An interface whose frames are the guest's, and the tap that they go to. */
interface Pair {
  link: NetworkDevice;
  tap: NetworkDevice;
}

/** The interfaces beside which there are such processes: what comes in by them is another process's, which has no other way in. */
export function hasOwnCallers({ ofProcess }: NetworkDevice): boolean {
  return ofProcess;
}

/** Ways of the namespace to itself by an interface's addresses, as text that can be kept. */
export function waysToItself({ link, tap }: Pair): string[] {
  const ways = localRoutes().filter(({ index }) => index === link.index);
  return ways.length === 0 || !keepFor(tap, SOURCE) ? [] : ways.map(({ body }) => body.toString("base64"));
}

/** Has these ways lead to the guest. */
export function leadToGuest({ link, tap }: Pair, ways: readonly string[]): void {
  if (ways.length === 0) return;
  makeEntry(addressEntry(tap.index, SOURCE));
  // the interface's address is still the namespace's, and what the guest answers comes from it
  acceptLocal(tap);
  for (const way of ways.map(wayOf)) {
    const address = destinationOf(way);
    removeEntry(way);
    makeEntry(neighbourEntry(tap.index, address, link.mac));
    makeEntry(linkRoute(tap.index, address, "local", SOURCE));
  }
}

/** Has them lead to the namespace again, when the tap is gone; without their address they are not there anyway. */
export function leadToNamespace(ways: readonly string[]): void {
  for (const way of ways.map(wayOf))
    try {
      makeEntry(way);
    } catch (error) {
      if (!hasErrno(error, "EINVAL", "ENODEV")) throw error;
    }
}

function wayOf(text: string): NetworkEntry {
  return { kind: "route", body: Buffer.from(text, "base64") };
}

/** What the guest has to know for its answers, with the index of the interface. */
export function answerEntries({ link, tap }: Pair): NetworkEntry[] {
  return [linkRoute(link.index, SOURCE, "main"), neighbourEntry(link.index, SOURCE, tap.mac)];
}
