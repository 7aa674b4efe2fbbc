import { type Config, configOf, type Problem } from "./config";
import { keysOf, pointer } from "./json";

type Keys = readonly (string | number)[];
type Container = Record<string, unknown> | unknown[];

/**
 * Where namespaces are. Where one of them was taken out, the rules that need a namespace say nothing certain; the word "namespace" is
 * in all of their messages.
 */
const NAMESPACES = "/linux/namespaces";
const SOME_VERSION = "1.0.0";

/** A config without its fields of wrong types, so that everything else is checked too. */
export interface PartialConfig {
  config: Config;
  /** The document without these fields: what `config` was parsed from. */
  document: unknown;
  /** The problem with its pointer into the whole document; undefined if it may be there only because fields were taken out. */
  inDocument(problem: Problem): Problem | undefined;
}

/** The part of a document that has the right types; undefined if nothing of use is left. */
export function partialConfig(document: unknown): PartialConfig | undefined {
  if (!isContainer(document) || Array.isArray(document)) return undefined;
  const partial = new Part(structuredClone(document));
  // without a field that it must have, an object goes too: each turn goes one level up
  for (let turn = 0; turn < 20; turn++) {
    const read = configOf(partial.root);
    if ("config" in read)
      return {
        config: read.config,
        document: partial.root,
        inDocument: (problem) => partial.inDocument(problem),
      };
    for (const keys of read.problems.map((problem) => keysOf(problem.pointer)).sort(laterFirst))
      partial.remove(keys);
  }
  return undefined;
}

function isContainer(value: unknown): value is Container {
  return typeof value === "object" && value !== null;
}

/** Whether the JSON pointer `inner` is `outer`, or leads into what `outer` names. */
export function isWithin(inner: string, outer: string): boolean {
  return inner === outer || inner.startsWith(`${outer}/`);
}

/** The order in which fields are taken out. Of an array the last item goes first, so that the others keep their places. */
function laterFirst(one: Keys, other: Keys): number {
  for (let level = 0; level < Math.min(one.length, other.length); level++) {
    const [left = "", right = ""] = [one[level], other[level]];
    if (left === right) continue;
    const numbers = Number(right) - Number(left);
    return Number.isNaN(numbers) ? (left < right ? 1 : -1) : numbers;
  }
  return other.length - one.length;
}

/** A copy of a document that gets smaller, and remembers the places of what is left. */
class Part {
  /** Pointers into the whole document. */
  readonly removed: string[] = [];
  /** For arrays that have lost items: which places the others had before. */
  readonly #places = new WeakMap<unknown[], number[]>();

  constructor(readonly root: Record<string, unknown>) {}

  /** Takes a value out; where it is missing, takes out what should have had it. */
  remove(keys: Keys): void {
    const key = String(keys.at(-1) ?? "");
    const above = keys.slice(0, -1);
    const holder = this.#at(above);
    if (keys.length === 1 && key === "ociVersion") {
      this.removed.push("/ociVersion");
      this.root.ociVersion = SOME_VERSION;
      return;
    }
    if (!isContainer(holder)) return;
    if (!Object.hasOwn(holder, key)) {
      if (above.length > 0) this.remove(above);
      return;
    }
    this.removed.push(this.#pointer(keys));
    if (!Array.isArray(holder)) {
      delete holder[key];
      return;
    }
    const places = this.#places.get(holder) ?? holder.map((_, index) => index);
    places.splice(Number(key), 1);
    holder.splice(Number(key), 1);
    this.#places.set(holder, places);
  }

  inDocument(problem: Problem): Problem | undefined {
    const where = this.#pointer(keysOf(problem.pointer));
    const needs = problem.message.includes("namespace") ? NAMESPACES : where;
    const isDoubtful = (field: string) =>
      this.removed.some((each) => isWithin(field, each) || isWithin(each, field));
    return isDoubtful(where) || isDoubtful(needs) ? undefined : { ...problem, pointer: where };
  }

  #at(keys: Keys): unknown {
    let value: unknown = this.root;
    for (const key of keys) value = isContainer(value) ? (value as Record<string, unknown>)[key] : undefined;
    return value;
  }

  #pointer(keys: Keys): string {
    return pointer(
      keys.map((key, level) => {
        const holder = this.#at(keys.slice(0, level));
        return Array.isArray(holder) ? (this.#places.get(holder)?.[Number(key)] ?? key) : key;
      }),
    );
  }
}
