import { dirname, isAtOrBelow } from "../../linux/file/path-text";
import { ACCESS_FS, ALL, READ } from "../../linux/process/landlock";

/** A file, or all that is below a directory, and what of Landlock's rights there are over it. */
export interface AllowedPlace {
  path: string;
  access: number;
}

/** What a command is told to read and write; absolute paths without links. */
export interface PlaceWishes {
  hidden: readonly string[];
  /** Those of them that are directories. */
  hiddenDirectories: readonly string[];
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
  const { hidden, hiddenDirectories, written } = wishes;
  const unread = [...hidden, "/dev"];
  const readOnly = [...hidden, ...wishes.protected];
  return [
    ...without("/", READ & ~ACCESS_FS.READ_DIR, unread, entries),
    // who lists a directory lists all below it; the name of a hidden file is seen, as everywhere
    ...without("/", ACCESS_FS.READ_DIR, hiddenDirectories, entries),
    ...DEVICES.filter((path) => !hidden.some((top) => isAtOrBelow(path, top))).map((path) => ({
      path,
      access: USE,
    })),
    ...written.flatMap((path) => [
      ...without(path, READ & ~ACCESS_FS.READ_DIR, hidden, entries),
      ...without(path, ACCESS_FS.READ_DIR, hiddenDirectories, entries),
      ...without(path, WRITE, readOnly, entries),
    ]),
  ];
}

/** Written directories in which nothing is made or removed, and those that aren't listed, for what is below them. */
export function closedDirectories(wishes: PlaceWishes): { unmade: string[]; unlisted: string[] } {
  const { hidden, hiddenDirectories, written } = wishes;
  const above = (places: readonly string[]) => {
    const inside = written.flatMap((top) => places.flatMap((place) => directoriesBetween(top, place)));
    return [...new Set(inside)].toSorted();
  };
  return { unmade: above([...hidden, ...wishes.protected]), unlisted: above(hiddenDirectories) };
}

/** A directory, and those below it on the way to a place; none if that is elsewhere. */
function directoriesBetween(top: string, place: string): string[] {
  if (place === top || !isAtOrBelow(place, top)) return [];
  return [...directoriesBetween(top, dirname(place)), dirname(place)];
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
