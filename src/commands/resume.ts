import { defineCommand } from "../cli/command";
import { resumeContainer } from "../container/pause";
import { containerId } from "../oci/id";
import { CONTAINER } from "./flags/operands";

export default defineCommand({
  meta: { name: "resume", description: "let the processes of a paused container go on" },
  args: { container: CONTAINER },
  examples: ["hako resume web"],
  run({ values, globals }) {
    resumeContainer(globals.root, containerId(values.container));
    return 0;
  },
});
