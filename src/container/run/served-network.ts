import { during, HakoError } from "../../base/errors";
import { driverOf } from "../../drivers";
import { AttemptLog } from "../../network/attempt-log";
import type { RefusedDestination } from "../../network/attempts";
import type { NetworkPlan } from "../../network/network-plan";
import { NetworkServer } from "../../network/network-server";
import type { Container, ProcessRecord } from "../../state/record";
import { containerDirectory } from "../../state/root";
import { openForCaller } from "../io/caller-target";
import { RuleSocket } from "./rule-socket";

/** The network of a run that this command serves while the program runs. */
export class ServedNetwork implements Disposable {
  readonly #plan: NetworkPlan;
  readonly #log: AttemptLog | undefined;
  #server: NetworkServer | undefined;
  #more: RuleSocket | undefined;

  /** To be called before anything is made. */
  constructor(plan: NetworkPlan, { detach }: { detach: boolean }) {
    if (detach)
      throw HakoError.usage(
        "--detach contradicts rules of --network, --forward and --publish",
        "this command serves them: in a shell, hako run ... &",
      );
    this.#plan = plan;
    const { log } = plan;
    this.#log =
      log === undefined
        ? undefined
        : new AttemptLog(
            during(`--network-log ${log}`, () => openForCaller(log)),
            log,
          );
  }

  /** Makes what is called, before the program runs. */
  begin(container: Container, init: ProcessRecord): void {
    const driver = driverOf(container.record);
    const leadPorts = driver.leadPorts?.bind(driver, container);
    const server = NetworkServer.beside(init, this.#plan, this.#log, leadPorts);
    this.#server = server;
    if (this.#plan.rules.length === 0) return;
    const directory = containerDirectory(container.root, container.record.id);
    this.#more = new RuleSocket(directory, server.changes, server.rules);
  }

  async until<T>(over: Promise<T>): Promise<T> {
    return await (this.#server?.until(over) ?? over);
  }

  /** What was refused; undefined where there are no rules. */
  get refused(): readonly RefusedDestination[] | undefined {
    return this.#plan.rules.length === 0 ? undefined : this.#server?.attempts.refused;
  }

  [Symbol.dispose](): void {
    this.#more?.[Symbol.dispose]();
    this.#server?.[Symbol.dispose]();
    this.#log?.[Symbol.dispose]();
  }
}
