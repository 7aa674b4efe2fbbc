import type { Fd } from "../linux/call/fd";
import type { Changes } from "../linux/file/epoll";
import { listenAt, localEndpoint, startConnection } from "../linux/network/inet-socket";
import { openNamespace, withNetworkNamespace } from "../linux/process/namespace";
import { Connections } from "../network/connections";
import { connectWith } from "../network/host-ports";
import { CONTAINER_LINK, GATEWAY_LINK } from "../network/label-addresses";
import { LOOPBACKS, NamespaceLoopback, type TcpPlace } from "../network/loopback";

/**
 * Ports of the loopback of a container's network namespace in this machine, which only a socket in there reaches: what is connected to some of them goes to the
 * gateway, by the same port, and what the gateway connects to the interface's address goes to others.
 */
export class GuestPorts implements Disposable {
  readonly #connections: Connections;
  readonly #owned: DisposableStack;
  readonly #place: TcpPlace;

  constructor(changes: Changes, pid: number) {
    using owned = new DisposableStack();
    const namespace = owned.use(openNamespace(`/proc/${pid}/ns/net`, "network"));
    this.#connections = owned.use(new Connections(changes));
    this.#owned = owned.move();
    const path = `/proc/self/fd/${namespace.number}`;
    this.#place = {
      listen: (at) => withNetworkNamespace(path, () => listenAt(at)),
      connect: (to) => withNetworkNamespace(path, () => startConnection(to)),
    };
  }

  /** At which ports of the interface's address those of the loopback are reached, in the same order. */
  serve({ forwarded, published }: Record<"forwarded" | "published", readonly number[]>): number[] {
    const loopback = new NamespaceLoopback(this.#place, this.#connections);
    for (const port of forwarded)
      loopback.listen(port, (taken) => this.#connect(taken, [GATEWAY_LINK], port));
    return published.map((port) => {
      const listener = this.#place.listen({ address: CONTAINER_LINK, port: 0 });
      this.#connections.listen(listener, (taken) => this.#connect(taken, LOOPBACKS, port));
      return localEndpoint(listener).port;
    });
  }

  #connect(taken: Fd, addresses: readonly Uint8Array[], port: number): void {
    connectWith(this.#connections, taken, { addresses, port, open: this.#place.connect });
  }

  [Symbol.dispose](): void {
    this.#owned[Symbol.dispose]();
  }
}
