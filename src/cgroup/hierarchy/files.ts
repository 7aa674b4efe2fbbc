import { type ErrnoName, errnoNumber, errnoText } from "../../base/errno";
import { asHakoError, HakoError } from "../../base/errors";
import { bytesOf } from "../../linux/call/bytes";
import type { Fd } from "../../linux/call/fd";
import { listDirectories, openToWrite, readText, tryReadText, writeAllTo } from "../../linux/file/file";
import { dirname } from "../../linux/file/path-text";
import type { Integer } from "../../oci/json";

/** The errno of an error that a system call has thrown. */
export function errnoOf(thrown: unknown): ErrnoName | undefined {
  return asHakoError(thrown).errno;
}

/** The text of a cgroup file without its last newline. */
export function readValue(file: string): string {
  return readText(file).trimEnd();
}

/** The text of a cgroup file without its last newline; undefined when it can't be read. */
export function tryReadValue(file: string): string | undefined {
  return tryReadText(file)?.trimEnd();
}

/** Writes a cgroup file by one write. The file is never created: a missing one is ENOENT, where O_CREAT would give EACCES. */
export function writeValue(file: string, value: string): void {
  using values = new ValueFile(file);
  values.write(value);
}

/** A cgroup file that takes several values, each by a write of its own. */
export class ValueFile implements Disposable {
  #opened: Fd | undefined;

  constructor(private readonly file: string) {}

  write(value: string): void {
    const { file } = this;
    try {
      this.#opened ??= openToWrite(file);
      writeAllTo(this.#opened.number, bytesOf(value), file);
    } catch (thrown) {
      const errno = errnoOf(thrown);
      const why = errno === undefined ? asHakoError(thrown).message : errnoText(errnoNumber(errno));
      throw new HakoError({
        code: "system",
        message: `write "${value}" to ${file}: ${why}`,
        syscall: "write",
        errno,
        path: file,
      });
    }
  }

  [Symbol.dispose](): void {
    this.#opened?.close();
  }
}

/** Writes a cgroup file; returns the error, or undefined when it worked. */
export function tryWriteValue(file: string, value: string): HakoError | undefined {
  try {
    writeValue(file, value);
    return undefined;
  } catch (thrown) {
    return asHakoError(thrown);
  }
}

/** The errors of a cgroup that has been removed meanwhile, or that this user may not look into. */
const OUT_OF_SIGHT: readonly (ErrnoName | undefined)[] = ["ENOENT", "ENOTDIR", "ENODEV", "EACCES"];

/** The result of `look`; undefined where the cgroup has gone, or this user may not look into it. */
export function inSight<T>(look: () => T): T | undefined {
  try {
    return look();
  } catch (thrown) {
    if (OUT_OF_SIGHT.includes(errnoOf(thrown))) return undefined;
    throw thrown;
  }
}

/** The paths of the directories in a directory; none where it has gone, or this user may not look into it. */
export function subdirectories(dir: string): string[] {
  return inSight(() => listDirectories(dir).map((name) => `${dir}/${name}`)) ?? [];
}

/** The number in a counter or a limit, exactly. Text that is no number is 0. */
export function exactNumber(text: string): Integer {
  const value = Number(text) || 0;
  return Number.isSafeInteger(value) || !/^-?\d+$/.test(text) ? value : BigInt(text);
}

function readLines<T>(file: string, convert: (text: string) => T): Record<string, T> {
  const table: Record<string, T> = {};
  for (const line of (tryReadValue(file) ?? "").split("\n")) {
    const [key, value] = line.split(" ");
    if (key !== undefined && key !== "" && value !== undefined) table[key] = convert(value);
  }
  return table;
}

/** "key value" lines as numbers. */
export function readTable(file: string): Record<string, number> {
  return readLines(file, Number);
}

/** "key value" lines as exact numbers, of any size. */
export function readExactTable(file: string): Record<string, Integer> {
  return readLines(file, exactNumber);
}

/** The directories of a cgroup and of all above it, innermost first. Each of them limits what is in the cgroup. */
export function upwards(directory: string, mountpoint: string): string[] {
  const found = [directory];
  for (let dir = directory; dir !== mountpoint && dir !== "/"; found.push(dir)) dir = dirname(dir);
  return found;
}
