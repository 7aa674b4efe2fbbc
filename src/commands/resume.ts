import { defineCommand } from "../cli/command";
import { resumeContainer } from "../container/pause";
import { containerId } from "../oci/id";
import { CONTAINER } from "./flags/operands";

export default defineCommand({
  args: { container: CONTAINER },
  examples: ["hako resume web"],
  run({ args, data: { globals } }) {
    resumeContainer(globals.root, containerId(args.container));
  },
});
