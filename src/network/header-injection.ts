import type { Fd } from "../linux/call/fd";
import type { InetAddress } from "../linux/network/inet-address";
import { prepareConnection } from "../linux/network/inet-socket";
import type { Started, Why } from "./attempts";
import type { Connections } from "./connections";
import { headersFor, type InjectedHeader } from "./injected-headers";
import { InjectingRelay } from "./injecting-relay";
import type { OpenedEnd } from "./injecting-tls-relay";
import type { NetworkPlan } from "./network-plan";
import { RequestHeads } from "./request-heads";
import type { Destination } from "./rule-set";

/** Loaded for HTTPS. */
const rare = {
  get tls() {
    return require("./injecting-tls-relay") as typeof import("./injecting-tls-relay");
  },
};

/** Two sockets that are to be connected: the program's, and one that leads outside. */
export interface ConnectedPair {
  taken: Fd;
  other: Fd;
  address: InetAddress;
}

/** Puts headers into the requests of connections. */
export class HeaderInjection {
  constructor(
    private readonly connections: Connections,
    private readonly plan: Pick<NetworkPlan, "injected" | "opened">,
    private readonly engineTurn: () => void,
  ) {}

  /** The headers of a destination. */
  headersFor(destination: Destination): InjectedHeader[] {
    return headersFor(this.plan.injected, destination);
  }

  /** Connects the two; all headers are of the place that was called. */
  relay(
    { taken, other, address }: ConnectedPair,
    headers: readonly [InjectedHeader, ...InjectedHeader[]],
    attempt: Started,
  ): void {
    const [{ host, port, isSecure }] = headers;
    const requests = new RequestHeads(headers, host, port);
    const { changes } = this.connections;
    prepareConnection(other);
    this.connections.relayBy((over) => {
      if (!isSecure) {
        const ended = (sent: number, received: number, error: Why | undefined) => {
          attempt.ended(address, sent, received, error);
          over();
        };
        return new InjectingRelay(changes, taken, other, requests, ended);
      }
      const ended: OpenedEnd = (sent, received, why, reached) => {
        if (reached || why === undefined) attempt.ended(address, sent, received, why);
        else attempt.stopped({ verdict: "failed", why, address });
        over();
      };
      const connection = { ...this.#credentials(host), host, requests };
      return new rare.tls.InjectingTlsRelay(changes, this.engineTurn, [taken, other], connection, ended);
    });
  }

  #credentials(host: string) {
    const { opened } = this.plan;
    if (opened === undefined) throw new Error(`${host} is not opened`);
    return { credentials: opened.authority.credentialsOf(host), roots: opened.roots };
  }
}
