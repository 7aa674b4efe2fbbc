import { HakoError } from "../base/errors";
import { type InetRange, parseInetAddress, parseInetRange } from "../linux/network/inet-address";

/**
 * What a rule of a filtered network says: `allow:NAME[:PORT][/udp]`. NAME is a name of DNS, `*.NAME` for all names below one, an address, or a
 * range of addresses (`10.0.0.0/8`); one of IPv6 with ports is in brackets. `outbound` allows all that is outside. PORT is a port, a range `8000-8010`, or several with commas.
 */
export interface NetworkRule {
  verdict: "allow" | "deny";
  target: NameTarget | RangeTarget | OutsideTarget;
  ports: readonly PortRange[];
  protocols: readonly Protocol[];
  /** The rule as it was written. */
  text: string;
}

export interface NameTarget {
  kind: "name";
  /** In small letters, without a dot at its end. */
  name: string;
  /** The names below it are meant, not the name itself. */
  below: boolean;
}

export interface RangeTarget {
  kind: "range";
  range: InetRange;
}

/** Every address that is not of the host, its networks, or otherwise reserved, and the names that the host's resolvers know. */
export interface OutsideTarget {
  kind: "outside";
}

export type Protocol = "tcp" | "udp";

export interface PortRange {
  first: number;
  last: number;
}

const WORD = /^(allow|deny):(.*)$/s;
const LABEL = /^(?!-)[a-z\d_-]{1,63}(?<!-)$/;
/** RFC 1035 2.3.4, without the root's dot. */
const LONGEST_NAME = 253;
/** What most servers are asked at: HTTP, HTTPS. */
const USUAL_PORTS: readonly PortRange[] = [80, 443].map((port) => ({ first: port, last: port }));
const MOST_PORT = 65535;
const ALL_PORTS: readonly PortRange[] = [{ first: 1, last: MOST_PORT }];

/** The rule that allows all that is outside. */
const OUTBOUND = "outbound";

/** Whether a value of `--network` is a rule. */
export function isNetworkRule(text: string): boolean {
  return text === OUTBOUND || WORD.test(text);
}

/** Refuses rules of which one would not hold beside the others. */
export function checkTogether(rules: readonly NetworkRule[]): void {
  const denied = rules.find(({ verdict, target }) => verdict === "deny" && target.kind === "name");
  if (denied === undefined || !rules.some(({ target }) => target.kind === "outside")) return;
  throw HakoError.usage(
    `${denied.text} contradicts ${OUTBOUND}: a program that knows an address needs no name`,
    "deny an address or a range, or allow names",
  );
}

/** The rule that a text is; an error of the command line where it is none. */
export function networkRule(text: string): NetworkRule {
  const wrong = (why: string, hint?: string) =>
    HakoError.usage(`network rule ${JSON.stringify(text)}: ${why}`, hint);
  if (text === OUTBOUND)
    return {
      verdict: "allow",
      target: { kind: "outside" },
      ports: ALL_PORTS,
      protocols: ["tcp", "udp"],
      text,
    };
  const [, verdict, rest = ""] = WORD.exec(text) ?? [];
  if (verdict !== "allow" && verdict !== "deny")
    throw wrong("it is not outbound, and doesn't begin with allow: or deny:", "allow:example.com:443");
  const [, protocol] = /\/(udp|tcp)$/.exec(rest) ?? [];
  const [host, ports] = dividedHost(rest.replace(/\/(udp|tcp)$/, ""));
  const protocols: Protocol[] = protocol === undefined ? ["tcp"] : [protocol as Protocol];
  if (host === "") throw wrong("a name or an address is missing", `${verdict}:example.com`);
  const target = targetOf(host, wrong);
  if (ports !== undefined) return { verdict, target, ports: portsOf(ports, wrong), protocols, text };
  if (verdict === "deny")
    return {
      verdict,
      target,
      ports: ALL_PORTS,
      protocols: protocol === undefined ? ["tcp", "udp"] : protocols,
      text,
    };
  if (protocol === "udp") throw wrong("a port is needed with /udp", `allow:${host}:443/udp`);
  return { verdict, target, ports: USUAL_PORTS, protocols, text };
}

type Wrong = (why: string, hint?: string) => HakoError;

/** A host, and what comes behind its colon. */
function dividedHost(text: string): [host: string, ports: string | undefined] {
  const bracketed = /^\[([^\]]*)\](?::(.*))?$/s.exec(text);
  if (bracketed !== null) return [bracketed[1] ?? "", bracketed[2]];
  // several colons are an address of IPv6
  if (text.indexOf(":") !== text.lastIndexOf(":")) return [text, undefined];
  const [host = "", ports] = text.split(":");
  return [host, ports];
}

function targetOf(host: string, wrong: Wrong): NetworkRule["target"] {
  if (host.includes(":") || host.includes("/") || parseInetAddress(host) !== undefined) {
    const range = parseInetRange(host);
    if (range !== undefined) return { kind: "range", range };
    throw wrong(
      `${host} is no address, or has bits behind its prefix`,
      "as 192.0.2.1, 10.0.0.0/8, [2001:db8::1]:443",
    );
  }
  const below = host.startsWith("*.");
  const name = canonicalName(below ? host.slice(2) : host);
  if (host === "*") throw wrong("every name is more than a rule is for", "--network outbound");
  if (!isName(name))
    throw wrong(`${host} is no name`, "letters, digits and hyphens; others as xn--..., *. in front alone");
  const last = name.split(".").at(-1) ?? "";
  // what ends so is an address to the C library, in one of its old spellings
  if (/^(\d+|0x[\da-f]*)$/.test(last)) throw wrong(`${host} is no name, and no address`);
  if (last === "localhost")
    throw wrong("localhost is the command's own", "--forward PORT brings a port of the host's there");
  return { kind: "name", name, below };
}

/** Whether a text is a name of DNS, in small letters. */
export function isName(text: string): boolean {
  return text.length <= LONGEST_NAME && text.split(".").every((label) => LABEL.test(label));
}

/** A name as names are compared: in small letters, without the root's dot. */
export function canonicalName(name: string): string {
  return name.toLowerCase().replace(/\.$/, "");
}

function portsOf(text: string, wrong: Wrong): PortRange[] {
  if (text === "*") return [...ALL_PORTS];
  return text.split(",").map((part) => {
    const [start = "", end = start] = part.split(/-(.*)/s);
    const [first, last] = [portOf(start), portOf(end)];
    if (first === undefined || last === undefined || first > last)
      throw wrong(`${JSON.stringify(part)} is not a port, nor a range of ports`, "from 1 to 65535");
    return { first, last };
  });
}

/** The port that a text is; undefined of other texts. */
export function portOf(text: string): number | undefined {
  return /^[1-9]\d{0,4}$/.test(text) && Number(text) <= MOST_PORT ? Number(text) : undefined;
}

/** Whether a rule is about a port of a protocol. */
export function hasPort(rule: NetworkRule, port: number, protocol: Protocol): boolean {
  return (
    rule.protocols.includes(protocol) && rule.ports.some(({ first, last }) => port >= first && port <= last)
  );
}

/** Whether a target is a name, or has it below. What no host is called (RFC 1035 5.1, \DDD) has none: resolvers may read something else. */
export function hasName({ name: own, below }: NameTarget, name: string): boolean {
  return below ? name.endsWith(`.${own}`) && !name.includes("\\") : name === own;
}
