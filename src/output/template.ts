import { HakoError } from "../base/errors";
import { nearestName } from "../base/nearest";

type Row = Readonly<Record<string, unknown>>;

/** A text with fields of a row put in. */
export interface TextTemplate {
  /** What a table has above each part; undefined of a template that makes no table. */
  header: string[] | undefined;
  /** A line; of a table its cells. */
  cells(row: Row): string[];
}

/**
 * Reads a template in the form of Go's text/template as docker and podman take it, with what scripts use of that: `{{.Field}}`,
 * `{{json .}}`, `{{json .Field}}`, `{{index .Field "key"}}`, `\t` and `\n`, and `table ` in front. Names of fields are compared without regard to
 * capitals. Anything else is refused.
 */
export function parseTemplate(text: string, fields: readonly string[]): TextTemplate {
  const table = /^table\s+/.exec(text)?.[0];
  const body = text.slice(table?.length ?? 0).replaceAll(/\\[tn]/g, (word) => (word === "\\t" ? "\t" : "\n"));
  const parts = (table === undefined ? [body] : body.split("\t")).map((part) => parseLine(part, fields));
  return {
    header: table === undefined ? undefined : parts.map(({ title }) => title),
    cells: (row) => parts.map(({ render }) => render(row)),
  };
}

interface Line {
  /** The names of its fields, in capitals. */
  title: string;
  render(row: Row): string;
}

function parseLine(text: string, fields: readonly string[]): Line {
  const pieces = text.split(/(\{\{.*?\}\})/s);
  const titles: string[] = [];
  const renders = pieces.map((piece): ((row: Row) => string) => {
    const inner = /^\{\{-?\s*(.*?)\s*-?\}\}$/s.exec(piece)?.[1];
    if (inner === undefined) {
      if (/\{\{|\}\}/.test(piece)) throw wrong(piece, "{{ and }} belong together");
      return () => piece;
    }
    const { title, render } = parseAction(inner, fields);
    titles.push(title);
    return render;
  });
  return { title: titles.join(" "), render: (row) => renders.map((render) => render(row)).join("") };
}

function parseAction(text: string, fields: readonly string[]): Line {
  const [, json, name, indexed, key] = /^(?:(json\s+)?\.(\w*)|index\s+\.(\w+)\s+"([^"]*)")$/.exec(text) ?? [];
  const wanted = name ?? indexed;
  if (wanted === undefined)
    throw wrong(text, '{{.Field}}, {{json .Field}} and {{index .Field "key"}} can stand there');
  if (wanted === "" && json !== undefined) return { title: "", render: (row) => JSON.stringify(row) };
  const field = fields.find((each) => each.toLowerCase() === wanted.toLowerCase());
  if (field === undefined) throw unknownField(wanted, fields);
  const value = (row: Row) => (key === undefined ? row[field] : (row[field] as Row | undefined)?.[key]);
  return {
    title: (key ?? field).toUpperCase(),
    render: json === undefined ? (row) => plain(value(row)) : (row) => JSON.stringify(value(row) ?? null),
  };
}

function plain(value: unknown): string {
  if (value === undefined || value === null) return "";
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

function unknownField(name: string, fields: readonly string[]): HakoError {
  const meant = nearestName(name, fields);
  return wrong(`.${name}`, meant === undefined ? `fields: ${fields.join(", ")}` : `did you mean .${meant}?`);
}

function wrong(what: string, hint: string): HakoError {
  return HakoError.usage(`--format: ${JSON.stringify(what)} can't be read`, hint);
}
