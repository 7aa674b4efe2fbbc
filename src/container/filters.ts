import { HakoError } from "../base/errors";
import { nearestName } from "../base/nearest";

type Test<T> = (listed: T) => boolean;

/** What `--filter KEY=VALUE` compares, by the key: a value becomes a test. One that can't match anything is refused. */
export type Filters<T> = Readonly<Record<string, (value: string) => Test<T>>>;

/** What `--filter` words leave of a list: of several with one key any may fit, all keys must. */
export function filterOf<T>(words: readonly string[], filters: Filters<T>): Test<T> {
  const byKey = new Map<string, Test<T>[]>();
  for (const word of words) {
    const [key = "", value] = halves(word);
    const make = Object.hasOwn(filters, key) ? filters[key] : undefined;
    if (value === undefined || make === undefined) throw unknown(word, key, Object.keys(filters));
    byKey.set(key, [...(byKey.get(key) ?? []), make(value)]);
  }
  return (listed) => [...byKey.values()].every((tests) => tests.some((test) => test(listed)));
}

/** What stands before and behind the first "="; undefined if there is none. */
export function halves(text: string): [string, string | undefined] {
  const at = text.indexOf("=");
  return at < 0 ? [text, undefined] : [text.slice(0, at), text.slice(at + 1)];
}

function unknown(word: string, key: string, known: readonly string[]): HakoError {
  const meant = nearestName(key, known);
  return HakoError.usage(
    `--filter: ${JSON.stringify(word)} is no filter`,
    `KEY=VALUE, with ${meant === undefined ? known.join(", ") : `${meant} perhaps`}`,
  );
}

export function wrongFilter(key: string, value: string, wanted: string): HakoError {
  return HakoError.usage(`--filter ${key}: ${JSON.stringify(value)} is not ${wanted}`);
}

/** One of some words. */
export function oneOf<T extends string>(key: string, value: string, words: readonly T[]): T {
  const found = words.find((each) => each === value);
  if (found === undefined) throw wrongFilter(key, value, `one of ${words.join(", ")}`);
  return found;
}

export function expressionOf(key: string, text: string): RegExp {
  try {
    return new RegExp(text);
  } catch {
    throw wrongFilter(key, text, "a regular expression");
  }
}
