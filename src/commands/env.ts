import { defineCommand } from "../command";
import { environment } from "../host/environment";
import { printJson, printTable } from "../output";
import { FORMAT } from "./shared-operands";

export default defineCommand({
  meta: { name: "env", description: "the runtime, the host, its kernel and paths" },
  args: { format: FORMAT, json: { type: "boolean", description: "the same as --format json" } },
  examples: ["hako env", "hako env --json"],
  run({ values, globals }) {
    const sections = environment(globals.root);
    if (values.json || values.format === "json") printJson(sections);
    else {
      const rows = Object.entries(sections).flatMap(([section, entries]) =>
        Object.entries(entries).map(([name, value]) => [`${section}.${name}`, String(value)]),
      );
      printTable(["NAME", "VALUE"], rows);
    }
    return 0;
  },
});
