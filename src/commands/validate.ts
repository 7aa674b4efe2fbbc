import { defineCommand } from "../command";
import { idProblems } from "../container/validate";
import { toStandardError } from "../log";
import { bundleProblems } from "../oci/validate";
import { BUNDLE } from "./shared-operands";

export default defineCommand({
  meta: { name: "validate", description: "check an id and a bundle as create would, and tell every problem" },
  args: {
    container: {
      type: "positional",
      required: false,
      valueHint: "CONTAINER",
      description: "id that a container would get",
    },
    bundle: BUNDLE,
  },
  examples: ["hako validate --bundle /bundles/web web"],
  run({ values, globals }) {
    const ids = values.container === undefined ? [] : idProblems(globals.root, values.container);
    const problems = [...ids, ...bundleProblems(values.bundle, globals.cgroupManager)];
    toStandardError(problems.map((line) => `${line}\n`).join(""));
    return problems.length === 0 ? 0 : 1;
  },
});
