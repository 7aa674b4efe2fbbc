import { defineCommand } from "../command";
import { deleteContainer } from "../container/delete";
import { containerId } from "../container/id";
import { callerOpenFiles } from "../linux/rlimit";
import { logWarning } from "../log";
import { CONTAINER } from "./shared-operands";

export default defineCommand({
  meta: {
    name: "delete",
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
  },
  examples: ["hako delete web", "hako delete --force web"],
  run({ values, globals }) {
    const id = containerId(values.container);
    const openFiles = callerOpenFiles();
    deleteContainer({ root: globals.root, id, force: values.force, openFiles, warn: logWarning });
    return 0;
  },
});
