// The types of the TypeScript library that are hako's own: documents that commands print, from their valibot schemas, and flags, from the
// commands' tables. Called by scripts/sdk; a test compares.

import type { JsonSchema } from "@valibot/to-json-schema";
import { version } from "../package.json";
import { statsDocument } from "../src/cgroup/stats/stats-types";
import type { Argument, Arguments } from "../src/cli/arguments";
import exec from "../src/commands/exec";
import run from "../src/commands/run";
import { changeDocument, endedDocument, reportDocument, stateDocument } from "../src/output/documents";
import { policyJsonSchema } from "./config-schema";

export const TYPES_FILE = `${import.meta.dir}/../sdk/src/generated.ts`;

/** As much of a valibot schema as types need. */
interface Schema {
  type: string;
  entries?: Record<string, Schema>;
  wrapped?: Schema;
  item?: Schema;
  key?: Schema;
  value?: Schema;
  options?: readonly (Schema | string)[];
  pipe?: readonly { kind: string; type: string; description?: string }[];
}

/** The type of what JSON.parse makes of a document. */
function typeOf(schema: Schema): string {
  const { entries = {}, wrapped, item, value, options = [] } = schema;
  switch (schema.type) {
    case "object":
      return `{ ${Object.entries(entries).map(field).join(" ")} }`;
    case "array":
      return `${bracketed(typeOf(known(item)))}[]`;
    case "record":
      return `Record<string, ${typeOf(known(value))}>`;
    case "nullable":
      return `${typeOf(known(wrapped))} | null`;
    case "optional":
      return typeOf(known(wrapped));
    case "picklist":
      return options.map((each) => JSON.stringify(each)).join(" | ");
    case "union":
      // a bigint is written as the digits that it has
      return [...new Set(options.map((each) => typeOf(each as Schema)))].join(" | ");
    case "bigint":
      return "number";
    case "custom":
      return "Record<string, unknown>";
    case "string":
    case "number":
    case "boolean":
    case "null":
      return schema.type;
  }
  throw new Error(`no type is known for a schema of type ${schema.type}`);
}

function known(schema: Schema | undefined): Schema {
  if (schema === undefined) throw new Error("a schema lacks its part");
  return schema;
}

/** A comment, which a pattern in it does not end. */
function commented(text: string): string {
  return `/** ${text.replaceAll("*/", "*\\/")} */`;
}

function bracketed(type: string): string {
  return type.includes("|") ? `(${type})` : type;
}

function field([name, schema]: [string, Schema]): string {
  const description = [schema, schema.wrapped]
    .flatMap((each) => each?.pipe ?? [])
    .find(({ type }) => type === "description")?.description;
  const comment = description === undefined ? "" : `${commented(description)}\n`;
  return `\n${comment}${name}${schema.type === "optional" ? "?" : ""}: ${typeOf(schema)};`;
}

/** The type of what a JSON schema describes: of documents that are checked by words of oci/schema.ts, which have no other form. */
function typeOfJson({ type, anyOf, items, properties }: JsonSchema): string {
  if (properties !== undefined) {
    const fields = Object.entries(properties).map(([name, property]) => {
      const { description, ...schema } = property as JsonSchema;
      return `\n${commented(description ?? "")}\n${JSON.stringify(name)}?: ${typeOfJson(schema)} | undefined;`;
    });
    return `{ ${fields.join(" ")} }`;
  }
  if (anyOf !== undefined) return anyOf.map((each) => typeOfJson(each as JsonSchema)).join(" | ");
  if (type === "array") return `readonly ${bracketed(typeOfJson(items as JsonSchema))}[]`;
  return [type].flat().join(" | ");
}

function declared(name: string, comment: string, schema: unknown): string {
  return `/** ${comment} */\nexport interface ${name} ${typeOf(schema as Schema)}\n`;
}

/** Flags that the library gives itself, or that make no sense without a terminal or a daemon. */
const OWN_FLAGS = new Set([
  ...[
    "container",
    "name",
    "rootfs",
    "idle",
    "bundle",
    "config",
    "detach",
    "output",
    "keep",
    "report",
    "quiet",
  ],
  ...[
    "die-with",
    "die-with-parent",
    "tty",
    "interactive",
    "rm",
    "console-socket",
    "pid-file",
    "pidfd-socket",
  ],
  ...[
    "preserve-fds",
    "no-subreaper",
    "no-pivot",
    "no-new-keyring",
    "no-new-privs",
    "process",
    "ignore-paused",
    "cgroup",
  ],
]);
/** Flags whose values the library makes from values of JavaScript. */
const NUMBERS = new Set(["cpus", "pids"]);
const BYTES = new Set(["memory"]);
const LIMITS = new Set(["memory", "cpus", "pids"]);
const TIMES = new Set(["timeout", "grace"]);

export function optionName(flag: string): string {
  return flag.replaceAll(/-(\w)/g, (_, letter: string) => letter.toUpperCase());
}

interface Flag {
  flag: string;
  kind: "switch" | "text" | "list" | "time" | "variables";
  type: string;
  description: string;
}

function flagOf(flag: string, argument: Argument): Flag {
  const { type, multiple, description = "" } = argument;
  const told = description
    .replace(/^with --rootfs: /, "")
    .replace("; the exit status is then 124", "; `timedOut` is then true")
    .concat(LIMITS.has(flag) ? "; no limit if neither this nor a policy says one" : "");
  if (flag === "policy")
    return {
      ...{ flag, kind: "text", type: "string | Policy" },
      description:
        "what the program may read, write and reach: default, build, agent, a file, or an object; others of these options add to it",
    };
  if (flag === "env")
    return {
      ...{ flag, kind: "variables", type: "Readonly<Record<string, string | undefined>>" },
      description: "variables of the program",
    };
  if (type === "boolean") return { flag, kind: "switch", type: "boolean", description: told };
  if (multiple) return { flag, kind: "list", type: "string | readonly string[]", description: told };
  if (TIMES.has(flag))
    return { flag, kind: "time", type: "string | number", description: `${told}; a number is milliseconds` };
  const options = "options" in argument ? (argument.options ?? []) : [];
  if (type === "enum")
    return {
      ...{ flag, kind: "text", description: told },
      type: options.map((each) => JSON.stringify(each)).join(" | "),
    };
  if (BYTES.has(flag))
    return { flag, kind: "text", type: "string | number", description: `${told}; a number is bytes` };
  return { flag, kind: "text", type: NUMBERS.has(flag) ? "string | number" : "string", description: told };
}

/** The options that a command's flags are, and the table by which the library writes them. */
function declaredFlags(name: string, table: string, command: string, args: Arguments | undefined): string {
  const flags = Object.entries(args ?? {})
    .filter(([flag]) => !OWN_FLAGS.has(flag))
    .map(([flag, argument]) => flagOf(flag, argument));
  const fields = flags.map(
    ({ flag, type, description }) =>
      `${commented(`\`--${flag}\`: ${description}.`)}\n${optionName(flag)}?: ${type} | undefined;`,
  );
  const rows = flags.map(({ flag, kind }) => `${optionName(flag)}: ["${flag}", "${kind}"],`);
  return [
    `/** What \`hako ${command}\` can be told. */\nexport interface ${name} {\n${fields.join("\n")}\n}\n`,
    `export const ${table}: FlagTable = {\n${rows.join("\n")}\n};\n`,
  ].join("\n");
}

/** The text of the file, before the formatter. */
export function typesText(): string {
  return [
    "// Made by scripts/sdk from hako's schemas and tables of flags.\n",
    `/** The version of hako that it is for. */\nexport const VERSION = ${JSON.stringify(version)};\n`,
    "/** By an option's name: the flag's, and how its value is written. */",
    'export type FlagTable = Readonly<Record<string, readonly [flag: string, kind: "switch" | "text" | "list" | "time" | "variables"]>>;\n',
    `/** What a program may read, write and reach: what a policy's file may say, and nothing else. */\nexport interface Policy ${typeOfJson(policyJsonSchema() as JsonSchema)}\n`,
    declaredFlags("RunFlags", "RUN_FLAGS", "run --rootfs", run.args),
    declaredFlags("ExecFlags", "EXEC_FLAGS", "exec", exec.args),
    declared("Report", "What is told of the end of a program; null is what nobody knows.", reportDocument),
    declared("Ended", "How a container has ended; null is what nobody knows.", endedDocument),
    declared("State", "The state of a container, as the OCI runtime spec has it.", stateDocument),
    declared(
      "Stats",
      "The counters of a container, under the names in runc's JSON. Times are nanoseconds.",
      statsDocument,
    ),
    declared("Change", "One file or directory that is not as it is on the host.", changeDocument),
  ].join("\n");
}

/** The text as it is kept: formatted as all files are. */
export async function formattedTypes(): Promise<string> {
  const biome = `${import.meta.dir}/../node_modules/.bin/biome`;
  const formatter = Bun.spawn([biome, "format", "--stdin-file-path=sdk/src/generated.ts"], {
    cwd: `${import.meta.dir}/..`,
    stdin: new Blob([typesText()]),
    stderr: "inherit",
  });
  const text = await new Response(formatter.stdout).text();
  if ((await formatter.exited) !== 0) throw new Error("biome can't format the types");
  return text;
}

if (import.meta.main) await Bun.write(TYPES_FILE, await formattedTypes());
