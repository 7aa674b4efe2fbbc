import { HakoError } from "../base/errors";
import { type InetAddress, parseInetAddress } from "../linux/network/inet-address";
import { canonicalName, isName, portOf } from "./rule";

/** The words of `--forward` and `--publish`. */

/** A port of the container's loopback that leads to a place of the host's network. */
export interface ForwardedPort {
  inside: number;
  host: string | InetAddress;
  port: number;
}

/** A port of the host's that leads to one of the container's loopback. */
export interface PublishedPort {
  address: InetAddress;
  port: number;
  inside: number;
}

export const LOOPBACK_V4: InetAddress = Uint8Array.of(127, 0, 0, 1);
export const LOOPBACK_V6: InetAddress = Uint8Array.from({ length: 16 }, (_, at) => (at === 15 ? 1 : 0));
/** The host's loopback, as a name. */
export const LOCALHOST = "localhost";

/** `PORT`, of the host's loopback, `HOST:PORT`, or `PORT:HOST:PORT` with another port inside. */
export function forwardedPort(text: string): ForwardedPort {
  const [, own, name, last = ""] = /^(?:(?:(\d+):)?(\[[^\]]*\]|[^:]+):)?(\d+)$/.exec(text) ?? [];
  const port = portOf(last);
  const inside = own === undefined ? port : portOf(own);
  if (port === undefined || inside === undefined)
    throw HakoError.usage(
      `--forward: ${JSON.stringify(text)} is not PORT, HOST:PORT or PORT:HOST:PORT`,
      "5432, db.internal:5432, 5432:192.0.2.1:6543",
    );
  if (name === undefined) return { inside, host: LOCALHOST, port };
  const host = parseInetAddress(name.replace(/^\[(.*)\]$/, "$1")) ?? canonicalName(name);
  if (typeof host === "string" && !isName(host))
    throw HakoError.usage(
      `--forward: ${JSON.stringify(text)}: ${JSON.stringify(name)} is no name, and no address`,
    );
  return { inside, host, port };
}

/** `PORT`, `PORT:PORT` with another port inside, or with an address of the host's before it; else it is the host's loopback. */
export function publishedPort(text: string): PublishedPort {
  const [, name, first = "", last = first] =
    /^(?:(\[[^\]]*\]|\d+(?:\.\d+)+):)?(\d+)(?::(\d+))?$/.exec(text) ?? [];
  const address = name === undefined ? LOOPBACK_V4 : parseInetAddress(name.replace(/^\[(.*)\]$/, "$1"));
  const [port, inside] = [portOf(first), portOf(last)];
  if (address === undefined || port === undefined || inside === undefined)
    throw HakoError.usage(
      `--publish: ${JSON.stringify(text)} is not [IP:]PORT[:PORT]`,
      "3000, 8080:3000, 0.0.0.0:8080:3000: the first port is the host's",
    );
  return { address, port, inside };
}
