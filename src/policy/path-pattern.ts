import { HakoError } from "../base/errors";
import { ACCESS } from "../linux/call/constants";
import { checkAccess, directoryEntries, hasErrno, statusAt } from "../linux/file/file";
import { cleanPath, components, normalize } from "../linux/file/path-text";
import { effectiveUser } from "../linux/process/rootless";

/** What is looked at for one pattern: a tree of more names would cost each command seconds. */
const MOST_NAMES = 20_000;

export function isPattern(path: string): boolean {
  return /[*?]|(^|\/)!\(/.test(path);
}

/** A path that a text of a flag or a policy stands for; absolute. */
export interface NamedPath {
  path: string;
  /** Where it was looked for by a pattern, or by a name that a program may have given to something: who has written that may not have thought of this one. */
  foundIn?: string | undefined;
  /** The pattern would find it in each other directory below, too. */
  isAnywhere?: boolean | undefined;
}

/**
 * The paths below a directory that a text stands for. `*` is any number of letters of a name, `?` is one, `**` any number of directories, `!(NAME)` each
 * name but this one: of such a pattern all that there are, one of just that name too. Links are not followed.
 * `restricts`: directories that are closed to this user, who could open them, are found in place of what they may have in them: so could the program.
 */
export function namedPaths(text: string, directory: string, restricts: boolean): NamedPath[] {
  const names = components(normalize(text));
  const first = names.findIndex(isPattern);
  if (first === -1) return [{ path: joined(directory, names) }];
  const foundIn = joined(directory, names.slice(0, first));
  const walk = { left: MOST_NAMES, pattern: text, foundIn, restricts };
  const found = matches(foundIn === "/" ? "" : foundIn, names.slice(first), walk);
  // a name behind a pattern was not looked for
  const there = [...found, joined(directory, names)].flatMap((path) => thereOf(path, walk));
  const isAnywhere = names[first] === "**" && names.length === first + 2;
  return [...new Set(there)].map((path) => ({ path, foundIn, isAnywhere }));
}

/**
 * Refuses brackets and braces, which other programs' patterns have, but in names that are there (`isThere`): these can be nothing else.
 */
export function refuseBrackets(
  text: string,
  isThere: (path: string) => boolean,
  refuse: (why: string, hint: string) => Error,
): void {
  const names = text.split("/");
  const first = names.findIndex(isPattern);
  for (const [index, name] of names.entries()) {
    if (!/[[\]{}]/.test(name)) continue;
    const isLiteral = first === -1 || index < first;
    if (isLiteral && isThere(names.slice(0, index + 1).join("/"))) continue;
    throw refuse(
      `nothing is called ${JSON.stringify(name)}, and in patterns brackets and braces are not known`,
      "name the paths; ? stands for any letter",
    );
  }
}

/**
 * The first directory on the way to a place that is closed to this user: whether that could open it by chmod(2). undefined where there is none.
 */
export function closedDirectory(path: string): { path: string; isOwn: boolean } | undefined {
  const names = components(path);
  for (let length = 1; length < names.length; length++) {
    const way = `/${names.slice(0, length).join("/")}`;
    if (!isClosed(way)) continue;
    return { path: way, isOwn: statusAt(way)?.uid === effectiveUser() };
  }
  return undefined;
}

function isClosed(directory: string): boolean {
  try {
    checkAccess(directory, ACCESS.X_OK);
    return false;
  } catch (error) {
    if (hasErrno(error, "EACCES")) return true;
    if (hasErrno(error, "ENOENT", "ENOTDIR", "ELOOP")) return false;
    throw error;
  }
}

interface Walk {
  left: number;
  pattern: string;
  foundIn: string;
  restricts: boolean;
}

function matches(directory: string, [name, ...rest]: readonly string[], walk: Walk): string[] {
  if (name === undefined) return [directory || "/"];
  if (!isPattern(name)) return matches(`${directory}/${name}`, rest, walk);
  const but = /^!\((.*)\)$/s.exec(name)?.[1];
  const here = name === "**" ? matches(directory, rest, walk) : [];
  const entries = entriesOf(directory || "/", walk);
  // what is in it is not known
  if (entries === undefined) return [...here, directory || "/"];
  const below = entries.flatMap((entry) => {
    if (name !== "**" && hasName(but ?? name, entry.name) !== (but === undefined)) return [];
    const path = `${directory}/${entry.name}`;
    if (name === "**") return entry.type === "directory" ? matches(path, [name, ...rest], walk) : [];
    return rest.length === 0 || entry.type === "directory" ? matches(path, rest, walk) : [];
  });
  return [...here, ...below];
}

/** What is at a path that was found; of a way that is closed, what stands for it. Links that lead to each other stand for nothing. */
function thereOf(path: string, walk: Walk): string[] {
  try {
    const status = statusAt(path, false);
    if (status?.type === "symlink") statusAt(path);
    return status === undefined ? [] : [path];
  } catch (error) {
    if (hasErrno(error, "ELOOP")) return [];
    if (hasErrno(error, "ENAMETOOLONG")) throw tooDeep(path, walk);
    if (!hasErrno(error, "EACCES")) throw error;
    const closed = closedDirectory(path);
    // it is a link that leads into one
    if (closed === undefined) return [path];
    return walk.restricts && closed.isOwn ? [closed.path] : [];
  }
}

/** undefined of a directory that this user can't look into, but could. */
function entriesOf(path: string, walk: Walk): ReturnType<typeof directoryEntries> | undefined {
  try {
    const found = directoryEntries(path);
    walk.left -= found.length;
    if (walk.left < 0) throw tooMany(walk.pattern);
    return found;
  } catch (error) {
    if (hasErrno(error, "ENAMETOOLONG")) throw tooDeep(path, walk);
    if (hasErrno(error, "EACCES") && walk.restricts && couldBeOpened(path)) return undefined;
    if (hasErrno(error, "ENOENT", "ENOTDIR", "EACCES")) return [];
    throw error;
  }
}

/** Whether this user could look into a directory after a chmod(2): of it, or of one that it is in. */
function couldBeOpened(path: string): boolean {
  try {
    return statusAt(path)?.uid === effectiveUser();
  } catch (error) {
    if (hasErrno(error, "EACCES")) return true;
    throw error;
  }
}

function joined(directory: string, names: readonly string[]): string {
  return cleanPath([directory, ...names].join("/"));
}

/** Names the directory below the pattern's own that a program may have made so deep. */
function tooDeep(path: string, { pattern, foundIn }: Walk): HakoError {
  const [name = ""] = components(path.slice(foundIn.length));
  return new HakoError({
    code: "config",
    message: `${JSON.stringify(pattern)}: ${JSON.stringify(joined(foundIn, [name]))} is deeper than a path can be long`,
    hint: "remove that directory, or name the paths",
  });
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
