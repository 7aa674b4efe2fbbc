import { defineCommand } from "../cli/command";
import { tellOutput } from "../container/logs";
import { containerId } from "../oci/id";
import { printBytes, UNREAD } from "../output/print";
import { CONTAINER } from "./flags/common";

export default defineCommand({
  meta: {
    description:
      "print what a container's program has written to the file of hako run --detach --output FILE",
  },
  args: {
    container: CONTAINER,
    follow: {
      type: "boolean",
      alias: "f",
      description: "go on with what it writes, until the container has ended",
    },
  },
  examples: ["hako logs job", "hako logs --follow job"],
  run({ args, data: { globals } }) {
    const all = tellOutput(globals.root, containerId(args.container), args.follow, printBytes);
    if (!all) return UNREAD;
  },
});
