import { readText } from "./file";

/** What the host calls an id of a process's user namespace (user_namespaces(7)); an id that it has no name for stays. */
export function hostId(pid: number, kind: "uid" | "gid", id: number): number {
  return mappedId(pid, kind, id) ?? id;
}

/** Whether anybody has this id in a process's user namespace. */
export function isMapped(pid: number, kind: "uid" | "gid", id: number): boolean {
  return mappedId(pid, kind, id) !== undefined;
}

function mappedId(pid: number, kind: "uid" | "gid", id: number): number | undefined {
  for (const line of readText(`/proc/${pid}/${kind}_map`).split("\n")) {
    const [inside = -1, outside = -1, size = 0] = line.trim().split(/\s+/).map(Number);
    if (id >= inside && id < inside + size) return outside + id - inside;
  }
  return undefined;
}
