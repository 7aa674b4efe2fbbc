import { HakoError } from "../base/errors";
import { defineCommand } from "../cli/command";
import { findCriu } from "../container/criu/criu";
import { features } from "../host/features";
import { printJson } from "../output/print";

export default defineCommand({
  meta: { name: "features", description: "what this executable can do, as JSON" },
  args: {},
  examples: ["hako features"],
  run({ globals }) {
    printJson(features(hasCriu(globals.criu)));
    return 0;
  },
});

function hasCriu(program: string): boolean {
  try {
    findCriu(program);
    return true;
  } catch (error) {
    if (error instanceof HakoError) return false;
    throw error;
  }
}
