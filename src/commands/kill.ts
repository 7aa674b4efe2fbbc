import { defineCommand } from "../cli/command";
import { killContainer } from "../container/kill";
import { signalNames, signalNumber } from "../linux/process/signals";
import { CONTAINER } from "./flags/common";
import { forContainers, REGEX_FLAG } from "./flags/for-containers";

export default defineCommand({
  meta: {
    description:
      "send a signal to a container's first process; TERM and KILL of a pod's sandbox container go to the whole pod",
  },
  args: {
    container: CONTAINER,
    signal: {
      type: "positional",
      required: false,
      default: "SIGTERM",
      description: "name or number of the signal",
      completes: signalNames(),
    },
    all: { type: "boolean", alias: "a", description: "send it to all processes of the container" },
    regex: REGEX_FLAG,
  },
  examples: ["hako kill web", "hako kill --all web KILL"],
  run({ args, data: { globals } }) {
    const signal = signalNumber(args.signal);
    const { root } = globals;
    forContainers(root, [args.container], args.regex, (id) =>
      killContainer({ root, id, signal, all: args.all }),
    );
  },
});
