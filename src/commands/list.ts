import { defineCommand } from "../cli/command";
import { listContainers } from "../container/list";
import { print } from "../output/print";
import { printTable, tableText } from "../output/table";
import { FORMAT_FLAGS, wantsJson } from "./flags/common";

export default defineCommand({
  args: {
    ...FORMAT_FLAGS,
    quiet: { type: "boolean", alias: "q", description: "print ids only" },
    "no-trunc": {
      type: "boolean",
      description: "cut no id and path where the terminal is too narrow for a line",
    },
  },
  examples: ["hako list", "hako list --format json"],
  run({ args, data: { globals } }) {
    const containers = listContainers(globals.root);
    if (args.quiet) print(containers.map(({ id }) => `${id}\n`).join(""));
    else if (wantsJson(args)) print(`${JSON.stringify(containers)}\n`);
    else {
      const header = ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"];
      const rows = containers.map((each) => [
        each.id,
        String(each.pid),
        each.status,
        each.bundle,
        each.created,
        each.owner,
      ]);
      if (args["no-trunc"]) print(tableText(header, rows));
      else printTable(header, rows, { BUNDLE: "middle", ID: "end", CREATED: "end" });
    }
  },
});
