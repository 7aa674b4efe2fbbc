import * as v from "valibot";
import { parseDuration } from "../base/duration";
import { parseSize } from "../base/size";
import { isText, object, optional, schemaWord, text, texts } from "../oci/schema";

/**
 * What a `hako run` may read, write and reach, by the names of run's flags. Paths are the host's: `~` is a home directory, `$NAME` what a variable
 * of the caller's says, a relative one is below the working directory; of `hide` and `protect` also patterns (`path-pattern.ts`).
 */

const memory = schemaWord(
  (value): value is string => isText(value) && (parseSize(value) ?? 0) > 0,
  () => "expected a size, as 512M",
  { type: "string" },
);
const time = schemaWord(
  (value): value is string => isText(value) && (/^\d+$/.test(value) || parseDuration(value) !== undefined),
  () => "expected a time, as 30s",
  { type: "string" },
);

/** A number, as such or as a text, for these are flags' values. */
function amount(pattern: RegExp, expected: string) {
  const isAmount = (value: unknown): value is string | number =>
    (typeof value === "number" || isText(value)) && pattern.test(String(value)) && Number(value) > 0;
  return schemaWord(isAmount, () => `expected ${expected}`, { type: ["string", "number"] });
}

const environmentText = schemaWord(
  (value): value is string => isText(value) && /^[^=]/.test(value),
  () => "expected NAME or NAME=VALUE",
  { type: "string", pattern: "^[^=]" },
);

/** Lists of a policy are added to those of the policy that it extends; of other fields its own counts. */
export const LIST_ENTRIES = {
  /** Empty for the command, wherever it would be seen. */
  hide: texts,
  /** Seen in what is hidden, and only read. */
  read: texts,
  /** Really written. */
  write: texts,
  /** Only read, though what it is in may be written. */
  protect: texts,
  /** SOURCE:TARGET[:ro]. */
  volume: texts,
  /** TARGET[:OPTION,...]. */
  tmpfs: texts,
  /** [PORT:][HOST:]PORT of the host's network at the command's localhost. */
  forward: texts,
  /** [IP:]PORT[:PORT] of the host for one of the command's localhost. */
  publish: texts,
  /** NAME=VALUE, or NAME for the caller's value. */
  env: optional(v.array(environmentText)),
};

const policyEntries = {
  /** The policy that it adds to: a built-in one's name, or a file beside it. */
  extends: optional(text),
  ...LIST_ENTRIES,
  /** "none", "host", or a list of rules. */
  network: optional(v.union([text, v.array(text)], "expected a text, or a list of texts")),
  memory: optional(memory),
  cpus: optional(amount(/^\d+(\.\d+)?$/, "a number above 0")),
  pids: optional(amount(/^\d+$/, "a whole number above 0")),
  timeout: optional(time),
};

export const policySchema = object(policyEntries);

/** A policy as a file has it. */
export type PolicyDocument = v.InferOutput<typeof policySchema>;

export type ListName = keyof typeof LIST_ENTRIES;
export const LIST_NAMES = Object.keys(LIST_ENTRIES) as ListName[];
export const LIMIT_NAMES = ["memory", "cpus", "pids", "timeout"] as const;

/** A policy with all that it extends. */
export interface Policy extends Record<ListName, readonly string[]> {
  name: string;
  /** The files that it was read from: what runs by it must not change them. */
  files: readonly string[];
  /** Values of --network. */
  network: readonly string[];
  memory: string | undefined;
  cpus: string | undefined;
  pids: string | undefined;
  timeout: string | undefined;
}
