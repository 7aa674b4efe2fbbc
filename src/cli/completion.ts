import type { Command } from "./command";
import { bashScript, zshScript } from "./completion-bash";
import { fishScript } from "./completion-fish";
import { commandLineOf } from "./completion-words";

export const SHELLS = ["bash", "zsh", "fish"] as const;
export type Shell = (typeof SHELLS)[number];

/** A completion script for a shell, made from the same tables as `--help`. */
export async function completionScript(shell: Shell, program: Command): Promise<string> {
  const line = await commandLineOf(program);
  if (shell === "fish") return fishScript(line);
  return shell === "bash" ? bashScript(line) : zshScript(line);
}
