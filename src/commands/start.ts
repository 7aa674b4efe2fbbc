import { defineCommand } from "../cli/command";
import { notifySocket } from "../container/io/caller";
import { startAndNotify } from "../container/start";
import { callerOpenFiles } from "../linux/process/rlimit";
import { containerId } from "../oci/id";
import { CONTAINER } from "./flags/operands";

export default defineCommand({
  meta: { name: "start", description: "run the program of a created container" },
  args: { container: CONTAINER },
  // as with runc, also for a program that can't be executed
  failure: 1,
  examples: ["hako start web"],
  run({ values, globals }) {
    const id = containerId(values.container);
    startAndNotify({ root: globals.root, id, openFiles: callerOpenFiles(), notifySocket: notifySocket() });
    return 0;
  },
});
