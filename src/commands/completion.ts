import { HakoError } from "../base/errors";
import { defineCommand } from "../cli/command";
import { completionScript, SHELLS, type Shell } from "../cli/completion";
import { print } from "../output/print";

export default defineCommand({
  args: { shell: { type: "positional", required: true, description: SHELLS.join(", "), completes: SHELLS } },
  examples: ['eval "$(hako completion bash)"', "hako completion fish > ~/.config/fish/completions/hako.fish"],
  async run({ args, data }) {
    const shell = SHELLS.find((name) => name === args.shell) as Shell | undefined;
    if (shell === undefined) {
      throw HakoError.usage(`completion: "${args.shell}" is not one of ${SHELLS.join(", ")}`);
    }
    print(await completionScript(shell, data.program));
  },
});
