import { HakoError } from "../base/errors";
import { defineCommand } from "../cli/command";
import type { ListedInRoot } from "../container/known-roots";
import { type Listed, listContainers } from "../container/list";
import { print } from "../output/print";
import { printTable, tableText } from "../output/table";

/** Loaded on first use. */
const rare = {
  get ended() {
    return require("../container/ended") as typeof import("../container/ended");
  },
  get filters() {
    return require("../container/list-filters") as typeof import("../container/list-filters");
  },
  get knownRoots() {
    return require("../container/known-roots") as typeof import("../container/known-roots");
  },
  get template() {
    return require("../output/template") as typeof import("../output/template");
  },
};

/** What a template may name, of `Listed`. */
const FIELDS: readonly (keyof ListedInRoot)[] = [
  ...(["id", "pid", "status", "bundle", "rootfs", "created", "owner", "sandbox", "annotations"] as const),
  ...(["exitCode", "signal", "oomKilled", "finished", "ociVersion", "root"] as const),
];

export default defineCommand({
  args: {
    format: {
      type: "string",
      alias: "f",
      valueHint: "table|json|TEMPLATE",
      description: "form of the output; a template as '{{.ID}} {{.Status}}', with table in front for columns",
      default: "table",
    },
    json: { type: "boolean", description: "the same as --format json" },
    quiet: { type: "boolean", alias: "q", description: "print ids only" },
    "no-trunc": {
      type: "boolean",
      description: "cut no id and path where the terminal is too narrow for a line",
    },
    filter: {
      type: "string",
      multiple: true,
      valueHint: "KEY=VALUE",
      description:
        "only those that fit: id (a regular expression), status, sandbox, bundle, owner, exited, oom, annotation (KEY or KEY=VALUE)",
    },
    "all-roots": {
      type: "boolean",
      description: "those of podman, docker and containerd too: below all state directories that they use",
    },
  },
  examples: [
    "hako list",
    "hako list --format json",
    "hako list --filter status=stopped --format '{{.ID}} {{.ExitCode}}'",
    "hako list --all-roots",
  ],
  run({ args, data: { globals } }) {
    const wanted = args.filter.length === 0 ? undefined : rare.filters.filterOf(args.filter);
    const template = templateOf(args.format);
    const all = args["all-roots"] ? rare.knownRoots.listAllRoots(globals.root) : listContainers(globals.root);
    const containers = wanted === undefined ? all : all.filter(wanted);
    if (args.quiet) print(containers.map(({ id }) => `${id}\n`).join(""));
    else if (args.json || args.format === "json") print(`${JSON.stringify(containers)}\n`);
    else if (template === undefined) printContainers(containers, args["all-roots"], args["no-trunc"]);
    else {
      const rows = containers.map((each) => template.cells({ ...each, root: rootOf(each) ?? globals.root }));
      if (template.header === undefined) print(rows.map(([line]) => `${line}\n`).join(""));
      else printTable(template.header, rows);
    }
  },
});

function templateOf(format: string) {
  if (format === "table" || format === "json") return undefined;
  if (!format.includes("{{"))
    throw HakoError.usage(
      `--format: ${JSON.stringify(format)} is not one of table, json, or a template with {{.ID}}`,
    );
  return rare.template.parseTemplate(format, FIELDS);
}

function printContainers(containers: readonly Listed[], roots: boolean, whole: boolean): void {
  const header = ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER", "EXIT", ...(roots ? ["ROOT"] : [])];
  const rows = containers.map((each) => [
    ...[each.id, String(each.pid), each.status, each.bundle, each.created, each.owner],
    each.exitCode === undefined ? "-" : rare.ended.endText(each as Parameters<typeof rare.ended.endText>[0]),
    ...(roots ? [rootOf(each) ?? ""] : []),
  ]);
  if (whole) print(tableText(header, rows));
  else printTable(header, rows, { BUNDLE: "middle", ID: "end", CREATED: "end" });
}

/** The state directory that a container was found in, where several were looked through. */
function rootOf(listed: Listed): string | undefined {
  return "root" in listed ? String(listed.root) : undefined;
}
