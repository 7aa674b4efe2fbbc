import { defineCommand } from "../command";
import { containerId } from "../container/id";
import { containerPids, processTable } from "../container/ps";
import { print, printJson } from "../output";
import { CONTAINER, FORMAT } from "./shared-operands";

export default defineCommand({
  meta: { name: "ps", description: "the processes of a container" },
  args: { container: CONTAINER, format: FORMAT },
  rest: "[PS OPTIONS]",
  stopAtOperand: true,
  examples: ["hako ps web", "hako ps web -o pid,ppid,args", "hako ps --format json web"],
  run({ values, rest, globals }) {
    const pids = containerPids(globals.root, containerId(values.container));
    if (values.format === "json") printJson(pids);
    else print(processTable(pids, rest));
    return 0;
  },
});
