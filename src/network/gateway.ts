import { asHakoError } from "../base/errors";
import { AF } from "../linux/call/constants";
import type { Fd } from "../linux/call/fd";
import { FdList } from "../linux/call/fd";
import { hasErrno } from "../linux/file/file";
import type { InetRange } from "../linux/network/inet-address";
import { withNetlink } from "../linux/network/netlink";
import { networkDevice, setUp } from "../linux/network/network-device";
import { defaultRoute, giveAddress, localRoute, makeVeth } from "../linux/network/veth";
import type { Opened } from "../linux/remote/namespace-sockets";
import type { ContainerNetwork } from "./container-network";
import { CONTAINER_LINK, GATEWAY_LINK, LABELS_V6, numbered } from "./label-addresses";

/**
 * What leads out of a container's network namespace: a second namespace beside it, joined to it by a pair of interfaces, in which no process is.
 * All that the container sends anywhere comes to that one, where every address is local: so hako's sockets in there can be called whatever the
 * program calls, and which it has called is the socket's own address. The program may listen at any port itself.
 */

/** The interface in the container, and the gateway's. */
const [INSIDE, OUTSIDE] = ["eth0", "hako0"] as const;

const LINKS: readonly { inside: InetRange; outside: InetRange; all: InetRange }[] = [
  {
    inside: { address: CONTAINER_LINK, prefix: 31 },
    outside: { address: GATEWAY_LINK, prefix: 31 },
    all: { address: new Uint8Array(4), prefix: 0 },
  },
  {
    inside: { address: numbered(LABELS_V6, 0xfffffe), prefix: 127 },
    outside: { address: numbered(LABELS_V6, 0xffffff), prefix: 127 },
    all: { address: new Uint8Array(16), prefix: 0 },
  },
];

export class Gateway implements Disposable {
  readonly #namespace: Fd;
  /** The families that lead here. */
  readonly families: readonly (AF.INET | AF.INET6)[];

  private constructor(
    private readonly container: ContainerNetwork,
    namespace: Fd,
    families: readonly (AF.INET | AF.INET6)[],
  ) {
    this.#namespace = namespace;
    this.families = families;
  }

  /** Makes it, and the container's way to it. */
  static beside(container: ContainerNetwork): Gateway {
    using netlinks = new FdList();
    const [own, routes] = container.open(["namespace", "netlink"]);
    const [namespace, links] = container.open(["namespace", "netlink"], "new");
    for (const fd of [own, routes, links]) if (fd !== undefined) netlinks.add(fd);
    if (own === undefined || routes === undefined || namespace === undefined || links === undefined)
      throw new Error("descriptors are missing");
    try {
      withNetlink(links, () => {
        setUp(networkDevice("lo"), true);
        made("veth", () => makeVeth(OUTSIDE, INSIDE, own));
      });
      const families = LINKS.filter((link) => joined(routes, links, link)).map(({ all }) =>
        all.address.length === 4 ? AF.INET : AF.INET6,
      );
      return new Gateway(container, namespace, families);
    } catch (error) {
      namespace.close();
      throw error;
    }
  }

  /** Opens sockets in it. */
  open(wanted: readonly Opened[]): Fd[] {
    return this.container.open(wanted, this.#namespace);
  }

  [Symbol.dispose](): void {
    // the interfaces go with it
    this.#namespace.close();
  }
}

/** Gives both ends their addresses and routes; false where the kernel has none of the family. */
function joined(routes: Fd, links: Fd, { inside, outside, all }: (typeof LINKS)[number]): boolean {
  try {
    withNetlink(links, () => {
      const device = networkDevice(OUTSIDE);
      setUp(device, true);
      giveAddress(device, outside);
      localRoute(networkDevice("lo"), all);
    });
    withNetlink(routes, () => {
      const device = networkDevice(INSIDE);
      setUp(device, true);
      giveAddress(device, inside);
      defaultRoute(device, outside.address);
    });
    return true;
  } catch (error) {
    if (all.address.length === 16 && hasErrno(error, "EAFNOSUPPORT", "EOPNOTSUPP", "EACCES", "EPERM"))
      return false;
    throw error;
  }
}

/** What the kernel may have no module for. */
function made(kind: string, make: () => void): void {
  try {
    make();
  } catch (error) {
    if (!hasErrno(error, "EOPNOTSUPP", "ENODEV")) throw error;
    throw asHakoError(error).with({
      code: "unsupported",
      message: `a filtered network needs interfaces of the kind ${kind}, which this kernel can't make`,
      hint: `modprobe ${kind}; --network none and --network host need none`,
    });
  }
}
