import { parseDuration } from "../base/duration";
import { HakoError } from "../base/errors";
import { defineCommand } from "../cli/command";
import { type ContainerEvent, statsEvent, watchEvents } from "../container/events";
import { containerId } from "../oci/id";
import { exactJson } from "../oci/json";
import { print, UNREAD } from "../output/print";
import { LIVING_CONTAINER } from "./flags/common";
import { callersLifeline, WAITING_LIFELINE } from "./flags/lifeline";

export default defineCommand({
  args: {
    container: LIVING_CONTAINER,
    interval: {
      type: "string",
      valueHint: "TIME",
      description: "time between two lines of counters, as 5s or 500ms",
      default: "5s",
    },
    "die-with": WAITING_LIFELINE,
    stats: { type: "boolean", description: "print the counters once" },
  },
  examples: ["hako events --stats web", "hako events --interval 1s web"],
  run({ args, data: { globals } }) {
    const id = containerId(args.container);
    const tell = (event: ContainerEvent) => print(`${exactJson(event)}\n`);
    const interval = parseDuration(args.interval);
    if (interval === undefined || interval < 1) {
      throw HakoError.usage(`--interval: "${args.interval}" is not a time above 0, as 5s`);
    }
    using lifeline = callersLifeline(args["die-with"]);
    if (args.stats) tell(statsEvent(globals.root, id));
    else if (!watchEvents(globals.root, id, interval, tell, lifeline)) return UNREAD;
    return 0;
  },
});
