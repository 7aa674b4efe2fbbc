import { readText } from "../file/file";

/** A range of ids of a user namespace, and what the namespace above calls the first of them (user_namespaces(7)). */
export interface IdRange {
  containerID: number;
  hostID: number;
  size: number;
}

/** What the host calls an id that one of these ranges maps; undefined if none does. */
export function mappedId(ranges: readonly IdRange[], id: number): number | undefined {
  const range = ranges.find(({ containerID, size }) => id >= containerID && id < containerID + size);
  return range === undefined ? undefined : range.hostID + id - range.containerID;
}

/** Whether one of these ranges maps an id of the host's. */
export function isHostIdOf(ranges: readonly IdRange[], id: number): boolean {
  return ranges.some(({ hostID, size }) => id >= hostID && id < hostID + size);
}

/** What the host calls an id of a process's user namespace; an id that it has no name for stays. */
export function hostId(pid: number, kind: "uid" | "gid", id: number): number {
  return mappedId(idRangesOf(pid, kind), id) ?? id;
}

/** Whether anybody has this id in a process's user namespace. */
export function isMapped(pid: number, kind: "uid" | "gid", id: number): boolean {
  return mappedId(idRangesOf(pid, kind), id) !== undefined;
}

/** The maps of a process's user namespace. */
export function idRangesOf(pid: number | "self", kind: "uid" | "gid"): IdRange[] {
  return readText(`/proc/${pid}/${kind}_map`)
    .trim()
    .split("\n")
    .map((line) => line.trim().split(/\s+/).map(Number))
    .map(([containerID = -1, hostID = -1, size = 0]) => ({ containerID, hostID, size }));
}
