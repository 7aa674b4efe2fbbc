import type { Changes } from "../linux/file/epoll";
import type { AttemptLog } from "./attempt-log";
import { Attempts } from "./attempts";
import { Connections } from "./connections";
import { ContainerNetwork, type NetworkProcess } from "./container-network";
import { FilteredNetwork } from "./filtered-network";
import { Gateway } from "./gateway";
import { HeaderInjection } from "./header-injection";
import { HostPorts } from "./host-ports";
import { type LeadPorts, MachineLoopback, NamespaceLoopback, tcpOf } from "./loopback";
import type { NetworkPlan } from "./network-plan";
import { Resolver } from "./resolver";
import { RuleSet } from "./rule-set";
import { ServingLoop } from "./serving-loop";

/** Serves the network of a container as long as the foreground command runs. */
export class NetworkServer implements Disposable {
  /** What the container may reach; rules may be added while it runs. */
  readonly rules: RuleSet;
  readonly attempts: Attempts;
  readonly #served: { readonly isSending: boolean };
  readonly #loop: ServingLoop;
  readonly #owned: DisposableStack;

  private constructor(
    rules: RuleSet,
    attempts: Attempts,
    served: { readonly isSending: boolean },
    loop: ServingLoop,
    owned: DisposableStack,
  ) {
    this.rules = rules;
    this.attempts = attempts;
    this.#served = served;
    this.#loop = loop;
    this.#owned = owned;
  }

  /**
   * Makes all that is called before the container's program runs. `log` is where attempts are written. With `leadPorts` the container is in a machine, to
   * which an interface of the namespace leads.
   */
  static beside(
    process: NetworkProcess,
    plan: NetworkPlan,
    log: AttemptLog | undefined,
    leadPorts: LeadPorts | undefined,
  ): NetworkServer {
    using owned = new DisposableStack();
    const container = owned.use(new ContainerNetwork(process));
    const loop = owned.use(new ServingLoop());
    const rules = new RuleSet(plan.rules);
    const attempts = new Attempts(log && ((attempt) => log.write(attempt)));
    const resolver = new Resolver(loop.changes);
    const connections = owned.use(new Connections(loop.changes));
    const injection = new HeaderInjection(connections, plan, loop.engineTurn);
    const parts = { rules, connections, attempts, resolver, injection };
    const needsGateway = plan.rules.length > 0 || leadPorts !== undefined;
    const gateway = needsGateway ? owned.use(Gateway.beside(container)) : undefined;
    const network = gateway && owned.use(new FilteredNetwork(gateway, parts));
    const { forwarded, published } = plan;
    if (forwarded.length + published.length > 0) {
      const loopback =
        network === undefined || leadPorts === undefined
          ? new NamespaceLoopback(tcpOf(container), connections)
          : new MachineLoopback(network, forwarded, published, leadPorts);
      const ports = new HostPorts(loopback, connections, resolver);
      for (const each of forwarded) ports.forward(each);
      for (const each of published) ports.publish(each);
    }
    return new NetworkServer(rules, attempts, network ?? connections, loop, owned.move());
  }

  /** Of what is served beside the network. */
  get changes(): Changes {
    return this.#loop.changes;
  }

  /** Serves until this is settled. */
  async until<T>(over: Promise<T>): Promise<T> {
    return await this.#loop.until(over, () => this.#served.isSending);
  }

  /** Ends what is still open, so that it is told. */
  [Symbol.dispose](): void {
    this.#owned[Symbol.dispose]();
  }
}
