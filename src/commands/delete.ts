import { defineCommand } from "../cli/command";
import { deleteContainer } from "../container/delete";
import { CONTAINER } from "./flags/common";
import { forContainers, MORE_CONTAINERS, REGEX_FLAG } from "./flags/for-containers";

export default defineCommand({
  meta: {
    description:
      "remove a stopped container and all that belongs to it; with a pod's sandbox container, the pod",
  },
  args: {
    container: CONTAINER,
    force: {
      type: "boolean",
      alias: "f",
      description: "kill it if it runs; what doesn't exist is no error, what is broken is removed",
    },
    regex: REGEX_FLAG,
  },
  rest: MORE_CONTAINERS,
  examples: ["hako delete web", "hako delete --force web db"],
  run({ args, rest, data: { globals } }) {
    const { root } = globals;
    forContainers(root, [args.container, ...rest], args.regex, (id) =>
      deleteContainer({ root, id, force: args.force }),
    );
  },
});
