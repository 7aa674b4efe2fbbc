import { defineCommand } from "../command";
import { idProblems } from "../container/validate";
import { toStandardError } from "../log";
import { bundleFindings } from "../oci/validate";
import { BUNDLE } from "./shared-operands";

export default defineCommand({
  meta: {
    name: "validate",
    description: "check an id and a bundle as create would, tell every problem and unknown field",
  },
  args: {
    container: {
      type: "positional",
      required: false,
      keepsEmpty: true,
      valueHint: "CONTAINER",
      description: "id that a container would get",
    },
    bundle: { ...BUNDLE, keepsEmpty: true },
  },
  examples: ["hako validate --bundle /bundles/web web"],
  run({ values, globals }) {
    const ids = values.container === undefined ? [] : idProblems(globals.root, values.container);
    const bundle = bundleFindings(values.bundle, globals.cgroupManager);
    const problems = [...ids, ...bundle.problems];
    const warnings = bundle.warnings.map((line) => `warning: ${line}`);
    toStandardError([...problems, ...warnings].map((line) => `${line}\n`).join(""));
    return problems.length === 0 ? 0 : 1;
  },
});
