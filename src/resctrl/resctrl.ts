import { during, HakoError } from "../errors";
import { exists, hasErrno, makeDirectory, readText, removeDirectory, writeValueTo } from "../linux/file";
import { readMountinfo } from "../linux/mountinfo";
import type { Linux } from "../oci/config";

/** Intel Resource Director Technology by the resctrl file system (config-linux.md "IntelRdt"; filesystems/resctrl.rst). */

export type IntelRdt = NonNullable<Linux["intelRdt"]>;

/** The directories that were made for a container, for its stored record; the last one goes first. */
export type ResctrlRecord = string[];

const FIELD = "config /linux/intelRdt";

/** Where the file system is mounted. */
function mountpoint(): string {
  const found = readMountinfo().find(({ type }) => type === "resctrl");
  if (found !== undefined) return found.mountpoint;
  throw new HakoError({
    code: "unsupported",
    message: `${FIELD}: no resctrl file system is mounted`,
    hint: "mount -t resctrl resctrl /sys/fs/resctrl, if the processor has it",
  });
}

function linesOf({ l3CacheSchema, memBwSchema, schemata = [] }: IntelRdt): string[] {
  return [l3CacheSchema, memBwSchema, ...schemata].filter(
    (line) => line !== undefined && line !== "",
  ) as string[];
}

/**
 * Makes the groups of a container and puts a process into them. `made` gets each directory as soon as it is there and is
 * to be removed with the container.
 */
export function joinResctrl(
  rdt: IntelRdt,
  id: string,
  pid: number,
  made: ResctrlRecord,
  root = mountpoint(),
): void {
  const lines = linesOf(rdt);
  const group = rdt.closID === "/" ? root : `${root}/${rdt.closID || id}`;
  const isOwn = !rdt.closID;
  const existed = exists(group);
  if (!existed && !isOwn && lines.length === 0) {
    throw new HakoError({ code: "config", message: `${FIELD}/closID: ${group} does not exist`, path: group });
  }
  if (!existed) {
    during(`${FIELD}: make ${group}`, () => makeDirectory(group, 0o755), {
      hint: "the processor has a small number of classes",
    });
    if (isOwn) made.push(group);
  }
  try {
    if (existed && lines.length > 0) compare(group, lines);
    else
      for (const line of lines)
        during(`${FIELD}: schema ${line}`, () => writeValueTo(`${group}/schemata`, `${line}\n`));
    during(`${FIELD}: join ${group}`, () => writeValueTo(`${group}/tasks`, String(pid)));
    if (rdt.enableMonitoring === true) monitor(group, id, pid, made);
  } catch (error) {
    // a class of somebody's name that did not come about
    if (!existed && !isOwn) removeGroups([group]);
    throw error;
  }
}

function monitor(group: string, id: string, pid: number, made: ResctrlRecord): void {
  const directory = `${group}/mon_groups/${id}`;
  during(`${FIELD}/enableMonitoring: make ${directory}`, () => makeDirectory(directory, 0o755));
  made.push(directory);
  during(`${FIELD}/enableMonitoring: join ${directory}`, () =>
    writeValueTo(`${directory}/tasks`, String(pid)),
  );
}

/** "L3:0=f;1=f" and " L3:1=00f;0=00f" say the same. */
export function normalSchema(line: string): string {
  const [name = "", values = ""] = line.trim().split(":");
  const parts = values.split(";").map((part) =>
    part
      .trim()
      .toLowerCase()
      .replace(/=\s*0*(?=[0-9a-f])/, "="),
  );
  return `${name.trim()}:${parts
    .filter((part) => part !== "")
    .sort()
    .join(";")}`;
}

/** A class that is there already must be what the config wants. */
function compare(group: string, lines: readonly string[]): void {
  const present = new Set(readText(`${group}/schemata`).split("\n").map(normalSchema));
  const missing = lines.find((line) => !present.has(normalSchema(line)));
  if (missing === undefined) return;
  throw new HakoError({
    code: "config",
    message: `${FIELD}/closID: ${group} exists with another schema than ${JSON.stringify(missing)}`,
    path: group,
  });
}

/** Removes groups, the last one first; those that have gone are no error. */
export function removeGroups(made: ResctrlRecord): void {
  for (const group of [...made].reverse()) {
    try {
      removeDirectory(group);
    } catch (error) {
      if (!hasErrno(error, "ENOENT")) throw error;
    }
  }
}
