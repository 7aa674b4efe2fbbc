import { defineCommand } from "../command";
import { features } from "../oci/features";
import { printJson } from "../output";

export default defineCommand({
  meta: { name: "features", description: "what this executable can do, as JSON" },
  args: {},
  examples: ["hako features"],
  run() {
    printJson(features());
    return 0;
  },
});
