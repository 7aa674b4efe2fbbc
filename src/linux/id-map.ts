import { readText } from "./file";

/** What the host calls an id of a process's user namespace (user_namespaces(7)); an id that it has no name for stays. */
export function hostId(pid: number, kind: "uid" | "gid", id: number): number {
  for (const line of readText(`/proc/${pid}/${kind}_map`).split("\n")) {
    const [inside = -1, outside = -1, size = 0] = line.trim().split(/\s+/).map(Number);
    if (id >= inside && id < inside + size) return outside + id - inside;
  }
  return id;
}
