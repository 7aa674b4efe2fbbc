import { during } from "../base/errors";
import type { Fd } from "../linux/call/fd";
import type { InetAddress, InetEndpoint } from "../linux/network/inet-address";
import { listenAt } from "../linux/network/inet-socket";
import type { Connections } from "./connections";
import type { DialledPlace } from "./dialer";
import { LOOPBACKS, type Loopback } from "./loopback";
import { type ForwardedPort, LOCALHOST, type PublishedPort } from "./port-words";
import type { Resolver } from "./resolver";

/** Ports of the host's in a container, and ports of a container's on the host. */
export class HostPorts {
  constructor(
    private readonly loopback: Loopback,
    private readonly connections: Connections,
    private readonly resolver: Resolver,
  ) {}

  /** Listens at the container's loopback; who connects is connected with a place of the host's network. */
  forward(forwarded: ForwardedPort): void {
    const { inside } = forwarded;
    during(`--forward ${inside}`, () =>
      this.loopback.listen(inside, (taken) => this.#dialHost(taken, forwarded)),
    );
  }

  /** Listens on the host; who connects is connected with the container's loopback. */
  publish({ address, port, inside }: PublishedPort): void {
    const { loopback } = this;
    const place = loopback.placeOf(inside);
    const listener = during(`--publish ${port}`, () => listenAt({ address, port }));
    const open = (to: InetEndpoint) => loopback.connect(to);
    this.connections.listen(listener, (taken) => connectWith(this.connections, taken, { ...place, open }));
  }

  #dialHost(taken: Fd, { host, port }: ForwardedPort): void {
    const { connections } = this;
    const dial = (addresses: readonly InetAddress[]) => connectWith(connections, taken, { addresses, port });
    if (host === LOCALHOST) dial(LOOPBACKS);
    else if (typeof host !== "string") dial([host]);
    else {
      const isWanted = connections.waitFor(() => connections.refuse(taken));
      this.resolver.look(host, (addresses) => {
        if (isWanted()) dial(addresses);
      });
    }
  }
}

/** Connects a socket that was taken with the first address that answers, or refuses it. */
export function connectWith(connections: Connections, taken: Fd, place: DialledPlace): void {
  connections.dial(place, (dialled) => {
    if ("failure" in dialled) connections.refuse(taken);
    else connections.connect(taken, dialled.socket, () => undefined);
  });
}
