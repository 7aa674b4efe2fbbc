import { HakoError } from "../base/errors";
import { callerVariable } from "../linux/file/caller-environment";
import { type InetAddress, inetAddressText } from "../linux/network/inet-address";
import { checkInjected, type InjectedHeader, injectedHeader } from "./injected-headers";
import type { OpenedHosts } from "./opened-hosts";
import {
  type ForwardedPort,
  forwardedPort,
  LOCALHOST,
  type PublishedPort,
  publishedPort,
} from "./port-words";
import { checkTogether, type NetworkRule, networkRule } from "./rule";

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

/** The words of the flags. */
export interface NetworkWords {
  /** Those of `--network` that are rules. */
  rules: readonly string[];
  forward: readonly string[];
  publish: readonly string[];
  inject: readonly string[];
  log: string | undefined;
}

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

/** The file /etc/resolv.conf of a container whose names are asked for at an address. */
export function resolverFile(server: InetAddress): string {
  return `nameserver ${inetAddressText(server)}\n`;
}

/** The file /etc/hosts of a container: the host's has names of the host's network. */
export function hostsFile(hostname: string): string {
  const names = [LOCALHOST, hostname].join(" ");
  return `127.0.0.1 ${names}\n::1 ${names}\n`;
}
