import { HakoError } from "../base/errors";
import { GIT_CONFIG } from "../changes/acting-files";
import { textOf } from "../linux/call/bytes";
import { callerVariable } from "../linux/file/caller-environment";
import {
  directoryEntries,
  exists,
  hasErrno,
  mayExist,
  readOrdinaryFile,
  readText,
  realPath,
  statusAt,
} from "../linux/file/file";
import { homeInPasswd } from "../linux/file/passwd";
import { cleanPath, components, isAtOrBelow, resolve } from "../linux/file/path-text";
import { workingDirectory } from "../linux/file/working-directory";
import { effectiveUser } from "../linux/process/rootless";
import { submodulePaths } from "./git-links";
import { closedDirectory, type NamedPath, namedPaths, refuseBrackets } from "./path-pattern";
import type { Policy } from "./policy";

/** What a policy's paths are on this host, for this user, in this directory. All are absolute. */
export interface PolicyPlaces {
  hide: readonly PolicyPlace[];
  read: readonly PolicyPlace[];
  write: readonly PolicyPlace[];
  protect: readonly PolicyPlace[];
  /** Values of --volume. */
  volume: readonly string[];
  /** The index of the project's repository, where a policy protects that one's settings. */
  gitIndex: string | undefined;
}

export interface PolicyPlace extends NamedPath {
  /** A pattern has found it. */
  byPattern?: boolean | undefined;
  /** It exists, and this user can get at it. */
  isThere: boolean;
}

/** Users below this number are programs' (login.defs(5), UID_MIN), and from the other one on nobody's. */
const FIRST_USER = 1000;
const NOBODY = 65_534;

const GIT_INDEX = ".git/index";
/** How long a .gitmodules may be. */
const MOST_BYTES = 1 << 20;

export function policyPlaces({ name, files, layers, write, protect, volume }: Policy): PolicyPlaces {
  const homes = new Homes(name);
  const placesOf = (texts: readonly string[]) => placesAt(texts.flatMap((text) => waysOf(text, homes.own)));
  const restricted = (field: string, ways: readonly Way[]) =>
    restrictedPlaces(`policy ${name}: ${field}`, ways);
  const written = placesOf(write);
  checkNotHome(name, placesOf(write.filter(isRelative)), homes);
  const named = restricted(
    "protect",
    protect.flatMap((text) => waysOf(text, homes.own)),
  );
  const config = protect.includes(GIT_CONFIG) ? resolve(GIT_CONFIG) : undefined;
  const hasGit = named.some(({ path, isThere }) => isThere && path === config);
  const volumesOf = (texts: readonly string[]) =>
    texts.map((text) => text.replaceAll(/(^|:)~(?=[/:]|$)/g, (_, colon) => `${colon}${homes.own[0]}`));
  let hidden: readonly PolicyPlace[] = [];
  let read: readonly PolicyPlace[] = [];
  const replaced = new Set<string>();
  for (const layer of layers) {
    const shown = placesOf(layer.read);
    read = once([...read, ...shown]);
    for (const path of mountTargets({ volume: volumesOf(layer.volume), tmpfs: layer.tmpfs }))
      replaced.add(path);
    const hides = restricted(
      "hide",
      layer.hide.flatMap((text) => narrowed(text, name, homes)),
    );
    const isShown = ({ path }: PolicyPlace) => shown.some((each) => each.path === path);
    // one that extends another shows what that hides; what it hides itself it may show of what a pattern finds
    const wanted = hides.filter((each) => !(each.byPattern && isShown(each)));
    const both = wanted.find(({ path }) => replaced.has(path) || read.some((each) => each.path === path));
    if (both !== undefined) throw hiddenAnd(name, both.path, replaced.has(both.path) ? "mounted on" : "read");
    hidden = once([...hidden.filter((each) => !isShown(each)), ...wanted]);
  }
  return {
    hide: hidden,
    read,
    write: written,
    protect: heldPlaces([...named, ...(hasGit ? submodules() : []), ...files.map(heldPlace)], written),
    gitIndex: hasGit ? resolve(GIT_INDEX) : undefined,
    volume: volumesOf(volume),
  };
}

/** Refuses what would take something back without a word. */
export function hiddenAnd(policy: string, path: string, what: string): HakoError {
  return new HakoError({
    code: "config",
    message: `policy ${policy}: ${path} is hidden and ${what}`,
    hint: "a policy shows what one that it extends hides: by read, and by write beside that",
  });
}

/** Where values of --volume and --tmpfs mount something. */
export function mountTargets({ volume, tmpfs }: Record<"volume" | "tmpfs", readonly string[]>): string[] {
  const targets = [...volume.map((text) => text.split(":")[1]), ...tmpfs.map((text) => text.split(":")[0])];
  return targets.flatMap((path) => (path === undefined ? [] : cleanPath(path)));
}

/** Home directories: a policy that doesn't know them would not hide what it should. */
class Homes {
  readonly #policy: string;
  readonly #passwd = passwdText();
  #all: readonly string[] | undefined;

  constructor(policy: string) {
    this.#policy = policy;
  }

  /** The caller's: what HOME says. */
  get own(): readonly string[] {
    const told = callerVariable("HOME");
    // of who has none, as in some containers, it may say /
    if (told?.startsWith("/") === true) return [cleanPath(told)];
    const own = homeInPasswd(this.#passwd, effectiveUser());
    if (isHome(own)) return [own];
    throw new HakoError({
      code: "config",
      message: `policy ${this.#policy}: nobody knows your home directory`,
      hint: "HOME says it",
    });
  }

  /** All of the caller's, and root, who can read them, has those of all users. */
  get all(): readonly string[] {
    this.#all ??= this.#allHomes();
    return this.#all;
  }

  #allHomes(): readonly string[] {
    const rows = this.#passwd.split("\n").map((row) => row.split(":"));
    const isUser = (uid: number) => uid === 0 || (uid >= FIRST_USER && uid < NOBODY);
    const others =
      effectiveUser() === 0 ? rows.filter(([, , uid]) => isUser(Number(uid || -1))).map((row) => row[5]) : [];
    const own = homeInPasswd(this.#passwd, effectiveUser());
    return [...new Set([...this.own, ...[own, ...others].filter(isHome)])];
  }
}

function isHome(path: string | undefined): path is string {
  return path?.startsWith("/") === true && cleanPath(path) !== "/";
}

function passwdText(): string {
  try {
    return readText("/etc/passwd");
  } catch (error) {
    if (hasErrno(error, "ENOENT", "EACCES")) return "";
    throw error;
  }
}

/** Of a policy that says where, its author has decided. */
function isRelative(text: string): boolean {
  return !/^[/~$]/.test(text);
}

/** A text of a policy: of a directory by name, and below it what may be a pattern. */
interface Way {
  directory: string;
  rest: string;
  /** The directory is the working directory, in which programs may have made what is called so. */
  isRelative?: boolean;
}

function placesAt(ways: readonly Way[]): PolicyPlace[] {
  const found = ways.flatMap(({ rest, directory }) => namedPaths(rest, directory, false));
  return once(found.map((each) => ({ ...each, isThere: exists(each.path) })));
}

/**
 * Places of `hide` and `protect`. What is in a directory that is closed to this user is there for who opens that, as the program can where it is this
 * user's own: the directory stands for it.
 */
function restrictedPlaces(field: string, ways: readonly Way[]): PolicyPlace[] {
  const found = ways.flatMap(({ rest, directory, isRelative: isBeside }) => {
    refuseBrackets(
      rest,
      (path) => mayExist(resolve(directory, path), false) === true,
      (why, hint) =>
        new HakoError({ code: "config", message: `${field} ${JSON.stringify(rest)}: ${why}`, hint }),
    );
    return namedPaths(rest, directory, true).map(({ path, foundIn, isAnywhere }) => ({
      ...{ path, isAnywhere, byPattern: foundIn !== undefined || undefined },
      foundIn: foundIn ?? (isBeside ? directory : undefined),
    }));
  });
  return once(
    found.map((each) => {
      const there = mayExist(each.path);
      const closed = there === undefined ? closedDirectory(each.path) : undefined;
      if (there === true) return { ...each, isThere: true };
      return closed?.isOwn ? { path: closed.path, isThere: true } : { ...each, isThere: false };
    }),
  );
}

/** Each place once: as one that is named, where a pattern has found it, too. */
function once(places: readonly PolicyPlace[]): PolicyPlace[] {
  const named = new Set(places.filter(({ byPattern }) => !byPattern).map(({ path }) => path));
  const wanted = places.filter(({ path, byPattern }) => !byPattern || !named.has(path));
  return Array.from(new Map(wanted.map((each) => [each.path, each])).values());
}

/**
 * What is hidden of a variable that says where something is, as a rule a directory of its own. Of a runtime directory in which other things are, too,
 * it is the sockets: programs could not work without their home directory, or /tmp.
 */
function narrowed(text: string, policy: string, homes: Homes): Way[] {
  const ways = waysOf(text, homes.all);
  if (!/^\$\w+$/.test(text)) return ways;
  return ways.flatMap((way) => {
    const { directory: path } = way;
    const holds = [...homes.own, workingDirectory()].find((own) => isAtOrBelow(own, path));
    const isRuntime = text === "$XDG_RUNTIME_DIR";
    if (isRuntime && (holds !== undefined || isShared(path)))
      return socketsIn(path).map((directory) => ({ directory, rest: "" }));
    if (holds === undefined) return [way];
    throw new HakoError({
      code: "config",
      message: `policy ${policy}: ${text.slice(1)} is ${path}, which would be hidden with all that is in it, as ${holds}`,
      hint: `give ${text.slice(1)} a directory or file of its own, or unset it`,
    });
  });
}

/** Whether everybody may make files in a directory. */
function isShared(path: string): boolean {
  const status = exists(path) ? statusAt(path) : undefined;
  return status?.type === "directory" && (status.mode & 0o1002) === 0o1002;
}

/** The sockets in a directory, and in the directories in it. */
function socketsIn(path: string, depth = 2): string[] {
  return readable(path).flatMap(({ name, type }) => {
    const inside = cleanPath(`${path}/${name}`);
    if (type === "socket") return [inside];
    return type === "directory" && depth > 1 ? socketsIn(inside, depth - 1) : [];
  });
}

function readable(path: string): ReturnType<typeof directoryEntries> {
  try {
    return directoryEntries(path);
  } catch (error) {
    if (hasErrno(error, "ENOENT", "ENOTDIR", "EACCES")) return [];
    throw error;
  }
}

/** A text with what `~` and `$NAME` stand for; a variable may have several, between colons. */
function waysOf(text: string, homes: readonly string[]): Way[] {
  const [, start, rest = ""] = /^(~|\$\w+)(?:\/+(.*))?$/s.exec(text) ?? [];
  if (start === undefined)
    return [
      text.startsWith("/")
        ? { directory: "/", rest: text }
        : { directory: workingDirectory(), rest: text, isRelative: true },
    ];
  const named = start === "~" ? homes : (callerVariable(start.slice(1)) ?? "").split(":");
  return named.filter((path) => path !== "").map((path) => ({ directory: resolve(path), rest }));
}

/**
 * Each place as it can be held: the first name on its way that is missing where what it is in is written, or that is no directory, as `.git` of a
 * work tree (gitrepository-layout(5)).
 */
function heldPlaces(places: readonly PolicyPlace[], written: readonly PolicyPlace[]): PolicyPlace[] {
  // many are in one directory, and some in one that is missing itself
  const areDirectories = new Map<string, boolean>();
  const isDirectory = (path: string) => {
    const known = areDirectories.get(path) ?? statusAt(path)?.type === "directory";
    areDirectories.set(path, known);
    return known;
  };
  const held = new Map<string, PolicyPlace>();
  for (const each of places) {
    const top = each.isThere ? undefined : writtenAbove(each.path, written);
    if (each.isThere) held.set(each.path, each);
    if (top === undefined) continue;
    const names = components(each.path).slice(components(top).length);
    const ways = names.slice(1).map((_, index) => cleanPath(`${top}/${names.slice(0, index + 1).join("/")}`));
    const first = ways.find((way) => !isDirectory(way)) ?? each.path;
    if (!held.has(first)) held.set(first, { ...each, ...heldPlace(first) });
  }
  return Array.from(held.values());
}

function writtenAbove(path: string, written: readonly PolicyPlace[]): string | undefined {
  return written.find((top) => top.isThere && isAtOrBelow(path, top.path))?.path;
}

/** Where the repositories of the project's submodules are, in whose settings git would find commands. */
function submodules(): PolicyPlace[] {
  const text = readOrdinaryFile(resolve(".gitmodules"), MOST_BYTES);
  if (text === undefined) return [];
  const project = workingDirectory();
  const paths = submodulePaths(textOf(text)).map((path) => resolve(`${path}/.git`));
  return paths.filter((path) => isAtOrBelow(path, project)).map(heldPlace);
}

/** A link that leads nowhere is there: it can't be held, and is not to be taken for one that was made later. */
function heldPlace(path: string): PolicyPlace {
  return { path, isThere: mayExist(path, false) === true };
}

/** Refuses to let the home directory be written, or what it is in: shells execute what is there. */
function checkNotHome(name: string, written: readonly PolicyPlace[], homes: Homes): void {
  const there = written.filter((each) => each.isThere);
  if (there.length === 0) return;
  const own = homes.own.filter((home) => exists(home)).map(realPath);
  const whole = there.find(({ path }) => own.some((home) => isAtOrBelow(home, realPath(path))));
  if (whole === undefined) return;
  throw new HakoError({
    code: "config",
    message: `policy ${name}: your home directory, ${own[0]}, would be written: it is at or below ${whole.path}`,
    hint: "change to the directory of a project",
  });
}
