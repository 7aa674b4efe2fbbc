import type { SecureContext } from "node:tls";
import { Authority } from "./tls/authority";
import { trustedRoots } from "./tls/trusted-roots";

/** Hosts whose HTTPS is opened on its way: hako is each of these to the program, and the program to each of these. */
export class OpenedHosts {
  /** Vouches for them; its key is in the memory of this process alone. */
  readonly authority: Authority;
  /** By what they are checked. */
  readonly roots: SecureContext;

  constructor(hosts: readonly string[]) {
    this.roots = trustedRoots();
    this.authority = new Authority(hosts);
  }
}
