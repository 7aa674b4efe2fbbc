import type { ErrnoName } from "../base/errno";
import { type InetAddress, inetAddressText } from "../linux/network/inet-address";
import type { Protocol } from "./rule";
import type { Destination, Refusal } from "./rule-set";

/** Why something was not reached. */
export type Why =
  | Refusal
  | "too many names"
  | "no such name"
  | "the host itself"
  | CutOff
  | ErrnoName
  /** What BoringSSL calls an error of TLS, as CERT_HAS_EXPIRED. */
  | Uppercase<string>;

/** Why hako itself has cut off a connection whose requests get headers (`--inject-header`); EBADMSG is a request that is not clear. */
export type CutOff = "another host" | "HTTP/2" | "client certificate" | "EBADMSG";
const CUT_OFF: ReadonlySet<Why | undefined> = new Set<CutOff>([
  "another host",
  "HTTP/2",
  "client certificate",
  "EBADMSG",
]);

/** Nothing was reached: why, and for which address of a name. */
export interface Stop {
  verdict: "refused" | "failed";
  why: Why;
  address?: InetAddress | undefined;
}

/** A line of `--network-log`: what a program has tried to reach, and what became of it. */
export interface NetworkAttempt {
  /** RFC 3339: when it began. */
  time: string;
  /** The name that the program has asked for; null where it has used an address. */
  name: string | null;
  /** The address outside; null where none was tried. */
  address: string | null;
  /** null of a name that was asked for and is not to be reached. */
  port: number | null;
  protocol: Protocol | null;
  verdict: "allowed" | "refused" | "failed";
  /** Why it was refused, or has failed, or was reset. */
  why: Why | null;
  /** Bytes from the program, and to it. */
  sent: number;
  received: number;
}

/** What was refused, and how often, as `--report` says it. */
export interface RefusedDestination {
  /** A name or an address. */
  host: string;
  /** null of a name that was asked for, whose port nobody knows. */
  port: number | null;
  protocol: Protocol | null;
  why: Why;
  /** The address of the name for which it was refused; null where it was for the name itself. */
  address: string | null;
  count: number;
}

/** How many destinations are counted one by one: a program can make up any number. */
const MOST_COUNTED = 1000;

/** What a program has tried to reach. */
export class Attempts {
  readonly #refused = new Map<string, RefusedDestination>();

  /** `write` takes each attempt when it is over. */
  constructor(private readonly write: ((attempt: NetworkAttempt) => void) | undefined) {}

  /** Begins an attempt; what it returns is told what became of it. */
  begin(destination: Destination): Started {
    return new Started(destination, this.#over, this.write !== undefined);
  }

  /** A name was asked for that is not to be reached. */
  unknownName(name: string, why: Why): void {
    const nothing = { address: null, port: null, protocol: null, sent: 0, received: 0 };
    this.#over({ time: timeText(Date.now()), name, verdict: "refused", why, ...nothing });
  }

  /** In the order in which they were refused first. */
  get refused(): RefusedDestination[] {
    return [...this.#refused.values()];
  }

  readonly #over = (attempt: NetworkAttempt): void => {
    this.write?.(attempt);
    if (attempt.verdict !== "refused") return;
    const { name, address, port, protocol, why } = attempt;
    const host = name ?? address ?? "";
    const key = `${host} ${port} ${protocol}`;
    const before = this.#refused.get(key);
    if (before !== undefined) before.count++;
    else if (this.#refused.size < MOST_COUNTED)
      this.#refused.set(key, {
        host,
        port,
        protocol,
        why: why ?? "no rule",
        address: name && address,
        count: 1,
      });
  };
}

/** An attempt that isn't over. */
export class Started {
  readonly #began = Date.now();

  constructor(
    private readonly destination: Destination,
    private readonly over: (attempt: NetworkAttempt) => void,
    /** Whether anybody is told of what was allowed. */
    private readonly isTold: boolean,
  ) {}

  /** Nothing was reached. */
  stopped({ verdict, why, address }: Stop): void {
    this.#tell(address, { verdict, why, sent: 0, received: 0 });
  }

  /** It was connected with this address, and has ended; `error` says how, if not in order. What was cut off is told as refused. */
  ended(address: InetAddress, sent: number, received: number, error?: Why): void {
    const verdict = CUT_OFF.has(error) ? "refused" : "allowed";
    if (this.isTold || verdict === "refused")
      this.#tell(address, { verdict, why: error ?? null, sent, received });
  }

  #tell(
    address: InetAddress | undefined,
    result: Pick<NetworkAttempt, "verdict" | "why" | "sent" | "received">,
  ): void {
    const { host, port, protocol } = this.destination;
    const name = typeof host === "string" ? host : null;
    const tried = address ?? (typeof host === "string" ? undefined : host);
    const time = timeText(this.#began);
    this.over({ time, name, address: tried ? inetAddressText(tried) : null, port, protocol, ...result });
  }
}

function timeText(milliseconds: number): string {
  return new Date(milliseconds).toISOString();
}

/** How the rule is written that would have allowed a destination. */
export function allowingRule(refused: Pick<RefusedDestination, "host" | "port" | "protocol">): string {
  const { host, port, protocol } = refused;
  const written = host.includes(":") && port !== null ? `[${host}]` : host;
  const usual = port === null || (protocol === "tcp" && (port === 80 || port === 443));
  return `allow:${written}${usual ? "" : `:${port}`}${protocol === "udp" ? "/udp" : ""}`;
}
