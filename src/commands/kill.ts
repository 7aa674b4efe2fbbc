import { defineCommand } from "../command";
import { containerId } from "../container/id";
import { killContainer } from "../container/kill";
import { signalNumber } from "../linux/signals";
import { CONTAINER } from "./shared-operands";

export default defineCommand({
  meta: { name: "kill", description: "send a signal to a container's first process" },
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
    killContainer(globals.root, containerId(values.container), signal, values.all);
    return 0;
  },
});
