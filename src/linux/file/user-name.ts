import { readText } from "./file";
import { findRow } from "./passwd";

/** The name of a user on this host; its number with a # if it has none. */
export function userName(uid: number): string {
  try {
    const [name] = findRow(readText("/etc/passwd"), String(uid), (row) => row[2] === String(uid)) ?? [];
    if (name !== undefined) return name;
  } catch {
    // a host without users' names
  }
  return `#${uid}`;
}
