import { HakoError } from "../base/errors";
import { defineCommand } from "../cli/command";
import { killContainer } from "../container/kill";
import { isSignal, signalNames, signalNumber } from "../linux/process/signals";
import { LIVING_CONTAINER } from "./flags/common";
import { forContainers, MORE_CONTAINERS, REGEX_FLAG } from "./flags/for-containers";

export default defineCommand({
  meta: {
    description:
      "send a signal to a container's first process; TERM and KILL of a pod's sandbox container go to the whole pod",
  },
  args: {
    container: LIVING_CONTAINER,
    signal: {
      type: "positional",
      required: false,
      description: "name or number of the signal; TERM if not given",
      completes: signalNames(),
    },
    s: {
      type: "string",
      alias: "signal",
      valueHint: "SIGNAL",
      // -9 and -KILL
      fromWord: (word) => (isSignal(word.slice(1)) ? word.slice(1) : undefined),
      description: "the signal, as -9 and -KILL: all operands are containers then",
    },
    all: { type: "boolean", alias: "a", description: "send it to all processes of the container" },
    regex: REGEX_FLAG,
  },
  rest: MORE_CONTAINERS,
  examples: ["hako kill web", "hako kill --all web KILL", "hako kill -9 web db"],
  run({ args, rest, data: { globals } }) {
    // runc's order: one container, and its signal
    if (args.s === undefined && rest[0] !== undefined)
      throw HakoError.usage(
        `unexpected operand ${JSON.stringify(rest[0])}`,
        "of several containers the signal comes first: hako kill -s SIGNAL CONTAINER...",
      );
    const more = args.s === undefined ? [] : [...(args.signal === undefined ? [] : [args.signal]), ...rest];
    const signal = signalNumber(args.s ?? args.signal ?? "TERM");
    const { root } = globals;
    forContainers(root, [args.container, ...more], args.regex, (id) =>
      killContainer({ root, id, signal, all: args.all }),
    );
  },
});
