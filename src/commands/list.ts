import { defineCommand } from "../cli/command";
import { listContainers } from "../container/list";
import { print, printTable } from "../output/print";
import { FORMAT_FLAGS, wantsJson } from "./flags/operands";

export default defineCommand({
  meta: { name: "list", description: "list the containers below --root" },
  args: {
    ...FORMAT_FLAGS,
    quiet: { type: "boolean", alias: "q", description: "print ids only" },
  },
  examples: ["hako list", "hako list --format json"],
  run({ values, globals }) {
    const containers = listContainers(globals.root);
    if (values.quiet) print(containers.map(({ id }) => `${id}\n`).join(""));
    else if (wantsJson(values)) print(`${JSON.stringify(containers)}\n`);
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
    return 0;
  },
});
