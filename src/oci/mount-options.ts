import { nearestWord } from "../base/nearest";
import { ATTR, type Propagation } from "../linux/mount/mount";
import type { Mount } from "./config";

/** What one option of a mount means. */
interface Effect {
  set?: number;
  clear?: number;
  /** For all mounts below, too. */
  recursive?: boolean;
  propagation?: Propagation;
  bind?: "bind" | "rbind";
  /** A flag of the superblock, given to new file systems under this name. */
  superblock?: string;
  /** The opposite of one, where that is what a new file system has anyway. */
  notSuperblock?: string;
  /** A symbolic link is itself what is bound, or what is mounted on. */
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

/** Access times: one group of bits, in which relatime is 0; it is also the kernel's default, and so what "not so" means. */
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

/** The options that are not the file system's own; the runtime-spec's table, runc's tmpcopyup, crun's nofollow. */
export const MOUNT_OPTIONS: ReadonlyMap<string, Effect> = allOptions();

/** In plain loops: made of lists of lists it would cost each start a third of a millisecond, twice. */
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
  /** Owners are mapped: of the mount itself, or of all below it too. */
  idMap: "mount" | "tree" | undefined;
  /** How, in crun's words; undefined where config.json says it elsewhere. */
  idMaps: string | undefined;
  /** Of the mount itself, and of it with all below. */
  own: Attributes;
  recursive: Attributes;
  propagation: { propagation: Propagation; recursive: boolean }[];
  superblock: string[];
  nofollow: Set<"source" | "target">;
  /** What only the file system understands. */
  data: string[];
}

/** The options of a mount, sorted by what has to be done with them. */
export type MountPlan = Readonly<Plan>;

/** By the list of options: whoever has to do with a mount asks for its plan, and each is made once. */
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
      // a comma that is escaped belongs to a directory's name (overlayfs)
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
    // the two don't contradict each other: callers say both, and mean the tree
    if (plan.bind !== "rbind") plan.bind = effect.bind ?? plan.bind;
    plan.remount ||= effect.remount === true;
    plan.copyUp ||= effect.copyUp === true;
    plan.idMap = effect.idMap ?? plan.idMap;
  }
  return plan;
}

/**
 * Options of cgroup file systems (kernel/cgroup/cgroup.c, cgroup-v1.c). A container gets directories of the host's hierarchies,
 * and these have the host's.
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

/** Whether a cgroup file system has such an option. */
export function isCgroupOption(option: string): boolean {
  return CGROUP_OPTIONS.has(option.replace(/=.*/s, ""));
}

/** What podman (4.3) hands on with a volume though it is about what podman does with it. */
export const VOLUME_OPTIONS: readonly string[] = ["copy", "nocopy"];

const OWNERS = /^(r?)idmap=(.*)$/s;

/** crun's option with a mapping of its own; without one it is the option without "=". */
function mapsOwners(plan: Plan, option: string): boolean {
  const [, recursive, maps] = OWNERS.exec(option) ?? [];
  if (recursive === undefined) return false;
  plan.idMap = recursive === "r" ? "tree" : "mount";
  plan.idMaps = maps === "" ? undefined : maps;
  return true;
}

/** Whether a mount is of type bind or has the option: with `remount` it changes a mount that is there. */
export function isBind({ type, options }: Pick<Mount, "type" | "options">): boolean {
  return type === "bind" || planOf(options ?? []).bind !== undefined;
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
