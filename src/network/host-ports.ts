import { during } from "../base/errors";
import { prepared } from "../base/undo";
import { AF, SOCK } from "../linux/call/constants";
import type { Fd } from "../linux/call/fd";
import { hasErrno } from "../linux/file/file";
import type { InetAddress, InetEndpoint } from "../linux/network/inet-address";
import { connectTo, listenAt, listenOn } from "../linux/network/inet-socket";
import type { Connections } from "./connections";
import type { ContainerNetwork } from "./container-network";
import { Dial, type Dialled } from "./dialer";
import { type ForwardedPort, LOCALHOST, LOOPBACK_V4, LOOPBACK_V6, type PublishedPort } from "./network-plan";
import type { Resolver } from "./resolver";

/** Both of the host, and of a container: what listens there listens at one of them, or at both. */
const LOOPBACKS: readonly InetAddress[] = [LOOPBACK_V4, LOOPBACK_V6];

/** Ports of the host's in a container, and ports of a container's on the host. */
export class HostPorts {
  constructor(
    private readonly container: ContainerNetwork,
    private readonly connections: Connections,
    private readonly resolver: Resolver,
  ) {}

  /** Listens at the container's loopback; who connects is connected with a place of the host's network. */
  forward(forwarded: ForwardedPort): void {
    for (const address of LOOPBACKS) {
      const listener = during(`--forward ${forwarded.inside}`, () =>
        this.#listenInside(address, forwarded.inside),
      );
      if (listener !== undefined)
        this.connections.listen(listener, (taken) => this.#dialHost(taken, forwarded));
    }
  }

  /** Listens on the host; who connects is connected with the container's loopback. */
  publish({ address, port, inside }: PublishedPort): void {
    const listener = during(`--publish ${port}`, () => listenAt({ address, port }));
    this.connections.listen(listener, (taken) =>
      this.#dial(taken, LOOPBACKS, inside, (to) =>
        prepared(this.#socketInside(to.address), (made) => connectTo(made, to)),
      ),
    );
  }

  /** undefined where the container has no IPv6. */
  #listenInside(address: InetAddress, port: number): Fd | undefined {
    try {
      return prepared(this.#socketInside(address), (socket) => listenOn(socket, { address, port }));
    } catch (error) {
      if (address.length === 16 && hasErrno(error, "EAFNOSUPPORT", "EADDRNOTAVAIL")) return undefined;
      throw error;
    }
  }

  #socketInside({ length }: InetAddress): Fd {
    const family = length === 4 ? AF.INET : AF.INET6;
    const [socket] = this.container.open([[family, SOCK.STREAM | SOCK.NONBLOCK | SOCK.CLOEXEC, 0]]);
    if (socket === undefined) throw new Error("a socket is missing");
    return socket;
  }

  #dialHost(taken: Fd, { host, port }: ForwardedPort): void {
    const dial = (addresses: readonly InetAddress[]) => this.#dial(taken, addresses, port);
    if (host === LOCALHOST) dial(LOOPBACKS);
    else if (typeof host === "string") this.resolver.look(host, dial);
    else dial([host]);
  }

  #dial(taken: Fd, addresses: readonly InetAddress[], port: number, open?: (to: InetEndpoint) => Fd): void {
    const { connections } = this;
    const done = (dialled: Dialled) => {
      if ("failure" in dialled) connections.refuse(taken);
      else connections.connect(taken, dialled.socket, () => undefined);
    };
    new Dial(connections.changes, addresses, port, done, open);
  }
}
