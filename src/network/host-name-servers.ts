import { tryReadText } from "../linux/file/file";
import { type InetAddress, parseInetAddress } from "../linux/network/inet-address";

const CONFIGURATION = "/etc/resolv.conf";
/** Where the C library asks without one (resolv.conf(5)). */
const NONE_NAMED: readonly InetAddress[] = [Uint8Array.of(127, 0, 0, 1)];

/** Whom the host asks for names: what is asked of a container's name server, and may be known outside, is asked there. */
export function hostNameServers(): readonly InetAddress[] {
  return nameServersIn(tryReadText(CONFIGURATION) ?? "");
}

/** The name servers of a resolv.conf(5). */
export function nameServersIn(configuration: string): readonly InetAddress[] {
  const named = configuration.split("\n").flatMap((line) => {
    const [word, address = ""] = line.trim().split(/\s+/);
    // one of a link has its interface behind it
    return word === "nameserver" ? (parseInetAddress(address.replace(/%.*/, "")) ?? []) : [];
  });
  return named.length > 0 ? named : NONE_NAMED;
}
