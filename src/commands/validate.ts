import { printable } from "../base/printable";
import { defineCommand } from "../cli/command";
import { bundleFindings, type Finding, idFindings } from "../container/validate/validate";
import { problemLine } from "../oci/config";
import { printJson } from "../output/print";
import { toStandardError } from "../output/standard-error";
import { BUNDLE } from "./flags/common";

export default defineCommand({
  meta: {
    description:
      "check an id and a bundle as create would on this host, without making anything: every problem and unknown name",
  },
  args: {
    container: {
      type: "positional",
      required: false,
      keepsEmpty: true,
      valueHint: "CONTAINER",
      description: "id that a container would get",
      completes: [],
    },
    bundle: { ...BUNDLE, keepsEmpty: true },
    json: {
      type: "boolean",
      description:
        "an array of {pointer, message, severity} on standard output; severity is error or warning",
    },
  },
  examples: ["hako validate --bundle /bundles/web web", "hako validate --json --bundle /bundles/web"],
  run({ args, data: { globals } }) {
    const ids = args.container === undefined ? [] : idFindings(globals.root, args.container);
    const { file, findings } = bundleFindings(args.bundle, globals.cgroupManager);
    if (args.json) printJson([...ids, ...findings]);
    else
      toStandardError(
        [...ids.map((each) => line(each)), ...findings.map((each) => line(each, file))].join(""),
      );
    return [...ids, ...findings].some(({ severity }) => severity === "error") ? 1 : 0;
  },
});

/** A line for people. A finding that is about no field of config.json, but an id say, names that itself. */
function line(finding: Finding, file?: string): string {
  const text = file === undefined ? finding.message : `${file}: ${problemLine(finding)}`;
  return `${finding.severity === "warning" ? "warning: " : ""}${printable(text)}\n`;
}
