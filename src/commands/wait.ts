import { defineCommand } from "../cli/command";
import type { Ended } from "../container/ended";
import { waitForContainers } from "../container/wait";
import { containerId } from "../oci/id";
import { print, printJson } from "../output/print";
import { CONTAINER } from "./flags/common";
import { MORE_CONTAINERS } from "./flags/for-containers";

export default defineCommand({
  meta: {
    description:
      "wait until containers have ended, and print each one's exit status (128 + N when signal N ended it), or unknown",
  },
  args: {
    container: CONTAINER,
    json: { type: "boolean", description: "print an array with signal, time of end and lack of memory too" },
  },
  rest: MORE_CONTAINERS,
  examples: ["hako wait web", "hako wait --json web db"],
  run({ args, rest, data: { globals } }) {
    const ids = [args.container, ...rest].map(containerId);
    const all: ({ id: string } & Ended)[] = [];
    waitForContainers(globals.root, ids, (id, ended) => {
      if (args.json) all.push({ id, ...ended });
      else print(`${ended.exitCode ?? "unknown"}\n`);
    });
    if (args.json) printJson(all);
  },
});
