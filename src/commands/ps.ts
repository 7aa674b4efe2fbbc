import { defineCommand } from "../cli/command";
import { containerPids, processTable } from "../container/ps";
import { containerId } from "../oci/id";
import { print } from "../output/print";
import { CONTAINER, FORMAT_FLAGS, wantsJson } from "./flags/operands";

export default defineCommand({
  meta: { name: "ps", description: "the processes of a container" },
  args: { container: CONTAINER, ...FORMAT_FLAGS },
  rest: "[PS OPTIONS]",
  stopAtOperand: true,
  examples: ["hako ps web", "hako ps web -o pid,ppid,args", "hako ps --format json web"],
  run({ values, rest, globals }) {
    const pids = containerPids(globals.root, containerId(values.container));
    // in one line, as runc: some callers read a line
    if (wantsJson(values)) print(`${JSON.stringify(pids)}\n`);
    else print(processTable(pids, rest));
    return 0;
  },
});
