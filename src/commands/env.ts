import { defineCommand } from "../cli/command";
import { environment } from "../host/environment";
import { printJson, printTable } from "../output/print";
import { FORMAT_FLAGS, wantsJson } from "./flags/operands";

export default defineCommand({
  meta: { name: "env", description: "the runtime, the host, its kernel and paths" },
  args: { ...FORMAT_FLAGS },
  examples: ["hako env", "hako env --json"],
  run({ values, globals }) {
    const sections = environment(globals.root);
    if (wantsJson(values)) printJson(sections);
    else {
      const rows = Object.entries(sections).flatMap(([section, entries]) =>
        Object.entries(entries).map(([name, value]) => [`${section}.${name}`, String(value)]),
      );
      printTable(["NAME", "VALUE"], rows);
    }
    return 0;
  },
});
