import { defineCommand } from "../command";
import { containerId } from "../container/id";
import { pauseContainer } from "../container/pause";
import { CONTAINER } from "./shared-operands";

export default defineCommand({
  meta: { name: "pause", description: "stop all processes of a container where they are" },
  args: { container: CONTAINER },
  examples: ["hako pause web"],
  run({ values, globals }) {
    pauseContainer(globals.root, containerId(values.container));
    return 0;
  },
});
