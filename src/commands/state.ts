import { defineCommand } from "../cli/command";
import { containerId } from "../oci/id";
import { printJson } from "../output/print";
import { readRecord, stateOf, statusOf } from "../state/record";
import { CONTAINER } from "./flags/operands";

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
