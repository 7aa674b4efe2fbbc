import { defineCommand } from "../cli/command";
import { statusOf } from "../container/status";
import { driverOf } from "../drivers";
import { containerId } from "../oci/id";
import { printJson } from "../output/print";
import { readContainer, stateOf } from "../state/record";
import { CONTAINER } from "./flags/common";

/** Loaded on first use. */
const rare = {
  /** Loaded for a container that has stopped. */
  get ended() {
    return require("../container/ended") as typeof import("../container/ended");
  },
};

export default defineCommand({
  args: { container: CONTAINER },
  examples: ["hako state web"],
  run({ args, data: { globals } }) {
    const container = readContainer(globals.root, containerId(args.container));
    const { record } = container;
    const { rootfs, created } = record;
    const status = statusOf(container);
    const ended = status === "stopped" ? rare.ended.howItEnded(container) : {};
    const isolation = driverOf(record).isolation(container);
    printJson({ ...stateOf(record, status), rootfs, created, ...isolation, ...ended });
  },
});
