import { during, HakoError } from "../base/errors";
import type { UndoStack } from "../base/undo";
import {
  exists,
  hasErrno,
  listNames,
  makeDirectory,
  readText,
  removeDirectory,
  writeValueTo,
} from "../linux/file/file";
import { readMountinfo } from "../linux/mount/mountinfo";
import type { Linux } from "../oci/config";

/** Intel Resource Director Technology by the resctrl file system (config-linux.md "IntelRdt"; filesystems/resctrl.rst). */

export type IntelRdt = NonNullable<Linux["intelRdt"]>;

/** The directories that were made for a container, for its record. They are removed in reverse order. */
export type ResctrlRecord = string[];

const FIELD = "config /linux/intelRdt";

/** The mount point of the resctrl file system; undefined where there is none. */
export function mountedAt(): string | undefined {
  return readMountinfo().find(({ type }) => type === "resctrl")?.mountpoint;
}

/** The mount point of the resctrl file system; an error that names `what` where there is none. */
function mountpoint(what: string): string {
  const found = mountedAt();
  if (found !== undefined) return found;
  throw new HakoError({
    code: "unsupported",
    message: `${what}: no resctrl file system is mounted`,
    hint: "mount -t resctrl resctrl /sys/fs/resctrl, if the processor has it",
  });
}

function linesOf({ l3CacheSchema, memBwSchema, schemata = [] }: IntelRdt): string[] {
  return [l3CacheSchema, memBwSchema, ...schemata].filter(
    (line) => line !== undefined && line !== "",
  ) as string[];
}

/** The directory of a container's class (CLOS). */
export function groupOf({ closID }: IntelRdt, id: string, root: string): string {
  return closID === "/" ? root : `${root}/${closID || id}`;
}

/**
 * Makes the groups of a container, and puts a process into them. Each directory is added to `made` as soon as it is there; it is
 * removed with the container.
 */
export function joinResctrl(
  rdt: IntelRdt,
  id: string,
  pid: number,
  made: ResctrlRecord,
  root = mountpoint(FIELD),
): void {
  const lines = linesOf(rdt);
  const group = groupOf(rdt, id, root);
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
    // a class with a name from config.json is not removed with the container, so a half-made one has to go here
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

/** New schemas of a container's class, by the names of the flags. */
export type SchemaFlags = Readonly<Record<string, string>>;

/**
 * Changes the schemas of a container's class. A container without a class, because its config.json asked for none, gets one of its own
 * with all of its processes; `made` has it before they are in. `undo` takes everything back.
 */
export function updateResctrl(
  { rdt, id, pids, made }: { rdt: IntelRdt | undefined; id: string; pids(): number[]; made: ResctrlRecord },
  flags: SchemaFlags,
  undo: UndoStack,
  root = mountpoint(
    Object.keys(flags)
      .map((flag) => `--${flag}`)
      .join(", "),
  ),
): void {
  const group = groupOf(rdt ?? {}, id, root);
  if (!exists(group)) {
    if (rdt !== undefined) throw new HakoError({ code: "state", message: `${group} has gone`, path: group });
    during(`make ${group}`, () => makeDirectory(group, 0o755));
    undo.defer(group, () => removeGroups([group]));
    made.push(group);
  }
  for (const [flag, line] of Object.entries(flags)) {
    const resource = normalSchema(line).split(":")[0];
    const before = readText(`${group}/schemata`)
      .split("\n")
      .find((each) => normalSchema(each).split(":")[0] === resource);
    during(`--${flag} ${line}`, () => writeValueTo(`${group}/schemata`, `${line}\n`));
    if (before !== undefined)
      undo.defer(`${group}/schemata`, () => writeValueTo(`${group}/schemata`, `${before.trim()}\n`));
  }
  if (rdt === undefined) during(`join ${group}`, () => moveAll(pids, `${group}/tasks`));
}

/** Moves all threads of all processes. It looks again until no thread is new, for threads that are still outside may begin others. */
function moveAll(pids: () => number[], tasks: string): void {
  for (const seen = new Set<string>(); ; ) {
    const threads = pids().flatMap((pid) => namesIfThere(`/proc/${pid}/task`));
    const fresh = threads.filter((thread) => !seen.has(thread));
    if (fresh.length === 0) return;
    for (const thread of fresh) {
      seen.add(thread);
      try {
        writeValueTo(tasks, thread);
      } catch (error) {
        if (!hasErrno(error, "ESRCH")) throw error;
      }
    }
  }
}

function namesIfThere(directory: string): string[] {
  try {
    return listNames(directory);
  } catch (error) {
    if (hasErrno(error, "ENOENT", "ESRCH")) return [];
    throw error;
  }
}

/** A schema in one form: "L3:0=f;1=f" and " L3:1=00f;0=00f" say the same. */
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

/** Checks that a class that is there already has the schemas of config.json. */
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

/** Removes groups in reverse order; missing ones are no error. */
export function removeGroups(made: ResctrlRecord): void {
  for (const group of [...made].reverse()) {
    try {
      removeDirectory(group);
    } catch (error) {
      if (!hasErrno(error, "ENOENT")) throw error;
    }
  }
}
