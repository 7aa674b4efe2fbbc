import { readText } from "../file/file";

/** One line of /proc/PID/mountinfo (proc(5)); paths are decoded. */
export interface MountEntry {
  id: number;
  parent: number;
  /** Of its file system: "major:minor". */
  device: string;
  /** The directory of the file system that is the root of this mount. */
  root: string;
  mountpoint: string;
  options: string[];
  /** "shared:1", "master:2" … */
  optional: string[];
  type: string;
  source: string;
  superOptions: string[];
}

/** The kernel writes blank, tab, newline, backslash and "#" as \ooo. Other bytes stand for themselves. */
export function decodeOctal(text: string): string {
  if (!text.includes("\\")) return text;
  return text.replaceAll(/\\([0-3][0-7]{2})/g, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 8)),
  );
}

/** The entries of a mountinfo text; a line that is none is passed over. */
export function parseMountinfo(text: string): MountEntry[] {
  const entries: MountEntry[] = [];
  for (const line of text.split("\n")) {
    const entry = parseLine(line);
    if (entry !== undefined) entries.push(entry);
  }
  return entries;
}

function parseLine(line: string): MountEntry | undefined {
  // A mount point may be empty of everything but not hold a blank: optional fields end at the first lone "-".
  const words = line.split(" ");
  const dash = words.indexOf("-", 5);
  if (dash < 0) return undefined;
  const [id, parent, device = "", root, mountpoint, options = ""] = words;
  const [type, source, superOptions] = words.slice(dash + 1).filter((word) => word !== "");
  if (root === undefined || mountpoint === undefined) return undefined;
  if (type === undefined || source === undefined || superOptions === undefined) return undefined;
  return {
    id: Number(id),
    parent: Number(parent),
    device,
    root: decodeOctal(root),
    mountpoint: decodeOctal(mountpoint),
    options: options.split(","),
    optional: words.slice(6, dash),
    type,
    source: decodeOctal(source),
    superOptions: superOptions.split(","),
  };
}

/**
 * The mounts that their mount points lead to: one that another mount was put on is hidden, and so are those below it
 * (namespace.c of the kernel: a path goes on in the last mount at each of its places).
 */
export function visibleMounts(entries: readonly MountEntry[]): MountEntry[] {
  const byId = new Map(entries.flatMap((entry) => (Number.isNaN(entry.id) ? [] : [[entry.id, entry]])));
  const covered = new Set<number>();
  for (const { id, parent, mountpoint } of entries) {
    if (id !== parent && byId.get(parent)?.mountpoint === mountpoint) covered.add(parent);
  }
  if (covered.size === 0) return [...entries];
  const isReached = ({ id, parent, mountpoint }: MountEntry, depth = 0): boolean => {
    const on = byId.get(parent);
    if (on === undefined || on.id === id || depth > entries.length) return true;
    if (covered.has(parent) && on.mountpoint !== mountpoint) return false;
    return isReached(on, depth + 1);
  };
  return entries.filter((entry) => !covered.has(entry.id) && isReached(entry));
}

/** The mounts of this process, or of a file with the same lines. */
export function readMountinfo(file = "/proc/self/mountinfo"): MountEntry[] {
  return parseMountinfo(readText(file));
}
