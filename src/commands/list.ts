import { defineCommand } from "../cli/command";
import { listContainers } from "../container/list";
import { print, printTable } from "../output/print";
import { FORMAT_FLAGS, wantsJson } from "./flags/common";

export default defineCommand({
  args: {
    ...FORMAT_FLAGS,
    quiet: { type: "boolean", alias: "q", description: "print ids only" },
  },
  examples: ["hako list", "hako list --format json"],
  run({ args, data: { globals } }) {
    const containers = listContainers(globals.root);
    if (args.quiet) print(containers.map(({ id }) => `${id}\n`).join(""));
    else if (wantsJson(args)) print(`${JSON.stringify(containers)}\n`);
    else {
      printTable(
        ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"],
        containers.map((each) => [
          each.id,
          String(each.pid),
          each.status,
          each.bundle,
          each.created,
          each.owner,
        ]),
      );
    }
  },
});
