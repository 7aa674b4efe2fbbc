import { isAtOrBelow } from "../../linux/file/path-text";
import { ACCESS_FS, ALL, READ } from "../../linux/process/landlock";

/** A file, or all that is below a directory, and what of Landlock's rights there are over it. */
export interface AllowedPlace {
  path: string;
  access: number;
}

/** What a command is told to read and write; absolute paths without links. */
export interface PlaceWishes {
  hidden: readonly string[];
  written: readonly string[];
  protected: readonly string[];
}

/** An entry of a directory, so that a test can say it. */
export interface PlaceEntry {
  name: string;
  isLink: boolean;
}

/** What is in a directory; nothing where this user may not look. */
export type Entries = (directory: string) => readonly PlaceEntry[];

/** Devices that everybody may use. Others, terminals and shared memory of the host's among them, are not opened. */
const DEVICES = ["null", "zero", "full", "random", "urandom", "tty"].map((name) => `/dev/${name}`);
const USE = ACCESS_FS.READ_FILE | ACCESS_FS.WRITE_FILE | ACCESS_FS.IOCTL_DEV;
/** All but new device nodes. */
const WRITE = ALL & ~(ACCESS_FS.MAKE_CHAR | ACCESS_FS.MAKE_BLOCK | ACCESS_FS.IOCTL_DEV);

/** The places that a command may use, of all that there are. */
export function allowedPlaces(wishes: PlaceWishes, entries: Entries): AllowedPlace[] {
  const { hidden, written } = wishes;
  const unread = [...hidden, "/dev"];
  const readOnly = [...hidden, ...wishes.protected];
  return [
    ...without("/", READ & ~ACCESS_FS.READ_DIR, unread, entries),
    ...without("/", ACCESS_FS.READ_DIR, hidden, entries),
    ...DEVICES.filter((path) => !hidden.some((top) => isAtOrBelow(path, top))).map((path) => ({
      path,
      access: USE,
    })),
    ...written.flatMap((path) => [
      ...without(path, READ, hidden, entries),
      ...without(path, WRITE, readOnly, entries),
    ]),
  ];
}

/** A tree less some places: where one of these is below a directory, its other entries. A link's target has a path of its own. */
function without(top: string, access: number, places: readonly string[], entries: Entries): AllowedPlace[] {
  const inside = places.filter((place) => isAtOrBelow(place, top));
  if (inside.length === 0) return [{ path: top, access }];
  if (inside.includes(top)) return [];
  return entries(top)
    .filter(({ isLink }) => !isLink)
    .flatMap(({ name }) => without(top === "/" ? `/${name}` : `${top}/${name}`, access, inside, entries));
}
