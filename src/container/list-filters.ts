import { HakoError } from "../base/errors";
import { nearestName } from "../base/nearest";
import { STATUSES } from "../state/record";
import type { Listed } from "./list";

type Test = (listed: Listed) => boolean;

/** What `list --filter KEY=VALUE` compares, with podman's and docker's words. A value that can't match anything is refused. */
const FILTERS: Readonly<Record<string, (value: string) => Test>> = {
  id(value) {
    const expression = expressionOf("id", value);
    return ({ id }) => expression.test(id);
  },
  name: (value) => FILTERS.id?.(value) ?? never,
  status(value) {
    if (!STATUSES.some((each) => each === value))
      throw wrong("status", value, `one of ${STATUSES.join(", ")}`);
    return ({ status }) => status === value;
  },
  sandbox: (value) => (listed) => listed.sandbox === value,
  pod: (value) => FILTERS.sandbox?.(value) ?? never,
  bundle: (value) => (listed) => listed.bundle === value,
  owner: (value) => (listed) => listed.owner === value,
  exited(value) {
    if (!/^\d{1,3}$/.test(value)) throw wrong("exited", value, "an exit status");
    return ({ exitCode }) => exitCode === Number(value);
  },
  oom(value) {
    if (value !== "true" && value !== "false") throw wrong("oom", value, "true or false");
    return ({ oomKilled }) => oomKilled === (value === "true");
  },
  annotation(value) {
    const [key = "", wanted] = halves(value);
    return ({ annotations }) =>
      Object.hasOwn(annotations, key) && (wanted === undefined || annotations[key] === wanted);
  },
  label: (value) => FILTERS.annotation?.(value) ?? never,
};

export const FILTER_NAMES = Object.keys(FILTERS);

function never(): boolean {
  return false;
}

/** What `--filter` words leave of containers: of several with one key any may fit, all keys must. */
export function filterOf(words: readonly string[]): Test {
  const byKey = new Map<string, Test[]>();
  for (const word of words) {
    const [key = "", value] = halves(word);
    const make = Object.hasOwn(FILTERS, key) ? FILTERS[key] : undefined;
    if (value === undefined || make === undefined) throw unknown(word, key);
    byKey.set(key, [...(byKey.get(key) ?? []), make(value)]);
  }
  return (listed) => [...byKey.values()].every((tests) => tests.some((test) => test(listed)));
}

/** What stands before and behind the first "="; undefined if there is none. */
function halves(text: string): [string, string | undefined] {
  const at = text.indexOf("=");
  return at < 0 ? [text, undefined] : [text.slice(0, at), text.slice(at + 1)];
}

function unknown(word: string, key: string): HakoError {
  const meant = nearestName(key, FILTER_NAMES);
  return HakoError.usage(
    `--filter: ${JSON.stringify(word)} is no filter`,
    `KEY=VALUE, with ${meant === undefined ? FILTER_NAMES.join(", ") : `${meant} perhaps`}`,
  );
}

function wrong(key: string, value: string, wanted: string): HakoError {
  return HakoError.usage(`--filter ${key}: ${JSON.stringify(value)} is not ${wanted}`);
}

function expressionOf(key: string, text: string): RegExp {
  try {
    return new RegExp(text);
  } catch {
    throw wrong(key, text, "a regular expression");
  }
}
