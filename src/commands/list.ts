import { defineCommand } from "../cli/command";
import type { ListedInRoot } from "../container/known-roots";
import { type Listed, listContainers } from "../container/list";
import { print } from "../output/print";
import { toStandardError } from "../output/standard-error";
import { printTable, tableText, terminalWidth } from "../output/table";
import { filterFlag, formatTemplate, LISTING_FLAGS, orderBy, printTemplate } from "./flags/listing";

/** Loaded on first use. */
const rare = {
  get ended() {
    return require("../container/ended") as typeof import("../container/ended");
  },
  get filters() {
    return require("../container/filters") as typeof import("../container/filters");
  },
  get containerFilters() {
    return require("../container/list-filters") as typeof import("../container/list-filters");
  },
  get knownRoots() {
    return require("../container/known-roots") as typeof import("../container/known-roots");
  },
};

/** What a template may name of `Listed`. */
const FIELDS: readonly (keyof ListedInRoot)[] = [
  ...(["id", "pid", "status", "bundle", "rootfs", "created", "owner", "sandbox", "annotations"] as const),
  ...(["exitCode", "signal", "oomKilled", "finished", "ociVersion", "root"] as const),
];

/** What --sort may name: annotations have no order. */
const SORTED = FIELDS.filter((field) => field !== "annotations");

export default defineCommand({
  args: {
    ...LISTING_FLAGS,
    "no-trunc": {
      type: "boolean",
      description: "cut no id and path where the terminal is too narrow for a line",
    },
    filter: filterFlag(
      "id (a regular expression), status, sandbox, bundle, owner, exited, oom, annotation (KEY or KEY=VALUE)",
    ),
    sort: {
      type: "string",
      valueHint: "FIELD",
      description: "order by a field of --json, as created or exitCode, in place of ids",
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
    "hako list --all-roots --sort created",
  ],
  run({ args, data: { globals } }) {
    const wanted =
      args.filter.length === 0
        ? undefined
        : rare.filters.filterOf(args.filter, rare.containerFilters.CONTAINER_FILTERS);
    const template = formatTemplate(args.format, FIELDS);
    const order = args.sort === undefined ? undefined : orderBy(args.sort, SORTED);
    const all = args["all-roots"] ? rare.knownRoots.listAllRoots(globals.root) : listContainers(globals.root);
    const chosen = wanted === undefined ? all : all.filter(wanted);
    const rooted = ({ root, ...each }: Listed & { root?: string }) => ({
      ...each,
      root: root ?? globals.root,
    });
    const containers = order === undefined ? chosen : chosen.sort((a, b) => order(rooted(a), rooted(b)));
    if (args.quiet) print(containers.map(({ id }) => `${id}\n`).join(""));
    else if (args.json || args.format === "json") print(`${JSON.stringify(containers)}\n`);
    else if (template === undefined) {
      printContainers(containers, args["all-roots"], args["no-trunc"]);
      if (all.length === 0 && !args["all-roots"]) tellOthers(globals.root);
    } else printTemplate(template, containers.map(rooted));
  },
});

/** To somebody at a terminal who sees no containers: that there are some elsewhere. */
function tellOthers(root: string): void {
  if (terminalWidth(1) === undefined) return;
  const others = rare.knownRoots.listAllRoots(root).length;
  if (others > 0) toStandardError(`${others} in other state directories: hako list --all-roots\n`);
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
