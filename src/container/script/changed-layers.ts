import { HakoError } from "../../base/errors";
import type { ClaimedChanges } from "../../changes/changes-directory";
import type { OverlayRoot } from "../../drivers/interface/driver";
import { shownMounts } from "../../drivers/namespaces/rootfs/overlay-root";
import { statusAt } from "../../linux/file/file";
import { isAtOrBelow } from "../../linux/file/path-text";
import { logWarning } from "../../output/log";
import type { HostView } from "./host-view";
import type { ScriptImage } from "./image-settings";
import type { ScriptValues } from "./script-values";

/** What `--changes` contradicts. */
export function refuseWithChanges(values: Pick<ScriptValues, "discard" | "keep-writes" | "read-only">): void {
  const { discard, "keep-writes": keepWrites, "read-only": readonly } = values;
  const flags = { discard, "keep-writes": keepWrites, "read-only": readonly };
  for (const [flag, value] of Object.entries(flags))
    if (value !== undefined && value !== false)
      throw HakoError.usage(`--changes and --${flag} contradict each other`, CONTRADICTIONS[flag]);
}

const CONTRADICTIONS: Readonly<Record<string, string>> = {
  discard: "hako changes discard DIR throws them away",
  "keep-writes": "both say where writes are kept",
  "read-only": "nothing would be written",
};

/** Has what a run writes kept: one layer for each file system of root's, or for each directory of an ordinary user's. */
export function changedLayers(
  changes: ClaimedChanges,
  rootfs: string,
  image: ScriptImage | undefined,
  view: HostView | undefined,
  points: readonly string[],
): Pick<OverlayRoot, "layers"> {
  if (rootfs !== "/" && (isAtOrBelow(changes.path, rootfs) || isAtOrBelow(rootfs, changes.path)))
    throw HakoError.usage(
      `--changes ${changes.path}: it and ${rootfs} are in each other`,
      "a directory beside it",
    );
  const isOwn = (path: string) => isAtOrBelow(path, changes.path);
  const written = view?.overlay.places?.filter(
    (place) => place.kind === "overlay" && place.readonly !== true,
  );
  for (const place of view?.overlay.places ?? [])
    if (place.kind === "entries" && place.path !== "/")
      logWarning(`what is written directly in ${place.path} is not kept: something is mounted in it`);
  const places =
    written?.map(({ path }) => path) ??
    [rootfs, ...shownMounts(rootfs)].filter((path) => statusAt(path)?.type === "directory" && !isOwn(path));
  return { layers: changes.begin({ rootfs, image: image?.text, places, points }) };
}
