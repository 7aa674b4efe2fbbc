import { AF } from "../linux/call/constants";
import type { Fd } from "../linux/call/fd";
import type { Changes } from "../linux/file/epoll";
import type { Attempts } from "./attempts";
import { LABELS_V4, LABELS_V6, type LabelAddresses, numbered } from "./label-addresses";
import { answerQuery, type KnownName, TYPE_AAAA } from "./name-answers";
import { type Answered, NameStream } from "./name-stream";
import type { RuleSet } from "./rule-set";

/** Where names are asked for, by UDP and TCP. */
export const NAME_PORT = 53;
/** How many connections there are at once: programs ask by UDP. */
const MOST_STREAMS = 64;

/** Asks somebody else, who answers later; undefined of a query that nobody else is asked. */
export type AskOthers = (query: Uint8Array, answered: Answered) => Disposable | undefined;

/** Answers what programs ask of names: those that a rule allows have an address that stands for them, others are not there. */
export class NameServer implements Disposable {
  readonly #streams = new Set<NameStream>();
  readonly #hasV6: boolean;

  constructor(
    private readonly changes: Changes,
    private readonly rules: RuleSet,
    private readonly labels: LabelAddresses,
    private readonly attempts: Attempts,
    families: readonly number[],
    private readonly others: AskOthers = () => undefined,
  ) {
    this.#hasV6 = families.includes(AF.INET6);
  }

  /** The answer to a query; undefined to what is none. */
  answer(query: Uint8Array): Uint8Array | undefined {
    return answerQuery(query, (name, type) => this.#known(name, type));
  }

  #known(name: string, type: number): KnownName | undefined {
    const isKnown = this.rules.knows(name);
    const number = isKnown ? this.labels.numberOf(name) : undefined;
    if (number === undefined) {
      // programs ask for both families of one name
      if (type !== TYPE_AAAA) this.attempts.unknownName(name, isKnown ? "too many names" : "no rule");
      return undefined;
    }
    return { v4: numbered(LABELS_V4, number), v6: this.#hasV6 ? numbered(LABELS_V6, number) : undefined };
  }

  /** Answers the queries of a connection, and owns it; `ended` is called when it is closed. */
  serve(socket: Fd, ended: () => void): void {
    const [oldest] = this.#streams;
    if (oldest !== undefined && this.#streams.size >= MOST_STREAMS) oldest.close();
    const stream = new NameStream(
      this.changes,
      socket,
      (query, answered) => {
        const asked = this.others(query, answered);
        if (asked === undefined) answered(this.answer(query));
        return asked;
      },
      () => {
        this.#streams.delete(stream);
        ended();
      },
    );
    this.#streams.add(stream);
  }

  [Symbol.dispose](): void {
    for (const stream of [...this.#streams]) stream.close();
  }
}
