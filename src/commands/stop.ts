import { HakoError } from "../base/errors";
import { defineCommand } from "../cli/command";
import { stopContainer } from "../container/stop";
import { signalNumber } from "../linux/process/signals";
import { print } from "../output/print";
import { LIVING_CONTAINER } from "./flags/common";
import { forContainers, MORE_CONTAINERS } from "./flags/for-containers";

export default defineCommand({
  meta: {
    description:
      "ask a container's program to end, and kill it when its time is over, as docker stop; the container stays, stopped",
  },
  args: {
    container: LIVING_CONTAINER,
    time: {
      type: "string",
      alias: ["t", "timeout"],
      valueHint: "SECONDS",
      description: "from the signal to KILL; -1 waits for ever",
      default: "10",
    },
    signal: {
      type: "string",
      alias: "s",
      valueHint: "SIGNAL",
      description: "in place of TERM, or of what the annotation org.opencontainers.image.stopSignal names",
    },
  },
  rest: MORE_CONTAINERS,
  examples: ["hako stop web", "hako stop --time 30 web db"],
  run({ args, rest, data: { globals } }) {
    const { root } = globals;
    const signal = args.signal === undefined ? undefined : signalNumber(args.signal);
    const patience = patienceOf(args.time);
    forContainers(root, [args.container, ...rest], false, (id) => {
      stopContainer({ root, id, signal, patience });
      print(`${id}\n`);
    });
  },
});

/** Milliseconds. */
function patienceOf(text: string): number {
  if (text === "-1") return Number.POSITIVE_INFINITY;
  if (/^\d{1,9}$/.test(text)) return Number(text) * 1000;
  const message = `--time: ${JSON.stringify(text)} is not a number of seconds, or -1`;
  throw HakoError.usage(message);
}
