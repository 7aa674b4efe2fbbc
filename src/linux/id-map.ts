import { readText } from "./file";

/** A range of ids of a user namespace, and what the namespace above calls the first of them (user_namespaces(7)). */
export interface IdRange {
  containerID: number;
  hostID: number;
  size: number;
}

/** What the host calls an id that these ranges map; one that none maps stays. */
export function mappedId(ranges: readonly IdRange[], id: number): number {
  const range = ranges.find(({ containerID, size }) => id >= containerID && id < containerID + size);
  return range === undefined ? id : range.hostID + id - range.containerID;
}

/** What the host calls an id of a process's user namespace; an id that it has no name for stays. */
export function hostId(pid: number, kind: "uid" | "gid", id: number): number {
  const ranges = readText(`/proc/${pid}/${kind}_map`)
    .trim()
    .split("\n")
    .map((line) => line.trim().split(/\s+/).map(Number))
    .map(([containerID = -1, hostID = -1, size = 0]) => ({ containerID, hostID, size }));
  return mappedId(ranges, id);
}
