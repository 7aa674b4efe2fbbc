import { HakoError } from "../base/errors";
import { type Header, TOKEN } from "./request-heads";
import { canonicalName, type NetworkRule, networkRule, portOf } from "./rule";
import { type Destination, RuleSet } from "./rule-set";

/**
 * Headers that hako puts into requests to a host, `--inject-header NAME:VALUE@[https://]HOST[:PORT]`: a secret that a program uses and never sees.
 */
export interface InjectedHeader extends Header {
  host: string;
  port: number;
  /** Of HTTPS, which is opened on its way. */
  isSecure: boolean;
}

/** Headers by which requests are told from each other. */
const REFUSED_NAMES: ReadonlySet<string> = new Set([
  "host",
  "content-length",
  "transfer-encoding",
  "connection",
  "upgrade",
  "trailer",
]);

const HTTP = 80;
const HTTPS = 443;

const NAME = new RegExp(`^(${TOKEN}):`);
const PLACE = /^[\t ]*(?<value>.*)@(?:(?<scheme>https?):\/\/)?(?<host>[^@:/]+)(?::(?<port>\d+))?$/s;

/** What a flag, or a policy, says of a header; an error never has the value in it. */
export function headerWords(text: string) {
  const [start = "", name = ""] = NAME.exec(text) ?? [];
  const wrong = (why: string, hint?: string) =>
    HakoError.usage(`--inject-header${name && ` ${name}`}: ${why}`, hint);
  const { value = "", scheme, host, port } = PLACE.exec(text.slice(start.length))?.groups ?? {};
  const given = portOf(port ?? String(scheme === "https" ? HTTPS : HTTP));
  if (name === "" || host === undefined || given === undefined)
    throw wrong(
      "it is not NAME:VALUE@[https://]HOST[:PORT]",
      // biome-ignore lint/suspicious/noTemplateCurlyInString: as the caller writes it
      "'Authorization:Bearer ${TOKEN}@https://api.example.com'",
    );
  const isSecure = scheme === undefined ? given === HTTPS : scheme === "https";
  return { name, value, host: canonicalName(host), port: given, isSecure, wrong };
}

/** A header with the place that its value has, and not the value. */
export function headerWithoutValue(text: string): string {
  const { name, host, port, isSecure } = headerWords(text);
  return `${name}:***@${isSecure ? "https" : "http"}://${host}:${port}`;
}

/** The header that a flag says, with what `${NAME}` stands for in its value. */
export function injectedHeader(
  text: string,
  rules: readonly NetworkRule[],
  variableOf: (name: string) => string | undefined,
): InjectedHeader {
  const { name, value, wrong, ...to } = headerWords(text);
  const said = value.replaceAll(/\$\{(\w+)\}/g, (_, variable: string) => {
    const found = variableOf(variable);
    if (found === undefined) throw wrong(`the variable ${variable} is not set`);
    return found;
  });
  if (!/^[\t\x20-\x7e\x80-\xff]*$/.test(said))
    throw wrong("its value has characters that no header can have");
  if (REFUSED_NAMES.has(name.toLowerCase())) throw wrong("it decides where a request goes, or ends");
  const allowing = `allow:${to.host}:${to.port}`;
  const { target } = networkRule(allowing);
  if (target.kind !== "name" || target.below) throw wrong(`${to.host} is not the name of one host`);
  const allowed = new RuleSet(rules);
  // others are called by their addresses
  if (!allowed.knows(to.host) || allowed.refusal({ ...to, protocol: "tcp" }) !== undefined)
    throw wrong(`no rule allows ${to.host}:${to.port}`, `--network ${allowing}`);
  return { name, value: said.trim(), ...to };
}

/** Refuses headers of which one would make a connection open that another one has closed. */
export function checkInjected(injected: readonly InjectedHeader[]): void {
  for (const { name, host, port, isSecure } of injected)
    if (headersFor(injected, { host, port, protocol: "tcp" }).some((other) => other.isSecure !== isSecure))
      throw HakoError.usage(`--inject-header ${name}: ${host}:${port} is either http:// or https://`);
}

/** Those of a destination; of several with one name the last, for flags come after a policy's. */
export function headersFor(
  injected: readonly InjectedHeader[],
  { host, port }: Destination,
): InjectedHeader[] {
  const all = injected.filter((each) => each.host === host && each.port === port);
  return [...new Map(all.map((each) => [each.name.toLowerCase(), each])).values()];
}
