import type { Changes } from "../linux/file/epoll";
import type { AttemptLog } from "./attempt-log";
import { Attempts } from "./attempts";
import { Connections } from "./connections";
import { ContainerNetwork, type NetworkProcess } from "./container-network";
import { FilteredNetwork } from "./filtered-network";
import { Gateway } from "./gateway";
import { HostPorts } from "./host-ports";
import type { NetworkPlan } from "./network-plan";
import { Resolver } from "./resolver";
import { RuleSet } from "./rule-set";
import { ServingLoop } from "./serving-loop";

/** Serves the network of a container as long as the foreground command runs. */
export class NetworkServer implements Disposable {
  /** What the container may reach; rules may be added while it runs. */
  readonly rules: RuleSet;
  readonly attempts: Attempts;
  readonly #connections: Connections;
  readonly #loop: ServingLoop;
  readonly #owned: DisposableStack;

  private constructor(
    rules: RuleSet,
    attempts: Attempts,
    connections: Connections,
    loop: ServingLoop,
    owned: DisposableStack,
  ) {
    this.rules = rules;
    this.attempts = attempts;
    this.#connections = connections;
    this.#loop = loop;
    this.#owned = owned;
  }

  /** Makes all that is called before the container's program runs. `log` is where attempts are written. */
  static beside(process: NetworkProcess, plan: NetworkPlan, log: AttemptLog | undefined): NetworkServer {
    using owned = new DisposableStack();
    const container = owned.use(new ContainerNetwork(process));
    const loop = owned.use(new ServingLoop());
    const rules = new RuleSet(plan.rules);
    const attempts = new Attempts(log && ((attempt) => log.write(attempt)));
    const resolver = new Resolver(loop.changes);
    const connections = owned.use(new Connections(loop.changes));
    if (plan.rules.length > 0) {
      const gateway = owned.use(Gateway.beside(container));
      owned.use(new FilteredNetwork(gateway, rules, connections, attempts, resolver, plan.injected));
    }
    const ports = new HostPorts(container, connections, resolver);
    for (const forwarded of plan.forwarded) ports.forward(forwarded);
    for (const published of plan.published) ports.publish(published);
    return new NetworkServer(rules, attempts, connections, loop, owned.move());
  }

  /** Of what is served beside the network. */
  get changes(): Changes {
    return this.#loop.changes;
  }

  /** Serves until this is settled. */
  async until<T>(over: Promise<T>): Promise<T> {
    return await this.#loop.until(over, () => this.#connections.isSending);
  }

  /** Ends what is still open, so that it is told. */
  [Symbol.dispose](): void {
    this.#owned[Symbol.dispose]();
  }
}
