import { defineCommand } from "../cli/command";
import { environment } from "../host/environment";
import { printJson } from "../output/print";
import { printTable } from "../output/table";
import { FORMAT_FLAGS, wantsJson } from "./flags/common";

export default defineCommand({
  args: { ...FORMAT_FLAGS },
  examples: ["hako env", "hako env --json"],
  run({ args, data: { globals } }) {
    const sections = environment(globals.root);
    if (wantsJson(args)) printJson(sections);
    else {
      const rows = Object.entries(sections).flatMap(([section, entries]) =>
        Object.entries(entries).map(([name, value]) => [`${section}.${name}`, String(value)]),
      );
      printTable(["NAME", "VALUE"], rows);
    }
  },
});
