import { HakoError } from "../../base/errors";
import { nearestName } from "../../base/nearest";
import type { Arguments } from "../../cli/arguments";
import { print } from "../../output/print";
import { printTable } from "../../output/table";
import type { TextTemplate } from "../../output/template";

/** Loaded on first use. */
const rare = {
  get template() {
    return require("../../output/template") as typeof import("../../output/template");
  },
};

/** Flags of commands that print a list for people, for programs, or as a template says. */
export const LISTING_FLAGS = {
  format: {
    type: "string",
    alias: "f",
    valueHint: "table|json|TEMPLATE",
    description: "form of the output; a template as '{{.ID}} {{.Status}}', with table in front for columns",
    default: "table",
  },
  json: { type: "boolean", description: "the same as --format json" },
  quiet: { type: "boolean", alias: "q", description: "print ids only" },
} as const satisfies Arguments;

/** A flag that chooses rows; `words` says by what. */
export function filterFlag<const W extends string>(words: W) {
  return {
    type: "string",
    multiple: true,
    valueHint: "KEY=VALUE",
    description: `only those that fit: ${words}`,
  } as const;
}

/** The template that `--format` is; undefined for a table and for JSON. */
export function formatTemplate(format: string, fields: readonly string[]): TextTemplate | undefined {
  if (format === "table" || format === "json") return undefined;
  if (!format.includes("{{"))
    throw HakoError.usage(
      `--format: ${JSON.stringify(format)} is not one of table, json, or a template with {{.ID}}`,
    );
  return rare.template.parseTemplate(format, fields);
}

export function printTemplate(
  { header, cells }: TextTemplate,
  rows: readonly Readonly<Record<string, unknown>>[],
): void {
  const texts = rows.map(cells);
  if (header === undefined) print(texts.map(([line]) => `${line}\n`).join(""));
  else printTable(header, texts);
}

/** How `--sort FIELD` compares two rows; what one has nothing of comes last. */
export function orderBy(
  word: string,
  fields: readonly string[],
): (one: Readonly<Record<string, unknown>>, other: Readonly<Record<string, unknown>>) => number {
  const field = fields.find((each) => each.toLowerCase() === word.toLowerCase());
  if (field === undefined) {
    const meant = nearestName(word, fields);
    const hint = meant === undefined ? fields.join(", ") : `did you mean ${meant}?`;
    throw HakoError.usage(`--sort: ${JSON.stringify(word)} is no field`, hint);
  }
  return (one, other) => compare(one[field] ?? undefined, other[field] ?? undefined);
}

function compare(one: unknown, other: unknown): number {
  if (one === undefined || other === undefined)
    return Number(one === undefined) - Number(other === undefined);
  if (typeof one === "number" && typeof other === "number") return one - other;
  const [left, right] = [String(one), String(other)];
  return left < right ? -1 : Number(left > right);
}
