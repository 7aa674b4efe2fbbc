import { defineCommand } from "../cli/command";
import { callerNotifySocket } from "../container/io/inherited-descriptors";
import { startAndNotify } from "../container/start";
import { containerId } from "../oci/id";
import { CONTAINER } from "./flags/common";

export default defineCommand({
  args: { container: { ...CONTAINER, states: ["created"] } },
  // as with runc, also for a program that can't be executed
  failure: () => 1,
  examples: ["hako start web"],
  run({ args, data: { globals } }) {
    const id = containerId(args.container);
    startAndNotify({ root: globals.root, id, notifySocket: callerNotifySocket() });
  },
});
