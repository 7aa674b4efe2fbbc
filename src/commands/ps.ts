import { defineCommand } from "../cli/command";
import { containerPids, containerTable } from "../container/ps";
import { containerId } from "../oci/id";
import { print } from "../output/print";
import { FORMAT_FLAGS, LIVING_CONTAINER, wantsJson } from "./flags/common";

export default defineCommand({
  args: { container: LIVING_CONTAINER, ...FORMAT_FLAGS },
  rest: "[PS OPTIONS]",
  stopAtOperand: true,
  examples: ["hako ps web", "hako ps web -o pid,ppid,args", "hako ps --format json web"],
  run({ args, rest, data: { globals } }) {
    const id = containerId(args.container);
    // in one line, as runc: some callers read a line
    if (wantsJson(args)) print(`${JSON.stringify(containerPids(globals.root, id))}\n`);
    else print(containerTable(globals.root, id, rest));
  },
});
