import { defineCommand } from "../cli/command";
import { manualPage } from "../cli/man";
import { print } from "../output/print";

export default defineCommand({
  args: {},
  examples: ["hako man | man -l -", "hako man > /usr/local/share/man/man1/hako.1"],
  async run({ data }) {
    print(await manualPage(data.program));
  },
});
