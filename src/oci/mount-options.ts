import { nearestWord } from "../base/nearest";
import { ATTR, type Propagation } from "../linux/mount/mount-calls";
import type { Mount } from "./config";

/** What one option of a mount means. */
interface Effect {
  set?: number;
  clear?: number;
  /** It is also for all mounts below this one. */
  recursive?: boolean;
  propagation?: Propagation;
  bind?: "bind" | "rbind";
  /** A flag of the superblock: a new file system gets it by this name. */
  superblock?: string;
  /** The opposite of a flag of the superblock, which new file systems have anyway. */
  notSuperblock?: string;
  /** A symbolic link in the source, or in the target, is not followed: the link itself is bound, or mounted on. */
  nofollow?: "source" | "target";
  copyUp?: boolean;
  remount?: boolean;
  idMap?: "mount" | "tree";
}

/** Attributes by the option that sets them and the option that clears them. */
const ATTRIBUTES: readonly (readonly [set: string, clear: string, bit: number])[] = [
  ["ro", "rw", ATTR.RDONLY],
  ["nosuid", "suid", ATTR.NOSUID],
  ["nodev", "dev", ATTR.NODEV],
  ["noexec", "exec", ATTR.NOEXEC],
  ["nodiratime", "diratime", ATTR.NODIRATIME],
  ["nosymfollow", "symfollow", ATTR.NOSYMFOLLOW],
];

/**
 * How access times are kept: one group of bits, of which one value holds. relatime is 0, and the kernel's default: norelatime and
 * nostrictatime mean it.
 */
const ACCESS_TIMES: readonly (readonly [name: string, bits: number])[] = [
  ["noatime", ATTR.NOATIME],
  ["atime", 0],
  ["relatime", 0],
  ["norelatime", 0],
  ["strictatime", ATTR.STRICTATIME],
  ["nostrictatime", 0],
];

const PROPAGATIONS: readonly Propagation[] = ["private", "shared", "slave", "unbindable"];
const SUPERBLOCK = [
  "sync",
  "async",
  "dirsync",
  "mand",
  "nomand",
  "lazytime",
  "nolazytime",
  "iversion",
  "silent",
];

const OTHERS: readonly (readonly [name: string, effect: Effect])[] = [
  ["defaults", {}],
  ["bind", { bind: "bind" }],
  ["rbind", { bind: "rbind" }],
  ["remount", { remount: true }],
  ["tmpcopyup", { copyUp: true }],
  ["idmap", { idMap: "mount" }],
  ["ridmap", { idMap: "tree" }],
  ["noiversion", { notSuperblock: "iversion" }],
  ["loud", { notSuperblock: "silent" }],
  ["src-nofollow", { nofollow: "source" }],
  ["dest-nofollow", { nofollow: "target" }],
];

/** Mount options that are not the file system's own: the table of the runtime spec, tmpcopyup of runc, and nofollow and idmap of crun. */
export const MOUNT_OPTIONS: ReadonlyMap<string, Effect> = allOptions();

/** Plain loops: with lists of lists every start took a third of a millisecond longer, twice. */
function allOptions(): Map<string, Effect> {
  const all = new Map<string, Effect>();
  for (const [name, effect] of OTHERS) all.set(name, effect);
  for (const [set, clear, bit] of ATTRIBUTES) {
    all.set(set, { set: bit });
    all.set(clear, { clear: bit });
    all.set(`r${set}`, { set: bit, recursive: true });
    all.set(`r${clear}`, { clear: bit, recursive: true });
  }
  for (const [name, bits] of ACCESS_TIMES) {
    all.set(name, { set: bits, clear: ATTR.ATIME });
    all.set(`r${name}`, { set: bits, clear: ATTR.ATIME, recursive: true });
  }
  for (const propagation of PROPAGATIONS) {
    all.set(propagation, { propagation });
    all.set(`r${propagation}`, { propagation, recursive: true });
  }
  for (const name of SUPERBLOCK) all.set(name, { superblock: name });
  return all;
}

interface Attributes {
  set: number;
  clear: number;
}

interface Plan {
  bind: "bind" | "rbind" | undefined;
  remount: boolean;
  copyUp: boolean;
  /** Owners are mapped: for the mount itself, or for all mounts below it too. */
  idMap: "mount" | "tree" | undefined;
  /** The maps in crun's form; undefined where config.json has uidMappings and gidMappings. */
  idMaps: string | undefined;
  /** Attributes of the mount itself (`own`), and of it with all mounts below it (`recursive`). */
  own: Attributes;
  recursive: Attributes;
  propagation: { propagation: Propagation; recursive: boolean }[];
  superblock: string[];
  nofollow: Set<"source" | "target">;
  /** Options that only the file system understands. */
  data: string[];
}

/** The options of a mount, sorted by what has to be done with them. */
export type MountPlan = Readonly<Plan>;

/** Plans by their lists of options: several readers ask for the plan of one mount, which is made once. */
const plans = new WeakMap<readonly string[], MountPlan>();

/** Sorts the options of a mount; where two contradict each other, the later one is right. */
export function planOf(options: readonly string[]): MountPlan {
  const known = plans.get(options);
  if (known !== undefined) return known;
  const made = sorted(options);
  plans.set(options, made);
  return made;
}

function sorted(options: readonly string[]): Plan {
  const plan: Plan = {
    bind: undefined,
    remount: false,
    copyUp: false,
    idMap: undefined,
    idMaps: undefined,
    own: { set: 0, clear: 0 },
    recursive: { set: 0, clear: 0 },
    propagation: [],
    superblock: [],
    nofollow: new Set(),
    data: [],
  };
  for (const option of options) {
    const effect = MOUNT_OPTIONS.get(option);
    if (effect === undefined) {
      if (mapsOwners(plan, option)) continue;
      // an escaped comma belongs to a directory's name (overlayfs)
      plan.data.push(...option.split(/(?<!\\),/).filter((part) => part !== ""));
      continue;
    }
    const { set = 0, clear = 0, recursive = false } = effect;
    const attributes = recursive ? plan.recursive : plan.own;
    attributes.set = (attributes.set & ~clear) | set;
    attributes.clear = (attributes.clear & ~set) | clear;
    if (effect.propagation !== undefined)
      plan.propagation.push({ propagation: effect.propagation, recursive });
    if (effect.superblock !== undefined) plan.superblock.push(effect.superblock);
    if (effect.notSuperblock !== undefined)
      plan.superblock = plan.superblock.filter((name) => name !== effect.notSuperblock);
    if (effect.nofollow !== undefined) plan.nofollow.add(effect.nofollow);
    // callers that give both bind and rbind mean rbind
    if (plan.bind !== "rbind") plan.bind = effect.bind ?? plan.bind;
    plan.remount ||= effect.remount === true;
    plan.copyUp ||= effect.copyUp === true;
    plan.idMap = effect.idMap ?? plan.idMap;
  }
  return plan;
}

/**
 * Options of cgroup file systems (kernel/cgroup/cgroup.c, cgroup-v1.c). They are ignored: a container gets directories of the host's
 * hierarchies, which have the host's options.
 */
const CGROUP_OPTIONS: ReadonlySet<string> = new Set([
  "nsdelegate",
  "favordynmods",
  "memory_localevents",
  "memory_recursiveprot",
  "memory_hugetlb_accounting",
  "pids_localevents",
  "all",
  "none",
  "clone_children",
  "cpuset_v2_mode",
  "noprefix",
  "release_agent",
  "xattr",
  "name",
]);

/** Whether cgroup file systems have this option. */
export function isCgroupOption(option: string): boolean {
  return CGROUP_OPTIONS.has(option.replace(/=.*/s, ""));
}

/** Options of volumes that podman (4.3) hands on in config.json although podman itself has obeyed them. */
export const VOLUME_OPTIONS: readonly string[] = ["copy", "nocopy"];

const OWNERS = /^(r?)idmap=(.*)$/s;

/** Reads crun's `idmap=MAPS` and `ridmap=MAPS` into the plan; false for every other option. Without "=" it is a row of the table above. */
function mapsOwners(plan: Plan, option: string): boolean {
  const [, recursive, maps] = OWNERS.exec(option) ?? [];
  if (recursive === undefined) return false;
  plan.idMap = recursive === "r" ? "tree" : "mount";
  plan.idMaps = maps === "" ? undefined : maps;
  return true;
}

/** Whether a mount is a bind mount: by its type or by an option. With `remount` it changes a mount that is there already. */
export function isBind({ type, options }: Pick<Mount, "type" | "options">): boolean {
  return type === "bind" || planOf(options ?? []).bind !== undefined;
}

/** Whether a mount's options make it read-only, alone or with all that is mounted below it. */
export function isReadOnlyMount({ options = [] }: Pick<Mount, "options">): boolean {
  const { own, recursive } = planOf(options);
  return ((own.set | recursive.set) & ATTR.RDONLY) !== 0;
}

/** What others call some of them. */
const OTHERS_WORDS: Readonly<Record<string, string>> = {
  readonly: "ro",
  "read-only": "ro",
  recursive: "rbind",
};

/** The option of a mount that was meant, perhaps, of those that are known. */
export function nearestMountOption(
  word: string,
  known: readonly string[] = [...MOUNT_OPTIONS.keys()],
): string | undefined {
  const lower = word.toLowerCase();
  const other = Object.hasOwn(OTHERS_WORDS, lower) ? OTHERS_WORDS[lower] : undefined;
  const others = other !== undefined && known.includes(other) && !known.includes(lower);
  return others ? other : nearestWord(word, known);
}
