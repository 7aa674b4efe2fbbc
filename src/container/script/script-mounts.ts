import { parseBoolean } from "../../base/boolean";
import { HakoError } from "../../base/errors";
import { exists } from "../../linux/file/file";
import { cleanPath, resolve } from "../../linux/file/path-text";
import { ATTR } from "../../linux/mount/mount-calls";
import type { Mount } from "../../oci/config";
import { MOUNT_OPTIONS, nearestMountOption } from "../../oci/mount-options";
import type { ScriptValues } from "./script-values";

/**
 * What `hako run --rootfs` understands in -v and --mount: the words of docker, podman and config.json whose meaning hako can keep. An unknown
 * word is refused, for it may be a mistyped "ro". A word that takes rights away holds for everything that is mounted below the source, too.
 */

/** Options of a tmpfs (tmpfs(5)): with a value, without one, and docker's names for two of them. */
const TMPFS_OPTIONS: readonly string[] = [
  "size",
  "nr_blocks",
  "nr_inodes",
  "mode",
  "uid",
  "gid",
  "huge",
  "mpol",
];
const TMPFS_WORDS: readonly string[] = ["inode32", "inode64", "noswap"];
const TMPFS_NAMES: Readonly<Record<string, string>> = { "tmpfs-size": "size", "tmpfs-mode": "mode" };

/** Words that change nothing: docker's caches have no meaning on Linux, and hako sets no SELinux labels on files. */
const SATISFIED: readonly string[] = ["defaults", "cached", "delegated", "consistent", "nocopy", "z", "Z"];

/** Words of docker and podman for what hako can't do, with what to do instead. */
const REFUSED: Readonly<Record<string, string>> = {
  O: "an overlay is a mount of a bundle's config.json",
  U: "hako changes no owners: chown the source",
  chown: "hako changes no owners: chown the source",
  copy: "hako has no volumes to copy into: type=tmpfs with tmpcopyup copies",
  upperdir: "an overlay is a mount of a bundle's config.json",
  workdir: "an overlay is a mount of a bundle's config.json",
  idmap: "owners are mapped by a bundle's config.json",
  ridmap: "owners are mapped by a bundle's config.json",
  remount: "it would change a mount that is there: that is for a bundle's config.json",
  "volume-opt": "hako has no volumes",
  "volume-driver": "hako has no volumes",
  "volume-label": "hako has no volumes",
  "volume-nocopy": "hako has no volumes",
  "volume-subpath": "hako has no volumes",
  "image-subpath": "hako has no images",
};

/** How one mount differs from a plain one. */
interface Wishes {
  /** Words of config.json that change attributes, by the attribute. */
  attributes: Map<number, string>;
  propagation: string | undefined;
  /** Mounts below the source come along. */
  tree: boolean;
  /** Mounts below the source stay writable though the mount itself is read-only. */
  writableBelow: boolean;
  /** Mounts below the source must be read-only too, or the mount is refused. */
  readonlyBelow: boolean;
  others: string[];
}

type Wrong = (why: string, hint?: string) => HakoError;

function plain(): Wishes {
  return {
    attributes: new Map(),
    propagation: undefined,
    tree: true,
    writableBelow: false,
    readonlyBelow: false,
    others: [],
  };
}

/** Keys of --mount that are no options. */
const KEYS = ["type", "source", "src", "target", "destination", "dst"];
const BIND_KEYS = ["bind-propagation", "bind-recursive", "bind-nonrecursive", "consistency", "relabel"];

function known(type: string): string[] {
  const words = [...MOUNT_OPTIONS.keys(), "readonly", ...SATISFIED, ...KEYS];
  return [
    ...words,
    ...(type === "tmpfs" ? [...TMPFS_OPTIONS, ...TMPFS_WORDS, ...Object.keys(TMPFS_NAMES)] : BIND_KEYS),
  ];
}

/** Notes one word, or NAME=VALUE. A later word wins over an earlier one. */
function take(wishes: Wishes, part: string, type: string, wrong: Wrong): void {
  const equals = part.indexOf("=");
  const name = equals < 0 ? part : part.slice(0, equals);
  const value = equals < 0 ? undefined : part.slice(equals + 1);
  const unknown = () => {
    const near = nearestMountOption(name, known(type));
    const hint = near === undefined ? undefined : `did you mean ${near}?`;
    return wrong(`unknown option ${JSON.stringify(part)}`, hint);
  };
  if (Object.hasOwn(REFUSED, name)) throw wrong(`${name} can't be done`, REFUSED[name]);
  if (["ro", "readonly", "rw"].includes(name)) {
    const yes = truth(part, value, wrong);
    setReadonly(wishes, (name === "rw") !== yes);
  } else if (type === "bind" && takeBind(wishes, name, value, part, wrong)) return;
  else if (type === "tmpfs" && takeTmpfs(wishes, name, value, wrong)) return;
  else if (value !== undefined) throw unknown();
  else if (SATISFIED.includes(name)) return;
  else if (!takeWord(wishes, name, type, wrong)) throw unknown();
}

function truth(part: string, value: string | undefined, wrong: Wrong): boolean {
  const yes = value === undefined ? true : parseBoolean(value);
  if (yes === undefined) throw wrong(`${JSON.stringify(part)} is neither true nor false`);
  return yes;
}

/** "rw" takes back an earlier "ro" and does nothing else: a source that is read-only on the host stays read-only, as with docker. */
function setReadonly({ attributes }: Wishes, readonly: boolean): void {
  attributes.delete(ATTR.RDONLY);
  if (readonly) attributes.set(ATTR.RDONLY, "ro");
}

const PROPAGATION = /^r?(private|shared|slave|unbindable)$/;

/** Notes an option that docker and podman have for bind mounts; false if the word is none of these. */
function takeBind(
  wishes: Wishes,
  name: string,
  value: string | undefined,
  part: string,
  wrong: Wrong,
): boolean {
  if (name === "bind-propagation") {
    if (!PROPAGATION.test(value ?? "")) throw wrong(`${JSON.stringify(part)} is no propagation`, "as rslave");
    wishes.propagation = value;
  } else if (name === "bind-nonrecursive") wishes.tree = !truth(part, value, wrong);
  else if (name === "bind-recursive") {
    if (!["enabled", "disabled", "writable", "readonly"].includes(value ?? ""))
      throw wrong(`${JSON.stringify(part)} is not enabled, disabled, writable or readonly`);
    wishes.tree = value !== "disabled";
    wishes.writableBelow = value === "writable";
    wishes.readonlyBelow = value === "readonly";
  } else if (name === "consistency") {
    if (!["cached", "delegated", "consistent", "default"].includes(value ?? ""))
      throw wrong(`${JSON.stringify(part)} is no consistency`);
  } else if (name === "relabel") {
    if (!["shared", "private"].includes(value ?? "")) throw wrong(`${JSON.stringify(part)} is no label`);
  } else return false;
  return true;
}

/** Notes an option of a tmpfs; false if the word is none of these. */
function takeTmpfs(wishes: Wishes, name: string, value: string | undefined, wrong: Wrong): boolean {
  const option = Object.hasOwn(TMPFS_NAMES, name) ? (TMPFS_NAMES[name] ?? name) : name;
  if (TMPFS_OPTIONS.includes(option)) {
    if (value === undefined || value === "") throw wrong(`${name} needs a value`, `as ${option}=...`);
    wishes.others.push(`${option}=${value}`);
  } else if (value === undefined && TMPFS_WORDS.includes(option)) wishes.others.push(option);
  else return name === "notmpcopyup" && value === undefined;
  return true;
}

/** Notes a mount option of config.json; false if the word is none of these. */
function takeWord(wishes: Wishes, name: string, type: string, wrong: Wrong): boolean {
  const effect = MOUNT_OPTIONS.get(name);
  if (effect === undefined) return false;
  const { bind, propagation, superblock, notSuperblock, copyUp, nofollow } = effect;
  const ofFilesystem = superblock ?? notSuperblock ?? copyUp;
  if (type === "bind" && ofFilesystem !== undefined)
    throw wrong(`${name} is for type=tmpfs`, "a bind mount shows a file system that is there");
  if (type === "tmpfs" && (bind ?? nofollow) !== undefined) throw wrong(`${name} is for type=bind`);
  if (bind !== undefined) wishes.tree = bind === "rbind";
  else if (propagation !== undefined) wishes.propagation = name;
  else if (ofFilesystem !== undefined || nofollow !== undefined) wishes.others.push(name);
  else {
    const { set = 0, clear = 0 } = effect;
    const attribute = clear === ATTR.ATIME ? ATTR.ATIME : set | clear;
    wishes.attributes.delete(attribute);
    wishes.attributes.set(attribute, name);
  }
  return true;
}

/** The mount options of config.json for what was noted. */
function optionsOf(wishes: Wishes, type: string, wrong: Wrong): string[] {
  const { attributes, propagation, tree, writableBelow, readonlyBelow, others } = wishes;
  if (readonlyBelow && attributes.get(ATTR.RDONLY) === undefined)
    throw wrong("bind-recursive=readonly needs ro");
  const words = Array.from(attributes, ([attribute, word]) => {
    if (type === "tmpfs" || (attribute === ATTR.RDONLY && writableBelow)) return word;
    return RESTRICTING.has(word) ? `r${word}` : word;
  });
  const spread = propagation === undefined ? [] : [propagation];
  if (type === "tmpfs") return [...words, ...spread, ...others];
  // nobody has looked at what the host mounts there later: it does not appear in the container, as with docker
  const below = propagation === undefined ? ["rprivate"] : spread;
  return [tree ? "rbind" : "bind", ...words, ...below, ...others];
}

/** Words that take a right away. With an "r" before them they hold for mounts below, too. */
const RESTRICTING: ReadonlySet<string> = new Set(["ro", "nosuid", "nodev", "noexec", "nosymfollow"]);

function mountFrom(
  type: "bind" | "tmpfs",
  source: string,
  destination: string,
  words: readonly string[],
  wrong: Wrong,
): Mount {
  if (cleanPath(destination) === "/") throw wrong("target can't be /", "--rootfs says what is there");
  const wishes = plain();
  for (const word of words) if (word !== "") take(wishes, word, type, wrong);
  return { destination, type, source, options: optionsOf(wishes, type, wrong) };
}

function refusal(flag: string, spec: string, form: string): Wrong {
  return (why, hint = form) =>
    new HakoError({ code: "usage", message: `${flag} ${JSON.stringify(spec)}: ${why}`, hint });
}

/** "type=bind,source=A,target=B,ro": docker's words for a mount. */
export function mountOf(spec: string): Mount {
  const wrong = refusal("--mount", spec, "as type=bind,source=DIR,target=DIR,ro");
  let type = "bind";
  let source: string | undefined;
  let destination: string | undefined;
  const words: string[] = [];
  for (const part of spec.split(",")) {
    const equals = part.indexOf("=");
    const name = equals < 0 ? part : part.slice(0, equals);
    const value = equals < 0 ? "" : part.slice(equals + 1);
    if (name === "type") type = value;
    else if (name === "source" || name === "src") source = value;
    else if (["target", "destination", "dst"].includes(name)) destination = value;
    else words.push(part);
  }
  if (destination === undefined || !destination.startsWith("/"))
    throw wrong("target must be an absolute path");
  if (type === "tmpfs") return mountFrom(type, "tmpfs", destination, words, wrong);
  if (type !== "bind") throw wrong("type must be bind or tmpfs");
  if (source === undefined || source === "") throw wrong("source is missing");
  return mountFrom(type, resolve(source), destination, words, wrong);
}

/** "SOURCE:TARGET[:OPTION,...]": docker's short form of a bind mount. */
export function volumeOf(spec: string): Mount {
  const wrong = refusal("--volume", spec, "as SOURCE:TARGET:ro");
  const [source = "", destination = "", options = "", ...more] = spec.split(":");
  if (source === "" || !destination.startsWith("/") || more.length > 0)
    throw wrong(
      "not SOURCE:TARGET[:ro] with an absolute target",
      spec.startsWith("/") && !spec.includes(":")
        ? `${spec}:${spec} has it at its own place`
        : "--mount takes paths with colons",
    );
  return mountFrom("bind", resolve(source), destination, options.split(","), wrong);
}

/**
 * Shared memory has no limit of its own, but the kernel's for files in memory, as what is written elsewhere: browsers, databases and Python's
 * multiprocessing die of SIGBUS where docker's 64 MiB end.
 */
export function withSharedMemory(mounts: readonly Mount[]): Mount[] {
  return mounts.map((mount) =>
    mount.destination === "/dev/shm"
      ? { ...mount, options: mount.options?.filter((word) => !word.startsWith("size=")) }
      : mount,
  );
}

/** A path of the host's, which is there at the same place and is really written. */
function writtenOf(path: string): Mount {
  const wrong = refusal("--write", path, "as ./build");
  if (path === "") throw wrong("empty");
  const place = resolve(path);
  return mountFrom("bind", place, place, [], wrong);
}

/** "TARGET[:OPTION,...]": docker's short form of a file system in memory, without setuid programs, devices and programs unless it says so. */
export function tmpfsOf(spec: string): Mount {
  const wrong = refusal("--tmpfs", spec, "as /run:size=16M,exec");
  const [destination = "", options = "", ...more] = spec.split(":");
  if (!destination.startsWith("/") || more.length > 0)
    throw wrong("not TARGET[:OPTION,...] with an absolute target");
  return mountFrom("tmpfs", "tmpfs", destination, [...TMPFS_DEFAULTS, ...options.split(",")], wrong);
}

const TMPFS_DEFAULTS = ["noexec", "nosuid", "nodev"];

/** The mounts that flags ask for. */
export function givenMounts(values: Pick<ScriptValues, "mount" | "tmpfs" | "volume" | "write">): Mount[] {
  const { mount, tmpfs, volume, write } = values;
  return [
    ...mount.map((spec) => withSource("--mount", spec, mountOf(spec))),
    ...tmpfs.map(tmpfsOf),
    ...volume.map((spec) => withSource("--volume", spec, volumeOf(spec))),
    ...write.map((path) => withSource("--write", path, writtenOf(path))),
  ];
}

/** Refuses a bind mount whose source is missing, and names its flag: later errors know only the mount's number in config.json. */
function withSource(flag: string, spec: string, mount: Mount): Mount {
  if (mount.type !== "bind" || mount.source === undefined || exists(mount.source)) return mount;
  throw new HakoError({
    code: "config",
    message: `${flag} ${JSON.stringify(spec)}: ${mount.source} does not exist`,
    hint: "make it first",
    path: mount.source,
  });
}
