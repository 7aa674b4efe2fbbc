import type { Fd } from "../linux/call/fd";
import { setMode } from "../linux/file/file-at";
import { fileStatusOf } from "../linux/file/stat";

/**
 * The modes of what hako makes in a user's directory, and will remove: with a sticky bit that is nothing to an empty file, nor to a directory that
 * its owner alone writes to. Unlike any other mark it is there from the first moment, also should hako be killed in the next one.
 */
export const MARKED = { directory: 0o1755, file: 0o1644 } as const;

export function isMarked(file: Fd): boolean {
  const { type, mode, size } = fileStatusOf(file);
  return type === "directory"
    ? mode === MARKED.directory
    : type === "file" && mode === MARKED.file && size === 0;
}

export function unmark(file: Fd): void {
  const { mode } = fileStatusOf(file);
  if (mode === MARKED.directory || mode === MARKED.file) setMode(file, mode & 0o777);
}
