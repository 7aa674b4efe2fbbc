import { HakoError } from "../base/errors";
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
    tail: {
      type: "string",
      keepsEmpty: true,
      alias: "n",
      valueHint: "N|all",
      description: "of what is there the last N lines only",
      default: "all",
    },
  },
  examples: ["hako logs job", "hako logs --follow --tail 20 job"],
  run({ args, data: { globals } }) {
    const part = { follow: args.follow, lines: args.tail === "all" ? undefined : linesOf(args.tail) };
    const all = tellOutput(globals.root, containerId(args.container), part, printBytes);
    if (!all) return UNREAD;
  },
});

function linesOf(text: string): number {
  if (/^\d{1,15}$/.test(text)) return Number(text);
  throw HakoError.usage(`--tail: ${JSON.stringify(text)} is not a number of lines`, "0 or more, or all");
}
