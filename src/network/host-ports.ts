import { during } from "../base/errors";
import type { Fd } from "../linux/call/fd";
import type { InetAddress, InetEndpoint } from "../linux/network/inet-address";
import { listenAt } from "../linux/network/inet-socket";
import type { Connections } from "./connections";
import { Dial, type Dialled } from "./dialer";
import { LOOPBACKS, type Loopback } from "./loopback";
import { type ForwardedPort, LOCALHOST, type PublishedPort } from "./network-plan";
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
    this.connections.listen(listener, (taken) =>
      this.#dial(taken, place.addresses, place.port, (to) => loopback.connect(to)),
    );
  }

  #dialHost(taken: Fd, { host, port }: ForwardedPort): void {
    const dial = (addresses: readonly InetAddress[]) => this.#dial(taken, addresses, port);
    if (host === LOCALHOST) dial(LOOPBACKS);
    else if (typeof host === "string") this.resolver.look(host, dial);
    else dial([host]);
  }

  #dial(taken: Fd, addresses: readonly InetAddress[], port: number, open?: (to: InetEndpoint) => Fd): void {
    connectWith(this.connections, taken, addresses, port, open);
  }
}

/** Connects a socket that was taken with the first address that answers, or refuses it. */
export function connectWith(
  connections: Connections,
  taken: Fd,
  addresses: readonly InetAddress[],
  port: number,
  open?: (to: InetEndpoint) => Fd,
): void {
  const done = (dialled: Dialled) => {
    if ("failure" in dialled) connections.refuse(taken);
    else connections.connect(taken, dialled.socket, () => undefined);
  };
  new Dial(connections.changes, addresses, port, done, open);
}
