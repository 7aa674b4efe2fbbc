import { readText } from "./file";

/** The name of a user on this host; its number with a # if it has none. */
export function userName(uid: number): string {
  try {
    for (const line of readText("/etc/passwd").split("\n")) {
      const [name, , id] = line.split(":");
      if (name !== undefined && id === String(uid)) return name;
    }
  } catch {
    // a host without users' names
  }
  return `#${uid}`;
}
