import { defineCommand } from "../cli/command";
import { pauseContainer } from "../container/pause";
import { containerId } from "../oci/id";
import { CONTAINER } from "./flags/operands";

export default defineCommand({
  meta: { name: "pause", description: "stop all processes of a container where they are" },
  args: { container: CONTAINER },
  examples: ["hako pause web"],
  run({ values, globals }) {
    pauseContainer(globals.root, containerId(values.container));
    return 0;
  },
});
