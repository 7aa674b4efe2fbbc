import { defineCommand } from "../cli/command";
import { statusOf } from "../container/status";
import { containerId } from "../oci/id";
import { printJson } from "../output/print";
import { readContainer, stateOf } from "../state/record";
import { CONTAINER } from "./flags/common";

export default defineCommand({
  args: { container: CONTAINER },
  examples: ["hako state web"],
  run({ args, data: { globals } }) {
    const container = readContainer(globals.root, containerId(args.container));
    const { record } = container;
    const { rootfs, created } = record;
    printJson({ ...stateOf(record, statusOf(container)), rootfs, created });
  },
});
