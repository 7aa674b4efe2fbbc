import { HakoError } from "../base/errors";
import { cleanPath, dirname, isAtOrBelow, resolve } from "../linux/file/path-text";
import type { Change } from "./change";
import type { ChangesRecord } from "./record";

/** The changes at or below these paths, with the new directories that they are in; all of them where no path is given. */
export function chosenChanges(
  changes: readonly Change[],
  paths: readonly string[],
  { rootfs }: Pick<ChangesRecord, "rootfs">,
): Change[] {
  if (paths.length === 0) return [...changes];
  const chosen = new Set<Change>();
  for (const text of paths) {
    const path = pathOf(text, rootfs);
    const found = changes.filter((change) => isAtOrBelow(change.path, path));
    if (found.length === 0)
      throw new HakoError({ code: "not-found", message: `nothing was changed at ${path}`, path });
    for (const change of found) chosen.add(change);
  }
  const made = new Map(changes.filter(isNewDirectory).map((change) => [change.path, change]));
  for (const { path } of [...chosen])
    for (let way = dirname(path); way !== "/"; way = dirname(way)) {
      const above = made.get(way);
      if (above !== undefined) chosen.add(above);
    }
  return changes.filter((change) => chosen.has(change));
}

function pathOf(text: string, rootfs: string): string {
  if (text === "") throw HakoError.usage("PATH: empty");
  if (text.startsWith("/")) return cleanPath(text);
  if (rootfs === "/") return resolve(text);
  throw HakoError.usage(`${JSON.stringify(text)}: it must be an absolute path in the container`);
}

/** Whether the host has no directory there, and gets one. */
export function isNewDirectory({ kind, type, from }: Change): boolean {
  return kind !== "removed" && type === "directory" && from?.type !== "directory";
}
