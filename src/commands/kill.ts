import { defineCommand } from "../command";
import { containerId } from "../container/id";
import { killContainer } from "../container/kill";
import { signalNumber } from "../linux/signals";
import { logWarning } from "../log";
import { CONTAINER } from "./shared-operands";

export default defineCommand({
  meta: {
    name: "kill",
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
    },
    all: { type: "boolean", alias: "a", description: "send it to all processes of the container" },
  },
  examples: ["hako kill web", "hako kill --all web KILL"],
  run({ values, globals }) {
    const signal = signalNumber(values.signal);
    const id = containerId(values.container);
    killContainer({ root: globals.root, id, signal, all: values.all, warn: logWarning });
    return 0;
  },
});
