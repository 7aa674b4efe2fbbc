import { defineCommand } from "../cli/command";
import { resumeContainer } from "../container/pause";
import { containerId } from "../oci/id";
import { CONTAINER } from "./flags/common";

export default defineCommand({
  args: { container: { ...CONTAINER, states: ["paused"] } },
  examples: ["hako resume web"],
  run({ args, data: { globals } }) {
    resumeContainer(globals.root, containerId(args.container));
  },
});
