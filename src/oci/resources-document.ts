import * as v from "valibot";
import { type Problem, problemOf, problemsError, type Resources } from "./config";
import { parseDocument } from "./json";
import { resources } from "./schema-resources";
import { resourceProblems } from "./semantics-resources";
import { unknownFields } from "./unknown-fields";

/** Parses the document of `update --resources`. `unknown` has the pointers of fields that hako does not know, and that do nothing. */
export function parseResources(source: string, file: string): { resources: Resources; unknown: string[] } {
  const document = parseDocument(source, file);
  const read = readResources(document);
  if ("problems" in read) throw problemsError(read.problems, file);
  return { ...read, unknown: unknownFields(document, read.resources) };
}

/** Checks resources in full. Returns them, or all their faults. */
export function readResources(document: unknown): { resources: Resources } | { problems: Problem[] } {
  const result = v.safeParse(resources, document);
  if (!result.success) return { problems: result.issues.map(problemOf) };
  const problems = resourceProblems(result.output);
  return problems.length > 0 ? { problems } : { resources: result.output };
}
