import { defineCommand } from "../cli/command";
import { pauseContainer } from "../container/pause";
import { containerId } from "../oci/id";
import { CONTAINER } from "./flags/common";

export default defineCommand({
  args: { container: { ...CONTAINER, states: ["created", "running"] } },
  examples: ["hako pause web"],
  run({ args, data: { globals } }) {
    pauseContainer(globals.root, containerId(args.container));
  },
});
