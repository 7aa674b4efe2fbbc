import { HakoError } from "../base/errors";
import type { Header } from "./request-heads";
import { canonicalName, type NetworkRule, portOf } from "./rule";
import { type Destination, RuleSet } from "./rule-set";

/**
 * Headers that hako puts into requests to a host, `--inject-header NAME:VALUE@HOST[:PORT]`: a secret that a program uses and never sees. Only plain
 * HTTP can be changed so.
 */
export interface InjectedHeader extends Header {
  host: string;
  port: number;
}

const HTTP = 80;
const HTTPS = 443;

/** The header that a flag says, with what `${NAME}` stands for in its value. An error never has the value in it. */
export function injectedHeader(
  text: string,
  rules: readonly NetworkRule[],
  variableOf: (name: string) => string | undefined,
): InjectedHeader {
  const [, name = "", value = "", host = "", port = String(HTTP)] =
    /^([!#$%&'*+.^_`|~\w-]+):[\t ]*(.*)@([^@:]+)(?::(\d+))?$/s.exec(text) ?? [];
  const wrong = (why: string, hint?: string) => HakoError.usage(`--inject-header ${name}: ${why}`, hint);
  if (name === "" || portOf(port) === undefined)
    // biome-ignore lint/suspicious/noTemplateCurlyInString: as the caller writes it
    throw wrong("it is not NAME:VALUE@HOST[:PORT]", "'Authorization:Bearer ${TOKEN}@api.internal'");
  if (portOf(port) === HTTPS)
    throw wrong("HTTPS can't be changed on its way", "port 80, or another one of plain HTTP");
  const said = value.replaceAll(/\$\{(\w+)\}/g, (_, variable: string) => {
    const found = variableOf(variable);
    if (found === undefined) throw wrong(`the variable ${variable} is not set`);
    return found;
  });
  if (!/^[\t\x20-\x7e\x80-\xff]*$/.test(said))
    throw wrong("its value has characters that no header can have");
  const destination = { host: canonicalName(host), port: Number(port) };
  if (new RuleSet(rules).refusal({ ...destination, protocol: "tcp" }) !== undefined)
    throw wrong(`no rule allows ${host}:${port}`, `--network allow:${host}:${port}`);
  return { name, value: said.trim(), ...destination };
}

/** Those of a destination. */
export function headersFor(
  injected: readonly InjectedHeader[],
  { host, port }: Destination,
): InjectedHeader[] {
  return injected.filter((each) => each.host === host && each.port === port);
}
