/** What users of docker, podman and runc type that hako has no such flag for, and what to do here. */
const FLAGS: Readonly<Record<string, string>> = {
  i: "standard input is always connected",
  interactive: "standard input is always connected",
  rm: "a container is deleted at its end; --keep keeps it",
  name: "the id is the first operand",
  "security-opt": "for a seccomp profile: hako run --rootfs DIR --seccomp default|FILE|off",
  s: "the signal follows the id: hako kill ID KILL",
  signal: "the signal follows the id: hako kill ID KILL",
};

/** Their names of commands. */
const COMMANDS: Readonly<Record<string, string>> = {
  rm: "hako delete",
  remove: "hako delete",
  ls: "hako list",
  stop: "hako kill ID, then hako delete ID",
  unpause: "hako resume",
  continue: "hako resume",
  inspect: "hako state",
  status: "hako state",
  top: "hako ps",
  stats: "hako events --stats",
  info: "hako env",
  version: "hako --version",
  init: "hako spec",
};

/** Levenshtein's distance: how many letters differ, are missing or too many. */
function distance(left: string, right: string): number {
  let row = Array.from({ length: right.length + 1 }, (_, column) => column);
  for (const [line, letter] of [...left].entries()) {
    const next = [line + 1];
    for (const [column, other] of [...right].entries()) {
      next.push(
        Math.min(
          (next[column] ?? 0) + 1,
          (row[column + 1] ?? 0) + 1,
          (row[column] ?? 0) + (letter === other ? 0 : 1),
        ),
      );
    }
    row = next;
  }
  return row[right.length] ?? 0;
}

/** The known name that was meant, perhaps: at most two letters off, and less than half of it. */
function nearest(name: string, known: readonly string[]): string | undefined {
  const [best] = known
    // what differs more in length is not near, and may be long
    .filter((each) => each.length > 2 && Math.abs(each.length - name.length) <= 2)
    .map((each) => ({ each, off: distance(name, each) }))
    .filter(({ each, off }) => off <= 2 && off < each.length / 2)
    .sort((one, other) => one.off - other.off);
  return best?.each;
}

/** Words of mounts that others write so. */
const OPTIONS: Readonly<Record<string, string>> = { readonly: "ro", "read-only": "ro", recursive: "rbind" };

/** The known option of a mount that was meant, perhaps: capital letters are none, and in a short word one letter may be wrong. */
export function nearestOption(word: string, known: readonly string[]): string | undefined {
  const lower = word.toLowerCase();
  if (known.includes(lower)) return lower;
  const other = Object.hasOwn(OPTIONS, lower) ? OPTIONS[lower] : undefined;
  if (other !== undefined && known.includes(other)) return other;
  const short =
    lower.length <= 3 ? known.find((each) => each.length <= 3 && distance(lower, each) === 1) : undefined;
  return short ?? nearest(lower, known);
}

/** A hint for a flag that a command doesn't have; undefined if nothing is near. */
export function flagHint(name: string, known: readonly string[]): string | undefined {
  if (Object.hasOwn(FLAGS, name)) return FLAGS[name];
  if (/^([0-9]+|KILL|TERM|HUP|INT)$/.test(name)) return "the signal follows the id: hako kill ID KILL";
  const meant = nearest(name, known);
  return meant === undefined ? undefined : `did you mean --${meant}?`;
}

export function commandHint(name: string, known: readonly string[]): string {
  if (Object.hasOwn(COMMANDS, name)) return COMMANDS[name] ?? "";
  const meant = nearest(name, known);
  return meant === undefined ? "hako --help lists them" : `did you mean hako ${meant}?`;
}
