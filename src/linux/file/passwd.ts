import { readText } from "./file";

/** As many as a row of passwd(5) has; group(5) has fewer. */
const FIELDS = 7;

/**
 * The rows of a file such as /etc/passwd in which a word occurs, split into fields, one at a time: an image's file may have
 * millions of rows, and all of them at once would take many times its size.
 */
export function* rowsWith(text: string, word: string): Generator<string[]> {
  for (let at = text.indexOf(word); at >= 0; ) {
    const start = text.lastIndexOf("\n", at) + 1;
    const newline = text.indexOf("\n", at);
    const end = newline < 0 ? text.length : newline;
    if (text[start] !== "#") yield text.slice(start, end).split(":", FIELDS);
    at = text.indexOf(word, end);
  }
}

/** The first row that has this field and that `isIt` accepts. */
export function findRow(text: string, field: string, isIt: (row: string[]) => boolean): string[] | undefined {
  for (const row of rowsWith(text, `${field}:`)) if (isIt(row)) return row;
  return undefined;
}

/** A user's home directory as /etc/passwd has it; "/" if it has none. */
export function homeInPasswd(passwd: string, uid: number): string {
  return findRow(passwd, String(uid), (row) => row[2] === String(uid) && !!row[5])?.[5] ?? "/";
}

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
