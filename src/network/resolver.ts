import type { Changes } from "../linux/file/epoll";
import { type InetAddress, parseInetAddress } from "../linux/network/inet-address";

/** How long what the host says of a name is taken as true, in milliseconds. */
const KEPT_MS = 30_000;
/** How many names are kept. */
const MOST_KEPT = 4096;

interface Kept {
  addresses: readonly InetAddress[];
  until: number;
}

/** Looks names up as the host's programs do (getaddrinfo(3)): its resolvers, its /etc/hosts. */
export class Resolver {
  readonly #kept = new Map<string, Kept>();
  readonly #asked = new Map<string, Promise<readonly InetAddress[]>>();

  /** What is found is told when `changes` waits. */
  constructor(private readonly changes: Changes) {}

  /** Calls `found` with the addresses of a name, those that the host prefers first, or none: at once where they are known. */
  look(name: string, found: (addresses: readonly InetAddress[]) => void): void {
    const kept = this.#kept.get(name);
    if (kept !== undefined && kept.until > performance.now()) {
      found(kept.addresses);
      return;
    }
    const asked = this.#asked.get(name) ?? this.#ask(name);
    this.#asked.set(name, asked);
    void asked.then((addresses) => this.changes.later(() => found(addresses)));
  }

  async #ask(name: string): Promise<readonly InetAddress[]> {
    try {
      const found = await Bun.dns.lookup(name, { backend: "libc" });
      const addresses = found.flatMap(({ address }) => parseInetAddress(address) ?? []);
      if (this.#kept.size >= MOST_KEPT) this.#kept.clear();
      this.#kept.set(name, { addresses, until: performance.now() + KEPT_MS });
      return addresses;
    } catch {
      // it is told as a name without addresses, and asked for again the next time
      return [];
    } finally {
      this.#asked.delete(name);
    }
  }
}
