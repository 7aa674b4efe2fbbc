import type { Command } from "./command";
import { findCommand } from "./find-command";
import { spellings } from "./tables";

/** What to do with an unknown flag before the command's name, if the command that is named later on the line has it. */
export async function misplacedFlagHint(
  program: Command,
  raw: readonly string[],
  message: string,
): Promise<string | undefined> {
  const flag = /^unknown flag (--?[a-zA-Z-]+)$/.exec(message)?.[1];
  if (flag === undefined) return undefined;
  for (const [at, word] of raw.entries()) {
    if (!Object.hasOwn(program.subCommands ?? {}, word)) continue;
    const found = await findCommand(program, raw.slice(at)).catch(() => undefined);
    const known = Object.entries(found?.command.args ?? {}).flatMap(([name, each]) => spellings(name, each));
    const letters = flag.startsWith("--") ? [flag] : [...flag.slice(1)].map((letter) => `-${letter}`);
    if (known.includes(flag) || letters.every((each) => known.includes(each)))
      return `it goes after the command: hako ${found?.path} ${flag} ...`;
  }
  return undefined;
}
