import { type Candidates, type CommandLine, type CommandWords, restRepeats } from "./completion-words";

/**
 * The function for bash, which zsh runs as well: there `path`, `words`, `status` and others are the shell's own variables, and no
 * name for ours. It finds the command, its group's other word, the global --root, and how many operands come before the cursor.
 */
export function bashScript(line: CommandLine): string {
  return `# completion of hako for bash: eval "$(hako completion bash)"\n${completionFunction(line)}`;
}

export function zshScript(line: CommandLine): string {
  return `#compdef hako\nautoload -U +X bashcompinit && bashcompinit\n${completionFunction(line)}`;
}

function taking(words: CommandWords): string[] {
  return words.flags.filter(({ value }) => value !== undefined).map(({ spelling }) => spelling);
}

/** Lines of a shell's `case` over the command: one for each command that has a text. */
function cases(all: readonly CommandWords[], text: (words: CommandWords) => string): string {
  const lines = all
    .map((words) => ({ path: words.path, text: text(words) }))
    .filter((line) => line.text !== "");
  return lines.map((line) => `    "${line.path}") ${line.text} ;;`).join("\n");
}

/** Shell that puts candidates into COMPREPLY; nothing for files, which are the shell's default. */
function reply(candidates: Candidates | undefined, orFile = false): string {
  if (candidates === undefined || candidates === "files") return "";
  if (candidates === "commands") return 'COMPREPLY=($(compgen -c -- "$current"))';
  if ("states" in candidates) {
    const call = ["_hako_containers", ...candidates.states].join(" ");
    return `COMPREPLY=($(compgen -W "$(${call})" -- "$current"))`;
  }
  const files = orFile ? ' $(compgen -f -- "$current")' : "";
  // nothing is known, and files must not be offered either
  if (candidates.length === 0) return "compopt +o default 2>/dev/null";
  return `COMPREPLY=($(compgen -W "${candidates.join(" ")}" -- "$current")${files})`;
}

function valueCases(words: CommandWords): string {
  return words.flags
    .filter(({ value }) => value !== undefined)
    .map(({ spelling, value, orFile }) => {
      const text = reply(value, orFile) || 'COMPREPLY=($(compgen -f -- "$current"))';
      return `    "${words.path} ${spelling}") ${text}; return ;;`;
    })
    .join("\n");
}

function operandCases(words: CommandWords): string {
  const lines = words.operands.map((candidates, place) => ({
    place: String(place),
    text: reply(candidates),
  }));
  const place = restRepeats(words) ? "*" : String(words.operands.length);
  lines.push({ place, text: reply(words.rest) });
  return lines
    .filter(({ text }) => text !== "")
    .map(({ place, text }) => `    "${words.path} "${place}) ${text} ;;`)
    .join("\n");
}

/** Shell patterns for a word that takes an operand's place away. */
function skipCases(all: readonly CommandWords[]): string {
  return all
    .flatMap(({ path, skips }) => {
      if (skips === undefined) return [];
      const { place, flags, words } = skips;
      const patterns = flags.flatMap((flag) => [`"${path} ${flag}"`, `"${path} ${flag}="*`]);
      if (words) patterns.push(`"${path} -"[0-9]*`, `"${path} -"[[:upper:]]*`);
      return `      ${patterns.join(" | ")}) skipped=${place} ;;`;
    })
    .join("\n");
}

function completionFunction({ globals, commands: all, first }: CommandLine): string {
  const names = first.map(({ name }) => name);
  const groups = first.filter(({ inner }) => inner.length > 0);
  const inner = groups
    .map((group) => `    ${group.name}) list="${group.inner.map(({ name }) => name).join(" ")}" ;;`)
    .join("\n");
  const others = first.filter(({ aliases }) => aliases.length > 0);
  const canonical = others.map(({ name, aliases }) => `  ${aliases.join(" | ")}) verb=${name} ;;`).join("\n");
  return `_hako_containers() {
  local id pid state others
  hako \${root:+--root "$root"} list 2>/dev/null | while read -r id pid state others; do
    # without the header
    [ "$pid" != PID ] || continue
    [ $# -eq 0 ] || case " $* " in *" $state "*) ;; *) continue ;; esac
    printf '%s\\n' "$id"
  done
}
_hako() {
  local current=\${COMP_WORDS[COMP_CWORD]} previous=\${COMP_WORDS[COMP_CWORD-1]} verb= word list flags= takes index root= operands=0 skipped=
  # "=" between a flag and its value is a word of its own
  [ "$current" != = ] || current=
  [ "$previous" != = ] || previous=\${COMP_WORDS[COMP_CWORD-2]}
  for ((index = 1; index < COMP_CWORD; index++)); do
    word=\${COMP_WORDS[index]}
    case $word in
    --root=*) root=\${word#--root=} ;;
    ${taking(globals).join(" | ")})
      index=$((index + 1))
      [ "\${COMP_WORDS[index]}" != = ] || index=$((index + 1))
      [ "$word" != --root ] || root=\${COMP_WORDS[index]}
      ;;
    -*) ;;
    *) verb=$word; break ;;
    esac
  done
  case $verb in
${canonical}
  esac
  case $verb in
  ${groups.map(({ name }) => name).join(" | ")})
    index=$((index + 1))
    if [ "$index" -ge "$COMP_CWORD" ]; then
      case $verb in
${inner}
      esac
      COMPREPLY=($(compgen -W "$list" -- "$current"))
      return
    fi
    verb="$verb \${COMP_WORDS[index]}"
    ;;
  esac
  takes=
  case "$verb" in
${cases(all, (words) => (taking(words).length === 0 ? "" : `takes=" ${taking(words).join(" ")} "`))}
  esac
  for ((index++; index < COMP_CWORD; index++)); do
    word=\${COMP_WORDS[index]}
    case $word in
    --)
      # what follows is somebody else's: a command, then what that takes
      [ $((index + 1)) -lt "$COMP_CWORD" ] || COMPREPLY=($(compgen -c -- "$current"))
      return
      ;;
    -*)
      case "$verb $word" in
${skipCases(all)}
      esac
      if [ "\${COMP_WORDS[index+1]-}" = = ]; then
        index=$((index + 2))
      else
        case $takes in *" $word "*) index=$((index + 1)) ;; esac
      fi
      ;;
    *) operands=$((operands + 1)) ;;
    esac
  done
  # an operand that a flag stands for
  [ -z "$skipped" ] || [ "$operands" -lt "$skipped" ] || operands=$((operands + 1))
  case "$verb $previous" in
${[globals, ...all].map(valueCases).filter(Boolean).join("\n")}
  esac
  if [ -z "$verb" ]; then
    COMPREPLY=($(compgen -W "${[...globals.flags.map(({ spelling }) => spelling), ...names].join(" ")}" -- "$current"))
    return
  fi
  case $current in
  -*)
    case "$verb" in
${cases(all, ({ flags }) => `flags="${["--help", ...flags.map(({ spelling }) => spelling)].join(" ")}"`)}
    esac
    COMPREPLY=($(compgen -W "$flags" -- "$current"))
    return
    ;;
  esac
  case "$verb $operands" in
${all.map(operandCases).filter(Boolean).join("\n")}
  esac
}
complete -o default -F _hako hako
`;
}
