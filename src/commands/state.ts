import { defineCommand } from "../cli/command";
import { statusOf } from "../container/status";
import { containerId } from "../oci/id";
import { printJson } from "../output/print";
import { readContainer, stateOf } from "../state/record";
import { CONTAINER } from "./flags/operands";

export default defineCommand({
  meta: { name: "state", description: "print what a container does, as JSON" },
  args: { container: CONTAINER },
  examples: ["hako state web"],
  run({ values, globals }) {
    const container = readContainer(globals.root, containerId(values.container));
    const { record } = container;
    const { rootfs, created } = record;
    printJson({ ...stateOf(record, statusOf(container)), rootfs, created });
    return 0;
  },
});
