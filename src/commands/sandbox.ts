import { secondsOf } from "../base/duration";
import { binarySize } from "../base/size";
import { defineCommand } from "../cli/command";
import type { showSandbox } from "../container/sandboxes";
import { sandboxId } from "../oci/id";
import { print, printJson } from "../output/print";
import { printTable } from "../output/table";
import { FORMAT_FLAGS, wantsJson } from "./flags/common";
import { filterFlag, formatTemplate, LISTING_FLAGS, printTemplate } from "./flags/listing";

/** What a template may name: what the table has. */
const FIELDS = ["id", "status", "containers", "running"] as const;

const list = defineCommand({
  meta: { description: "list sandboxes and how many containers are in each" },
  args: {
    ...LISTING_FLAGS,
    filter: filterFlag("id (a regular expression), status, container (the id of one that is in it)"),
  },
  examples: [
    "hako sandbox list",
    "hako sandbox list --filter status=running --format '{{.ID}} {{.Running}}'",
  ],
  async run({ args, data: { globals } }) {
    const { listSandboxes } = await import("../container/sandboxes");
    const { filterOf } = await import("../container/filters");
    const { SANDBOX_FILTERS } = await import("../container/sandbox-filters");
    const template = formatTemplate(args.format, FIELDS);
    const wanted = filterOf(args.filter, SANDBOX_FILTERS);
    const sandboxes = listSandboxes(globals.root).filter(wanted);
    if (args.quiet) print(sandboxes.map(({ id }) => `${id}\n`).join(""));
    else if (wantsJson(args)) printJson(sandboxes);
    else {
      const rows = sandboxes.map(({ id, status, containers }) => {
        const running = containers.filter((each) => each.status === "running").length;
        return { id, status, containers: containers.length, running };
      });
      if (template !== undefined) printTemplate(template, rows);
      else
        printTable(
          ["SANDBOX", "STATUS", "CONTAINERS", "RUNNING"],
          rows.map((row) => FIELDS.map((field) => String(row[field]))),
        );
    }
  },
});

const show = defineCommand({
  meta: { description: "print a sandbox's containers and what they use together" },
  args: {
    sandbox: { type: "positional", required: true, valueHint: "SANDBOX", description: "id of the sandbox" },
    ...FORMAT_FLAGS,
  },
  examples: ["hako sandbox show pod1", "hako sandbox show pod1 --format json"],
  async run({ args, data: { globals } }) {
    const { showSandbox } = await import("../container/sandboxes");
    const sandbox = showSandbox(globals.root, sandboxId(args.sandbox));
    if (wantsJson(args)) printJson(sandbox);
    else printSandbox(sandbox);
  },
});

function printSandbox({ containers, use }: ReturnType<typeof showSandbox>): void {
  printTable(
    ["CONTAINER", "TYPE", "STATUS", "PID", "CGROUP"],
    containers.map(({ id, type, status, pid, cgroup }) => [
      id,
      type ?? "-",
      status,
      String(pid),
      cgroup ?? "-",
    ]),
  );
  print("\n");
  printTable(
    ["RESOURCE", "USE"],
    [
      ["memory", binarySize(use.memory)],
      ["cpu time", secondsOf(use.cpu)],
      ["processes", String(use.processes)],
    ],
  );
}

export default defineCommand({ subCommands: { list, show } });
