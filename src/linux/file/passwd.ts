import { readText } from "./file";

/** As many as a row of passwd(5) has; group(5) has fewer. */
const FIELDS = 7;

/**
 * Looks at the rows of a file such as /etc/passwd in which a word occurs, split into fields, until one is accepted, which it returns. One at a
 * time: an image's file may have millions of rows, and all of them at once would take many times its size. (No generator: JavaScriptCore
 * compiles what resumes the first one, which takes as long as to read the file.)
 */
export function findRowWith(
  text: string,
  word: string,
  isIt: (row: string[]) => boolean,
): string[] | undefined {
  for (let at = text.indexOf(word); at >= 0; ) {
    const start = text.lastIndexOf("\n", at) + 1;
    const newline = text.indexOf("\n", at);
    const end = newline < 0 ? text.length : newline;
    const row = text[start] === "#" ? undefined : text.slice(start, end).split(":", FIELDS);
    if (row !== undefined && isIt(row)) return row;
    at = text.indexOf(word, end);
  }
  return undefined;
}

/** The first row that has this field and that `isIt` accepts. */
export function findRow(text: string, field: string, isIt: (row: string[]) => boolean): string[] | undefined {
  return findRowWith(text, `${field}:`, isIt);
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
