import type { Arguments } from "./arguments";
import { COMMANDS } from "./commands";
import { type NamedCommand, spellings } from "./tables";

export const SHELLS = ["bash", "zsh", "fish"] as const;
export type Shell = (typeof SHELLS)[number];

/** What can follow: flags, the values of those that have a list of them, and whether a container's id can. */
interface Words {
  path: string;
  flags: string[];
  /** Flags that take a value of any kind. */
  withValue: string[];
  values: Record<string, readonly string[]>;
  container: boolean;
  /** Other fixed operands. */
  operands: readonly string[];
}

function wordsOf(path: string, args: Arguments): Words {
  const flags: string[] = [];
  const withValue: string[] = [];
  const values: Record<string, readonly string[]> = {};
  for (const [name, argument] of Object.entries(args)) {
    const all = spellings(name, argument);
    flags.push(...all);
    if (argument.type !== "boolean") withValue.push(...all);
    if (argument.type === "enum") for (const each of all) values[each] = argument.options ?? [];
  }
  const operands = path === "completion" ? SHELLS : [];
  return { path, flags, withValue, values, container: "container" in args, operands };
}

/** A completion script for a shell, made from the same tables as `--help`. */
export function completionScript(
  shell: Shell,
  globals: Arguments,
  commands: readonly NamedCommand[],
): string {
  const all = commands.map(({ path, command }) => wordsOf(path, command.args));
  const own = wordsOf("", globals);
  if (shell === "fish") return fish(own, all);
  return shell === "bash"
    ? bash(own, all)
    : `#compdef hako\nautoload -U +X bashcompinit && bashcompinit\n${bash(own, all)}`;
}

function innerNames(all: readonly Words[], group: string): string[] {
  return all
    .filter(({ path }) => path.startsWith(`${group} `))
    .map(({ path }) => path.slice(group.length + 1));
}

/** The part of bash's that finds the command and the global --root. */
function bashPath(globals: Words, all: readonly Words[]): string {
  const groups = Object.keys(COMMANDS).filter((name) => innerNames(all, name).length > 0);
  return `  # "=" between a flag and its value is a word of its own
  [ "$current" != = ] || current=
  [ "$previous" != = ] || previous=\${COMP_WORDS[COMP_CWORD-2]}
  for ((index = 1; index < COMP_CWORD; index++)); do
    word=\${COMP_WORDS[index]}
    case $word in
    --root=*) root=\${word#--root=} ;;
    ${globals.withValue.join(" | ")})
      index=$((index + 1))
      [ "\${COMP_WORDS[index]}" != = ] || index=$((index + 1))
      [ "$word" != --root ] || root=\${COMP_WORDS[index]}
      ;;
    -*) ;;
    *) path=$word; break ;;
    esac
  done
  case $path in
  ${groups.join(" | ")})
    if [ $((index + 1)) -ge "$COMP_CWORD" ]; then
      case $path in
${groups.map((group) => `      ${group}) words="${innerNames(all, group).join(" ")}" ;;`).join("\n")}
      esac
      COMPREPLY=($(compgen -W "$words" -- "$current"))
      return
    fi
    path="$path \${COMP_WORDS[index+1]}"
    ;;
  esac
`;
}

function bash(globals: Words, all: readonly Words[]): string {
  const names = Object.keys(COMMANDS);
  const flagCases = all.map(
    ({ path, flags }) => `    "${path}") flags="${["--help", ...flags].join(" ")}" ;;`,
  );
  const values = [globals, ...all].flatMap(({ path, values: lists }) =>
    Object.entries(lists).map(([flag, list]) => `    "${path} ${flag}") words="${list.join(" ")}" ;;`),
  );
  const files = [globals, ...all].flatMap(({ path, withValue, values: lists }) =>
    withValue.filter((flag) => !(flag in lists)).map((flag) => `"${path} ${flag}"`),
  );
  const containers = all.filter(({ container }) => container).map(({ path }) => `"${path}"`);
  const operands = all.filter((each) => each.operands.length > 0);
  return `# completion of hako for bash: eval "$(hako completion bash)"
_hako() {
  local current=\${COMP_WORDS[COMP_CWORD]} previous=\${COMP_WORDS[COMP_CWORD-1]} path= word flags= words= index root=
${bashPath(globals, all)}  case "$path $previous" in
${values.join("\n")}
    ${files.join(" | ")})
      COMPREPLY=($(compgen -f -- "$current"))
      return ;;
  esac
  if [ -n "$words" ]; then
    COMPREPLY=($(compgen -W "$words" -- "$current"))
    return
  fi
  if [ -z "$path" ]; then
    COMPREPLY=($(compgen -W "${[...globals.flags, ...names].join(" ")}" -- "$current"))
    return
  fi
  case "$path" in
${flagCases.join("\n")}
  esac
  case $current in
  -*) COMPREPLY=($(compgen -W "$flags" -- "$current")) ;;
  *)
    case "$path" in
${operands.map(({ path, operands: list }) => `    "${path}") words="${list.join(" ")}" ;;`).join("\n")}
    ${containers.join(" | ")}) words=$(hako \${root:+--root "$root"} list --quiet 2>/dev/null) ;;
    esac
    COMPREPLY=($(compgen -W "$words" -- "$current"))
    ;;
  esac
}
complete -o default -F _hako hako
`;
}

function quoted(text: string): string {
  return `'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;
}

function fish(globals: Words, all: readonly Words[]): string {
  const lines = ["# completion of hako for fish: hako completion fish | source", "complete -c hako -f"];
  const flagLine = (condition: string, flag: string, { withValue, values }: Words): string => {
    const spelling = flag.startsWith("--") ? `-l ${flag.slice(2)}` : `-s ${flag.slice(1)}`;
    const list = values[flag];
    const value =
      list !== undefined ? ` -x -a ${quoted(list.join(" "))}` : withValue.includes(flag) ? " -r -F" : "";
    return `complete -c hako -n ${quoted(condition)} ${spelling}${value}`;
  };
  for (const [name, { description }] of Object.entries(COMMANDS)) {
    lines.push(`complete -c hako -n __fish_use_subcommand -a ${name} -d ${quoted(description)}`);
  }
  for (const flag of globals.flags) lines.push(flagLine("__fish_use_subcommand", flag, globals));
  for (const words of all) {
    const [name = "", inner] = words.path.split(" ");
    const seen = `__fish_seen_subcommand_from ${name}`;
    const condition = inner === undefined ? seen : `${seen}; and __fish_seen_subcommand_from ${inner}`;
    if (inner !== undefined) lines.push(`complete -c hako -n ${quoted(seen)} -a ${inner}`);
    for (const flag of words.flags) lines.push(flagLine(condition, flag, words));
    for (const operand of words.operands)
      lines.push(`complete -c hako -n ${quoted(condition)} -a ${operand}`);
    if (words.container)
      lines.push(`complete -c hako -n ${quoted(condition)} -a '(hako list --quiet 2>/dev/null)'`);
  }
  return `${lines.join("\n")}\n`;
}
