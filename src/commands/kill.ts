import { HakoError } from "../base/errors";
import { defineCommand } from "../cli/command";
import { killContainer } from "../container/kill";
import { isSignal, signalNames, signalNumber } from "../linux/process/signals";
import { containerId, whyNoId } from "../oci/id";
import { hasDirectory } from "../state/root";
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
      insteadOf: "s",
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
    const { root } = globals;
    // runc's order: one container, and its signal
    const unexpected = rest[0] ?? (isContainer(root, args.signal) ? args.signal : undefined);
    if (args.s === undefined && unexpected !== undefined)
      throw HakoError.usage(
        `unexpected operand ${JSON.stringify(unexpected)}`,
        "of several containers the signal comes first: hako kill -s SIGNAL CONTAINER...",
      );
    const more = args.s === undefined ? [] : [...(args.signal === undefined ? [] : [args.signal]), ...rest];
    const signal = signalNumber(args.s ?? args.signal ?? "TERM");
    forContainers(root, [args.container, ...more], args.regex, (id) =>
      killContainer({ root, id, signal, all: args.all }),
    );
  },
});

/** Whether a word in the signal's place is no signal but the id of a container that is there. */
function isContainer(root: string, word: string | undefined): boolean {
  if (word === undefined || isSignal(word) || whyNoId(word) !== undefined) return false;
  return hasDirectory(root, containerId(word));
}
