import { defineCommand } from "../command";
import { containerId } from "../container/id";
import { readRecord, stateOf, statusOf } from "../container/record";
import { printJson } from "../output";
import { CONTAINER } from "./shared-operands";

export default defineCommand({
  meta: { name: "state", description: "print what a container does, as JSON" },
  args: { container: CONTAINER },
  examples: ["hako state web"],
  run({ values, globals }) {
    const record = readRecord(globals.root, containerId(values.container));
    const { rootfs, created } = record;
    printJson({ ...stateOf(record, statusOf(globals.root, record)), rootfs, created });
    return 0;
  },
});
