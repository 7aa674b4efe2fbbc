import { type InetAddress, inetRangeHas } from "../linux/network/inet-address";
import { means, type Reserved, reservedAs, translated } from "./reserved-ranges";
import { checkTogether, hasName, hasPort, type NetworkRule, type PortRange, type Protocol } from "./rule";

/** What a program wants to reach. */
export interface Destination {
  /** What it called it: a name that it was given an address for, or an address. */
  host: string | InetAddress;
  port: number;
  protocol: Protocol;
}

/** Why a destination is not reached. */
export type Refusal = "no rule" | "denied" | Reserved;

/** Rules that hold at the same time. They may become more while they are asked. */
export class RuleSet {
  readonly #rules: NetworkRule[];
  readonly #listeners: ((rule: NetworkRule) => void)[] = [];

  constructor(rules: readonly NetworkRule[]) {
    this.#rules = [...rules];
    checkTogether(this.#rules);
  }

  get rules(): readonly NetworkRule[] {
    return this.#rules;
  }

  /** Takes one more; those who have asked are told, before it holds. */
  add(rule: NetworkRule): void {
    checkTogether([...this.#rules, rule]);
    for (const listener of this.#listeners) listener(rule);
    this.#rules.push(rule);
  }

  onAdded(listener: (rule: NetworkRule) => void): void {
    this.#listeners.push(listener);
  }

  /** The ports that some rule allows. */
  ports(protocol: Protocol): PortRange[] {
    const allowing = this.#rules.filter(
      (rule) => rule.verdict === "allow" && rule.protocols.includes(protocol),
    );
    return allowing.flatMap(({ ports }) => ports);
  }

  /** Whether a name is told to the program: whether some port of it can be reached. */
  knows(name: string): boolean {
    return this.#rules.some(
      ({ verdict, target }) => verdict === "allow" && target.kind === "name" && hasName(target, name),
    );
  }

  /** Whether a destination may be reached, as the program calls it; undefined if it may. */
  refusal({ host, port, protocol }: Destination): Refusal | undefined {
    const ofPort = this.#rules.filter((rule) => hasPort(rule, port, protocol));
    const about = ofPort.filter(({ target }) => isAbout(target, host));
    // an address that a gateway translates is denied with the one that it stands for
    const meant = typeof host === "string" ? host : translated(host);
    const denying = ofPort.filter(({ verdict }) => verdict === "deny");
    if (denying.some(({ target }) => isAbout(target, host) || isAbout(target, meant))) return "denied";
    if (about.length === 0) return "no rule";
    if (typeof host === "string" || about.some(({ target }) => isMeant(target, host))) return undefined;
    return reservedAs(host);
  }

  /**
   * Whether an address that a name has may be reached; undefined if it may. An allowed name whose owner says that it is an address of the
   * host's or of its network (DNS rebinding) is none of these, unless a rule allows that address.
   */
  refusalOfAnswer(address: InetAddress, port: number, protocol: Protocol): Refusal | undefined {
    const byAddress = this.refusal({ host: address, port, protocol });
    return byAddress === "no rule" ? reservedAs(address) : byAddress;
  }

  /** Whether a rule allows an address itself. */
  namesAddress(address: InetAddress, port: number, protocol: Protocol): boolean {
    const isNamed = this.#rules.some(
      (rule) =>
        hasPort(rule, port, protocol) && isMeant(rule.target, address) && isAbout(rule.target, address),
    );
    return isNamed && this.refusal({ host: address, port, protocol }) === undefined;
  }

  /** Whether all that is outside may be reached. */
  get hasOutside(): boolean {
    return this.#rules.some(({ target }) => target.kind === "outside");
  }
}

/** Whether a target that is about an address means it, whatever it is reserved as. */
function isMeant(target: NetworkRule["target"], address: InetAddress): boolean {
  return target.kind === "range" && target.range.prefix > 0 && means(target.range, address);
}

/** Whether a target is about what a program calls. */
function isAbout(target: NetworkRule["target"], host: Destination["host"]): boolean {
  if (target.kind === "name") return typeof host === "string" && hasName(target, host);
  if (typeof host === "string") return false;
  return target.kind === "outside" || inetRangeHas(target.range, host);
}
