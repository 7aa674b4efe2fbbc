import * as v from "valibot";
import { during } from "../base/errors";
import { didYouMean, nearestName } from "../base/nearest";
import { headerWords } from "../network/injected-headers";
import { forwardedPort, publishedPort } from "../network/port-words";
import { isNetworkRule, networkRule } from "../network/rule";
import { problemOf, problemsError } from "../oci/config";
import { keysOf, parseDocument, pointer } from "../oci/json";
import { problem } from "../oci/problem";
import { unknownFields } from "../oci/unknown-fields";
import { parseToml } from "../settings/toml";
import type { PolicyDocument } from "./policy";
import { POLICY_FIELDS, policySchema } from "./policy-schema";

/** How values are read that are words of flags. */
const WORDS = {
  network: (text: string) => isNetworkRule(text) && networkRule(text),
  forward: forwardedPort,
  publish: publishedPort,
  "inject-header": headerWords,
} as const satisfies Partial<Record<keyof PolicyDocument, (text: string) => unknown>>;

/** Lists of paths. */
const PATHS = ["hide", "read", "write", "protect"] as const;

/** A policy of a text in TOML or JSON; an unknown field is wrong, for it would be a mistyped one that restricts. */
export function parsePolicy(text: string, file: string): PolicyDocument {
  const policy = checkedDocument(policySchema, policyText(text, file), file, POLICY_FIELDS);
  for (const field of Object.keys(WORDS) as (keyof typeof WORDS)[])
    for (const word of [policy[field] ?? []].flat()) during(`${file}: /${field}`, () => WORDS[field](word));
  const paths = PATHS.flatMap((field) =>
    (policy[field] ?? []).flatMap((path, index) => {
      const wrong = whyNoPath(path);
      return wrong === undefined
        ? []
        : [problem(pointer([field, index]), `${JSON.stringify(path)}: ${wrong}`)];
    }),
  );
  if (paths.length > 0) throw problemsError(paths, file);
  const words = [policy.network ?? []].flat();
  const alone = words.find((word) => !isNetworkRule(word));
  if (alone !== undefined && words.length > 1)
    throw problemsError(
      [problem("/network", `${JSON.stringify(alone)} stands alone: a list is of rules`)],
      file,
    );
  return policy;
}

/** What is wrong with a path that stands for nothing, where something was to be hidden, or for more than was meant. */
export function whyNoPath(path: string): string | undefined {
  if (path === "") return "empty";
  if (!/^~[^/]/.test(path)) return undefined;
  return "~ is your own home directory alone: name another's by its path, and a file of such a name as ./~NAME";
}

/** A document in JSON, or in TOML. */
export function policyText(text: string, file: string): unknown {
  return text.trimStart().startsWith("{") ? parseDocument(text, file) : parseToml(text, file);
}

/** A document by a schema, which knows all its fields; `names` are these. */
export function checkedDocument<S extends v.GenericSchema>(
  schema: S,
  document: unknown,
  file: string,
  names: readonly string[],
): v.InferOutput<S> {
  const result = v.safeParse(schema, document);
  if (!result.success) throw problemsError(result.issues.map(problemOf), file);
  const unknown = unknownFields(document, result.output).map((pointer) =>
    problem(pointer, `unknown${didYouMean(nearestName(keysOf(pointer).at(-1) ?? "", names))}`),
  );
  if (unknown.length > 0) throw problemsError(unknown, file);
  return result.output;
}
