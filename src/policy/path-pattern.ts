import { HakoError } from "../base/errors";
import { directoryEntries, hasErrno, statusAt } from "../linux/file/file";
import { components } from "../linux/file/path-text";

/** What is looked at for one pattern: a tree of more names would cost each command seconds. */
const MOST_NAMES = 20_000;

export function isPattern(path: string): boolean {
  return /[*?]|(^|\/)!\(/.test(path);
}

/**
 * The paths that a pattern stands for: `*` is any number of letters of a name, `?` is one, `**` any number of directories, `!(NAME)` each name but
 * this one. Links are not followed.
 * `path` is absolute.
 */
export function matchingPaths(path: string): string[] {
  const walk = { left: MOST_NAMES, pattern: path };
  const found = matches("", components(path), walk);
  // a name behind a pattern was not looked for
  return [...new Set(found)].filter((each) => statusAt(each, false) !== undefined);
}

interface Walk {
  left: number;
  pattern: string;
}

function matches(directory: string, [name, ...rest]: readonly string[], walk: Walk): string[] {
  if (name === undefined) return [directory];
  if (!isPattern(name)) return matches(`${directory}/${name}`, rest, walk);
  const but = /^!\((.*)\)$/s.exec(name)?.[1];
  const here = name === "**" ? matches(directory, rest, walk) : [];
  const below = entriesOf(directory || "/", walk).flatMap((entry) => {
    if (name !== "**" && hasName(but ?? name, entry.name) !== (but === undefined)) return [];
    const path = `${directory}/${entry.name}`;
    if (name === "**") return entry.type === "directory" ? matches(path, [name, ...rest], walk) : [];
    return rest.length === 0 || entry.type === "directory" ? matches(path, rest, walk) : [];
  });
  return [...here, ...below];
}

function entriesOf(path: string, walk: Walk): ReturnType<typeof directoryEntries> {
  try {
    const found = directoryEntries(path);
    walk.left -= found.length;
    if (walk.left < 0) throw tooMany(walk.pattern);
    return found;
  } catch (error) {
    if (hasErrno(error, "ENOENT", "ENOTDIR", "EACCES")) return [];
    throw error;
  }
}

function tooMany(pattern: string): HakoError {
  return new HakoError({
    code: "config",
    message: `${JSON.stringify(pattern)}: more than ${MOST_NAMES} names would be looked at, by each command`,
    hint: "begin the pattern further down, or name the paths: these cost nothing",
  });
}

/** Whether a name is one of a pattern's: in a time that grows with the product of both lengths, whatever the name's author has thought of. */
function hasName(pattern: string, name: string): boolean {
  let [at, matched] = [0, 0];
  let star: { after: number; from: number } | undefined;
  while (matched < name.length) {
    const wanted = pattern[at];
    if (wanted === "*") star = { after: ++at, from: matched };
    else if (wanted === "?" || wanted === name[matched]) {
      at++;
      matched++;
    } else if (star === undefined) return false;
    else {
      // the last star takes one letter more: what those before it took is as good as any
      star.from++;
      [at, matched] = [star.after, star.from];
    }
  }
  return /^\**$/.test(pattern.slice(at));
}
