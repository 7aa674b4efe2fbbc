import { defineCommand } from "../cli/command";
import type { Ended } from "../container/ended";
import { waitForContainers } from "../container/wait";
import { containerId } from "../oci/id";
import { print, printJson, UNREAD } from "../output/print";
import { CONTAINER } from "./flags/common";
import { MORE_CONTAINERS } from "./flags/for-containers";
import { callersLifeline, WAITING_LIFELINE } from "./flags/lifeline";

export default defineCommand({
  meta: {
    description:
      "wait until containers have ended, and print each one's exit status (128 + N when signal N ended it), or unknown",
  },
  args: {
    container: CONTAINER,
    "die-with": WAITING_LIFELINE,
    json: { type: "boolean", description: "print an array with signal, time of end and lack of memory too" },
  },
  rest: MORE_CONTAINERS,
  examples: ["hako wait web", "hako wait --json web db"],
  run({ args, rest, data: { globals } }) {
    const ids = [args.container, ...rest].map(containerId);
    const all: ({ id: string } & Ended)[] = [];
    using lifeline = callersLifeline(args["die-with"]);
    const tell = (id: string, ended: Ended) => {
      if (args.json) all.push({ id, ...ended });
      else print(`${ended.exitCode ?? "unknown"}\n`);
    };
    if (!waitForContainers(globals.root, ids, tell, lifeline)) return UNREAD;
    if (args.json) printJson(all);
    return 0;
  },
});
