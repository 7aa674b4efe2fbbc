import { HakoError } from "../base/errors";
import { defineCommand } from "../cli/command";
import { findCriu } from "../container/criu/criu";
import { features } from "../host/features";
import { printJson } from "../output/print";

export default defineCommand({
  args: {},
  examples: ["hako features"],
  run({ data: { globals } }) {
    printJson(features(hasCriu(globals.criu)));
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
