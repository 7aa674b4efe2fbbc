import { defineCommand } from "../cli/command";
import { containerPids, processTable } from "../container/ps";
import { containerId } from "../oci/id";
import { print } from "../output/print";
import { FORMAT_FLAGS, LIVING_CONTAINER, wantsJson } from "./flags/common";

export default defineCommand({
  args: { container: LIVING_CONTAINER, ...FORMAT_FLAGS },
  rest: "[PS OPTIONS]",
  stopAtOperand: true,
  examples: ["hako ps web", "hako ps web -o pid,ppid,args", "hako ps --format json web"],
  run({ args, rest, data: { globals } }) {
    const pids = containerPids(globals.root, containerId(args.container));
    // in one line, as runc: some callers read a line
    if (wantsJson(args)) print(`${JSON.stringify(pids)}\n`);
    else print(processTable(pids, rest));
  },
});
