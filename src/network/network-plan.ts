import { HakoError } from "../base/errors";
import { callerVariable } from "../linux/file/caller-environment";
import { type InetAddress, inetAddressText, parseInetAddress } from "../linux/network/inet-address";
import { checkInjected, type InjectedHeader, injectedHeader } from "./injected-headers";
import type { OpenedHosts } from "./opened-hosts";
import { canonicalName, checkTogether, isName, type NetworkRule, networkRule, portOf } from "./rule";

/** Loaded on first use. */
const rare = {
  get openedHosts() {
    return require("./opened-hosts") as typeof import("./opened-hosts");
  },
};

/** What a container has of a network that the foreground command serves. */
export interface NetworkPlan {
  /** What it may reach. */
  rules: readonly NetworkRule[];
  forwarded: readonly ForwardedPort[];
  published: readonly PublishedPort[];
  injected: readonly InjectedHeader[];
  /** undefined where headers are for plain HTTP alone. */
  opened: OpenedHosts | undefined;
  /** A file, or the number of a descriptor: where each attempt to reach something is written. */
  log: string | undefined;
}

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

/** The words of the flags. */
export interface NetworkWords {
  /** Those of `--network` that are rules. */
  rules: readonly string[];
  forward: readonly string[];
  publish: readonly string[];
  inject: readonly string[];
  log: string | undefined;
}

export const LOOPBACK_V4: InetAddress = Uint8Array.of(127, 0, 0, 1);
export const LOOPBACK_V6: InetAddress = Uint8Array.from({ length: 16 }, (_, at) => (at === 15 ? 1 : 0));
/** The host's loopback, as a name. */
export const LOCALHOST = "localhost";

/** What the flags say; undefined where they say nothing. */
export function networkPlan({ rules, forward, publish, inject, log }: NetworkWords): NetworkPlan | undefined {
  if (rules.length === 0 && inject.length > 0)
    throw HakoError.usage("--inject-header needs a network with rules", "--network allow:HOST");
  if (rules.length + forward.length + publish.length === 0) {
    if (log === undefined) return undefined;
    throw HakoError.usage("--network-log needs a network with rules", "--network allow:NAME");
  }
  if (log === "")
    throw HakoError.usage("--network-log: empty", "a file, or the number of an open descriptor");
  const parsed = rules.map(networkRule);
  checkTogether(parsed);
  const injected = inject.map((text) => injectedHeader(text, parsed, callerVariable));
  checkInjected(injected);
  const secure = new Set(injected.filter(({ isSecure }) => isSecure).map(({ host }) => host));
  return {
    rules: parsed,
    forwarded: forward.map(forwardedPort),
    published: publish.map(publishedPort),
    injected,
    opened: secure.size === 0 ? undefined : new rare.openedHosts.OpenedHosts([...secure]),
    log,
  };
}

/** `PORT`, of the host's loopback, `HOST:PORT`, or `PORT:HOST:PORT` with another port inside. */
function forwardedPort(text: string): ForwardedPort {
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
function publishedPort(text: string): PublishedPort {
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

/** The file /etc/resolv.conf of a container whose names are asked for at an address. */
export function resolverFile(server: InetAddress): string {
  return `nameserver ${inetAddressText(server)}\n`;
}

/** The file /etc/hosts of a container: the host's has names of the host's network. */
export function hostsFile(hostname: string): string {
  const names = [LOCALHOST, hostname].join(" ");
  return `127.0.0.1 ${names}\n::1 ${names}\n`;
}
