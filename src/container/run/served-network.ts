import { during, HakoError } from "../../base/errors";
import { driverFor } from "../../drivers";
import { AttemptLog } from "../../network/attempt-log";
import type { RefusedDestination } from "../../network/attempts";
import type { NetworkPlan } from "../../network/network-plan";
import { NetworkServer } from "../../network/network-server";
import type { ProcessRecord } from "../../state/record";
import type { CreateOptions } from "../create";
import { openForCaller } from "../io/caller-target";
import { RuleSocket } from "./rule-socket";

/** What of a run decides whether it can be served. */
interface Options extends Pick<CreateOptions, "driver" | "bundle"> {
  detach: boolean;
}

/** The network of a run that this command serves while the program runs. */
export class ServedNetwork implements Disposable {
  readonly #plan: NetworkPlan;
  readonly #log: AttemptLog | undefined;
  #server: NetworkServer | undefined;
  #more: RuleSocket | undefined;

  /** To be called before anything is made. */
  constructor(plan: NetworkPlan, { detach, driver, bundle }: Options) {
    if (detach)
      throw HakoError.usage(
        "--detach contradicts rules of --network, --forward and --publish",
        "this command serves them: in a shell, hako run ... &",
      );
    const { name } = driverFor(bundle.config, driver);
    if (name !== "namespaces" && plan.forwarded.length + plan.published.length > 0)
      throw new HakoError({
        code: "unsupported",
        message: `--forward and --publish: the driver "${name}" can't do this`,
      });
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

  /** Makes what is called, before the program runs; `directory` is the container's own. */
  begin(init: ProcessRecord, directory: string): void {
    const server = NetworkServer.beside(init, this.#plan, this.#log);
    this.#server = server;
    if (this.#plan.rules.length > 0) this.#more = new RuleSocket(directory, server.changes, server.rules);
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
