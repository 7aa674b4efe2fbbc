import * as v from "valibot";
import { during } from "../base/errors";
import { didYouMean, nearestName } from "../base/nearest";
import { headerWords } from "../network/injected-headers";
import { isNetworkRule, networkRule } from "../network/rule";
import { problemOf, problemsError } from "../oci/config";
import { keysOf, parseDocument } from "../oci/json";
import { problem } from "../oci/problem";
import { unknownFields } from "../oci/unknown-fields";
import { parseToml } from "../settings/toml";
import type { PolicyDocument } from "./policy";
import { POLICY_FIELDS, policySchema } from "./policy-schema";

/** A policy of a text in TOML or JSON; an unknown field is wrong, for it would be a mistyped one that restricts. */
export function parsePolicy(text: string, file: string): PolicyDocument {
  const policy = checkedDocument(policySchema, policyText(text, file), file, POLICY_FIELDS);
  for (const rule of [policy.network ?? []].flat())
    if (isNetworkRule(rule)) during(`${file}: /network`, () => networkRule(rule));
  for (const text of policy["inject-header"] ?? [])
    during(`${file}: /inject-header`, () => headerWords(text));
  return policy;
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
