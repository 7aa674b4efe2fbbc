import { defineCommand } from "../command";
import { checkHost } from "../host/check";
import { printJson, printTable } from "../output";
import { FORMAT_FLAGS, wantsJson } from "./shared-operands";

export default defineCommand({
  meta: {
    name: "check",
    description: "can this host run containers? exit status 1 if something needed is missing",
  },
  args: { ...FORMAT_FLAGS },
  examples: ["hako check", "hako check --format json"],
  run({ values }) {
    const findings = checkHost();
    if (wantsJson(values)) printJson(findings);
    else {
      printTable(
        ["CHECK", "VERDICT", "FOUND", "WHAT TO DO"],
        findings.map(({ name, verdict, found, advice }) => [name, verdict, found, advice]),
      );
    }
    return findings.some(({ verdict }) => verdict === "missing") ? 1 : 0;
  },
});
