import { during, HakoError } from "../../../base/errors";
import { O } from "../../../linux/call/constants";
import type { Fd } from "../../../linux/call/fd";
import { openWithoutLinks } from "../../../linux/file/path";
import { isSameFile, openPlaceOf } from "../../../linux/file/stat";
import { ATTR, attachTree, cloneTree, setMountAttributes } from "../../../linux/mount/mount-calls";
import type { HeldPlace } from "../../interface/driver";

/**
 * Makes places mount points, those above first: the kernel moves, removes and replaces none (rename(2), EBUSY). What is only read is so with all that is
 * mounted below it. Nothing on the way may be a link: somebody outside may have exchanged it since it was looked at.
 */
export function holdPlaces(root: Fd, places: readonly HeldPlace[]): void {
  for (const { path, readonly } of places) {
    during(`protect ${path}`, () => {
      using target = openWithoutLinks(root, path, O.PATH);
      if (!openPlaceOf(target).mountRoot) {
        using tree = cloneTree(target, true);
        attachTree(tree, target);
      }
      // by its path: what was moved before it was held would be held where it is now
      using held = openWithoutLinks(root, path, O.PATH);
      if (!openPlaceOf(held).mountRoot || !isSameFile(held, target))
        throw new HakoError({ code: "system", message: "it was moved meanwhile" });
      if (readonly) setMountAttributes(held, { set: ATTR.RDONLY, recursive: true });
    });
  }
}
