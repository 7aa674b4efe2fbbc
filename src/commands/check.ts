import { defineCommand } from "../cli/command";
import { type CheckResult, checkHost, type Verdict } from "../host/check";
import { print, printJson } from "../output/print";
import { printParagraph, printTable } from "../output/table";
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

function namesOf(results: readonly CheckResult[], wanted: Verdict): string[] {
  return results.filter(({ verdict }) => verdict === wanted).map(({ name }) => name);
}

/** What all comes to, in a line. */
function verdictOf(results: readonly CheckResult[]): string {
  const missing = namesOf(results, "missing").join(", ");
  if (missing !== "") return `Containers can't run here: ${missing}.`;
  const absent = namesOf(results, "absent").join(", ");
  return `This host can run containers${absent === "" ? "" : `; what is absent: ${absent}`}.`;
}

export default defineCommand({
  args: { ...FORMAT_FLAGS },
  examples: ["hako check", "hako check --format json"],
  run({ args }) {
    const results = checkHost();
    if (wantsJson(args)) printJson(results);
    else {
      printTable(["CHECK", "VERDICT", "FOUND (WHAT TO DO)"], rows(results));
      print("\n");
      printParagraph(verdictOf(results));
    }
    return namesOf(results, "missing").length === 0 ? 0 : 1;
  },
});
