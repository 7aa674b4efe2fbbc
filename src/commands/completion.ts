import { HakoError } from "../base/errors";
import { defineCommand } from "../cli/command";
import { completionScript, SHELLS, type Shell } from "../cli/completion";
import { GLOBAL_FLAGS } from "../cli/run";
import { allCommands } from "../cli/tables";
import { print } from "../output/print";

export default defineCommand({
  meta: { name: "completion", description: "print a completion script for a shell" },
  args: { shell: { type: "positional", required: true, description: SHELLS.join(", "), completes: SHELLS } },
  examples: ['eval "$(hako completion bash)"', "hako completion fish > ~/.config/fish/completions/hako.fish"],
  async run({ values }) {
    const shell = SHELLS.find((name) => name === values.shell) as Shell | undefined;
    if (shell === undefined) {
      throw new HakoError({
        code: "usage",
        message: `completion: "${values.shell}" is not one of ${SHELLS.join(", ")}`,
      });
    }
    print(completionScript(shell, GLOBAL_FLAGS, (await allCommands()).commands));
    return 0;
  },
});
