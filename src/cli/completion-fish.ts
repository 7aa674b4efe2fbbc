import { type Candidates, type CommandLine, type CommandWords, restRepeats } from "./completion-words";

function quoted(text: string): string {
  return `'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;
}

function listed(candidates: Exclude<Candidates, "files">): string {
  if (candidates === "commands") return "'(__fish_complete_command)'";
  return "states" in candidates
    ? quoted(`(${["__hako_containers", ...candidates.states].join(" ")})`)
    : quoted(candidates.join(" "));
}

/** Options of fish's `complete` for a flag's value. */
function valueOptions(candidates: Candidates | undefined, orFile: boolean): string {
  if (candidates === undefined) return "";
  if (candidates === "files") return " -r -F";
  return ` ${orFile ? "-r -F" : "-x"} -a ${listed(candidates)}`;
}

/** `__hako_scan` prints the command, how many operands come before the cursor ("rest" behind --), and the global --root. */
function functions({ globals, commands, first }: CommandLine): string {
  const taking = ({ flags }: CommandWords) =>
    flags.filter(({ value }) => value !== undefined).map(({ spelling }) => spelling);
  const groups = first.filter(({ inner }) => inner.length > 0).map(({ name }) => name);
  const canonical = first
    .filter(({ aliases }) => aliases.length > 0)
    .map(({ name, aliases }) => `            case ${aliases.join(" ")}\n              set verb ${name}`);
  const takes = commands
    .filter((words) => taking(words).length > 0)
    .map(
      (words) =>
        `    case ${quoted(words.path)}\n      string split ' ' -- ${quoted(taking(words).join(" "))}`,
    );
  const skipped = commands.flatMap(({ path, skips }) => {
    if (skips === undefined) return [];
    const words = [...skips.flags.map((flag) => `${flag}(=.*)?`), ...(skips.words ? ["-[0-9A-Z].*"] : [])];
    return `    case ${quoted(path)}\n      string match -qr -- '^(${words.join("|")})$' $argv[2]; and echo ${skips.place}`;
  });
  return `function __hako_takes
  switch "$argv[1]"
${takes.join("\n")}
  end
end
function __hako_skipped
  switch "$argv[1]"
${skipped.join("\n")}
  end
end
function __hako_scan
  set -l takes ${taking(globals).join(" ")}
  set -l verb
  set -l operands 0
  set -l root
  set -l flag
  set -l skipped
  set -l tokens (commandline -opc)
  for word in $tokens[2..-1]
    if test -n "$flag"
      test "$flag" = --root; and test -z "$verb"; and set root $word
      set flag
      continue
    end
    switch $word
      case --
        set operands rest
        break
      case '--root=*'
        test -z "$verb"; and set root (string replace -- --root= '' $word)
      case '-*'
        contains -- $word $takes; and set flag $word
        test -n "$skipped"; or set skipped (__hako_skipped "$verb" $word)
      case '*'
        if test -z "$verb"
          set verb $word
          switch $word
${canonical.join("\n")}
          end
        else if contains -- "$verb" ${groups.join(" ")}
          set verb "$verb $word"
        else
          set operands (math $operands + 1)
          continue
        end
        set takes (__hako_takes "$verb")
    end
  end
  test -n "$skipped"; and test $operands != rest; and test $operands -ge $skipped; and set operands (math $operands + 1)
  printf '%s\\n' "$verb" $operands "$root"
end
function __hako_is
  set -l seen (__hako_scan)
  test "$seen[1]" = "$argv[1]"; or return 1
  if test (count $argv) -gt 2
    test "$seen[2]" != rest; and test $seen[2] -ge $argv[2]
  else if test (count $argv) -gt 1
    test "$seen[2]" = "$argv[2]"
  else
    test "$seen[2]" != rest
  end
end
function __hako_containers
  set -l seen (__hako_scan)
  set -l root
  test -n "$seen[3]"; and set root --root $seen[3]
  hako $root list 2>/dev/null | while read -l id pid state others
    test $pid = PID; and continue
    test (count $argv) -eq 0; or contains -- $state $argv; and printf '%s\\t%s\\n' $id $state
  end
end
function __hako_rest
  set -l seen (__hako_scan)
  test "$seen[2]" = rest
end
function __hako_command
  set -l tokens (commandline -opc)
  set -l end (contains -i -- -- $tokens)
  set -l words (string escape -- $tokens[(math $end + 1)..-1])
  # what fish offers for the command itself
  set -l line (string join ' ' -- $words (commandline -ct))
  complete --do-complete="$line"
end
`;
}

/** The lines of one command, or of the global flags. */
function linesOf(words: CommandWords): string[] {
  const { path, flags, operands, rest } = words;
  const is = quoted(`__hako_is ${quoted(path)}`);
  const lines = flags.map(({ spelling, description, value, orFile }) => {
    const name = spelling.startsWith("--") ? `-l ${spelling.slice(2)}` : `-s ${spelling.slice(1)}`;
    return `complete -c hako -n ${is} ${name}${valueOptions(value, orFile)} -d ${quoted(description)}`;
  });
  operands.forEach((candidates, place) => {
    const there = quoted(`__hako_is ${quoted(path)} ${place}`);
    if (candidates === "files") lines.push(`complete -c hako -n ${there} -F`);
    else if (!Array.isArray(candidates) || candidates.length > 0)
      lines.push(`complete -c hako -n ${there} -a ${listed(candidates)}`);
  });
  if (rest !== undefined && rest !== "files") {
    const place = restRepeats(words) ? `${operands.length} or-later` : operands.length;
    const there = quoted(`__hako_is ${quoted(path)} ${place}`);
    lines.push(`complete -c hako -n ${there} -f -a ${listed(rest)}`);
  }
  return lines;
}

export function fishScript(line: CommandLine): string {
  const lines = ["complete -c hako -f"];
  for (const { name, description, inner } of line.first) {
    lines.push(`complete -c hako -n "__hako_is ''" -a ${name} -d ${quoted(description)}`);
    for (const one of inner)
      lines.push(`complete -c hako -n "__hako_is ${name}" -a ${one.name} -d ${quoted(one.description)}`);
  }
  for (const words of [line.globals, ...line.commands]) lines.push(...linesOf(words));
  lines.push("complete -c hako -n __hako_rest -x -a '(__hako_command)'");
  return `# completion of hako for fish: hako completion fish | source\n${functions(line)}${lines.join("\n")}\n`;
}
