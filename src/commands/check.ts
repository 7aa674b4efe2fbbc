import { defineCommand } from "../cli/command";
import { type CheckResult, checkHost } from "../host/check";
import { print, printJson, printTable } from "../output/print";
import { FORMAT_FLAGS, wantsJson } from "./flags/common";

/** Rows of the table. Advice is long, so it stands in the last column, and once where several rows have the same. */
function rows(results: readonly CheckResult[]): string[][] {
  const given = new Set([""]);
  return results.map(({ name, verdict, found, advice }) => {
    const todo = advice === "" ? "" : given.has(advice) ? " (as above)" : ` (${advice})`;
    given.add(advice);
    return [name, verdict, `${found}${todo}`];
  });
}

export default defineCommand({
  args: { ...FORMAT_FLAGS },
  examples: ["hako check", "hako check --format json"],
  run({ args }) {
    const results = checkHost();
    const missing = results.filter(({ verdict }) => verdict === "missing").map(({ name }) => name);
    if (wantsJson(args)) printJson(results);
    else {
      printTable(["CHECK", "VERDICT", "FOUND (WHAT TO DO)"], rows(results));
      print(
        missing.length === 0
          ? "\nThis host can run containers.\n"
          : `\nContainers can't run here: ${missing.join(", ")}.\n`,
      );
    }
    return missing.length === 0 ? 0 : 1;
  },
});
