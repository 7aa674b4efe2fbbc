import { defineCommand } from "../cli/command";
import { manualPage } from "../cli/man";
import { GLOBAL_FLAGS } from "../cli/run";
import { allCommands } from "../cli/tables";
import { print } from "../output/print";

export default defineCommand({
  meta: { name: "man", description: "print the manual page, hako(1)" },
  args: {},
  examples: ["hako man | man -l -", "hako man > /usr/local/share/man/man1/hako.1"],
  async run() {
    const { groups, commands } = await allCommands();
    print(manualPage(GLOBAL_FLAGS, groups, commands));
    return 0;
  },
});
