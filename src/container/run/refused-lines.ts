import { allowingRule, type RefusedDestination } from "../../network/attempts";
import { logFailure } from "../../output/log";

/** How many destinations have a line of their own. */
const MOST_LINES = 10;

/** Says what a program could not reach because of rules, and which rule would have let it. */
export function tellRefused(refused: readonly RefusedDestination[]): void {
  for (const each of refused.slice(0, MOST_LINES)) logFailure(refusedLine(each));
  const more = refused.length - MOST_LINES;
  if (more > 0) logFailure(`${more} other destinations were refused (--network-log FILE has them)`);
}

/** "example.com:443 was refused 3 times: --network allow:example.com" */
export function refusedLine(refused: RefusedDestination): string {
  const { host, port, protocol, why, address, count } = refused;
  const place = port === null ? host : `${host.includes(":") ? `[${host}]` : host}:${port}`;
  const times = count === 1 ? "" : ` ${count} times`;
  const said = `${place} was refused${times}`;
  const reason = REASONS[why];
  if (reason !== undefined) return `${said}: ${reason}`;
  if (address === null) return `${said}: --network ${allowingRule(refused)}`;
  return `${said}: ${address} is ${WORDS[why] ?? why}: --network ${allowingRule({ host: address, port, protocol })}`;
}

/** Where no rule would have let it. */
const REASONS: Readonly<Record<string, string>> = {
  denied: "a rule denies it",
  "too many names": "too many names were asked for",
  "HTTP/2": "the program speaks HTTP/2 alone, and --inject-header knows HTTP/1.1",
  "client certificate": "it asks for a client's certificate, of which --inject-header has none",
  "another host": "--inject-header is for another host than a request or TLS has named",
  EBADMSG: "--inject-header has cut off what is no clear request of HTTP/1.1",
};

/** Where what an address is isn't said by one word. */
const WORDS: Readonly<Record<string, string>> = { metadata: "where clouds give credentials out" };
