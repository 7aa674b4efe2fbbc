import { during, HakoError } from "../../../base/errors";
import { O } from "../../../linux/call/constants";
import type { Fd } from "../../../linux/call/fd";
import { openAt, openWithoutLinks } from "../../../linux/file/path";
import { basename, dirname } from "../../../linux/file/path-text";
import { isSameFile, openPlaceOf } from "../../../linux/file/stat";
import { ATTR, attachTree, cloneTree, setMountAttributes } from "../../../linux/mount/mount-calls";
import type { HeldPlace } from "../../interface/driver";

/**
 * Makes places mount points, those above first: the kernel moves, removes and replaces none (rename(2), EBUSY). What is only read is so with all that is
 * mounted below it. A link is held itself, as a mount on it is followed to the same link. No other may be on the way: somebody outside may have exchanged it
 * since it was looked at.
 */
export function holdPlaces(root: Fd, places: readonly HeldPlace[]): void {
  for (const { path, readonly, isLink = false } of places) {
    during(`protect ${path}`, () => {
      using target = openHeld(root, path, isLink);
      if (!openPlaceOf(target).mountRoot) {
        using tree = cloneTree(target, true);
        attachTree(tree, target);
      }
      // by its path: what was moved before it was held would be held where it is now
      using held = openHeld(root, path, isLink);
      if (!openPlaceOf(held).mountRoot || !isSameFile(held, target))
        throw new HakoError({ code: "system", message: "it was moved meanwhile" });
      if (readonly) setMountAttributes(held, { set: ATTR.RDONLY, recursive: true });
    });
  }
}

function openHeld(root: Fd, path: string, isLink: boolean): Fd {
  if (!isLink) return openWithoutLinks(root, path, O.PATH);
  using above = openWithoutLinks(root, dirname(path), O.PATH | O.DIRECTORY);
  return openAt(above, basename(path), O.PATH | O.NOFOLLOW);
}
