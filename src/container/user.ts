import { during, type ErrorCode, HakoError } from "../base/errors";
import { textOf } from "../linux/call/bytes";
import { O } from "../linux/call/constants";
import type { Fd } from "../linux/call/fd";
import { readAtMost } from "../linux/file/file";
import { findRow, findRowWith, homeInPasswd } from "../linux/file/passwd";
import { openAt, openIfThere } from "../linux/file/path";
import { fileStatusOf } from "../linux/file/stat";
import type { User } from "../oci/config";

const MAX_ID = 0xffffffff - 1;
const MAX_SIZE = 1 << 24;

/** What other programs take for a number: no name, even if it is none that can be had. */
const LIKE_A_NUMBER = /^\s*[-+]?\d+\s*$/;

/** A number of a user or group: the whole text, within range; anything else is a name. */
function numberOf(text: string): number | undefined {
  if (!/^\d{1,10}$/.test(text)) return undefined;
  const id = Number(text);
  return id <= MAX_ID ? id : undefined;
}

/**
 * A file such as /etc/passwd in a rootfs. Whoever owns that chooses what is there: a device is not opened, and a file of the
 * kernel's, which may wait or be emptied by reading, has no size.
 */
function textIn(root: Fd, path: string): string {
  using place = openIfThere(root, path, O.PATH);
  if (place === undefined) return "";
  const { type, size } = fileStatusOf(place);
  if (type !== "file" || size === 0) return "";
  if (size > MAX_SIZE) {
    throw new HakoError({ code: "config", message: `${path} in the root file system has ${size} bytes` });
  }
  using file = openAt(undefined, place.path, O.RDONLY | O.NONBLOCK);
  return textOf(readAtMost(file, size));
}

/** The home directory of a user of a rootfs; "/" without one. */
export function homeIn(rootfs: string, uid: number): string {
  using root = openAt(undefined, rootfs, O.PATH | O.DIRECTORY);
  let passwd: string;
  try {
    passwd = textIn(root, "/etc/passwd");
  } catch (error) {
    // links in a circle, a size beyond reason: an image without names
    if (error instanceof HakoError) return "/";
    throw error;
  }
  return homeInPasswd(passwd, uid);
}

/**
 * Resolves "user", "user:group" by names or numbers in a rootfs; nothing is root. What looks like a number is one, whatever
 * the image's files call a user or a group (CVE-2016-3697). A number that /etc/passwd doesn't know has group 0, as images expect from docker,
 * or with `ownGroup` the group of the same number.
 */
export function userOf(rootfs: string, text: string | undefined, ownGroup = false): User {
  if (text === undefined) return { uid: 0, gid: 0 };
  const [name = "", group, ...more] = text.split(":");
  const failed = (code: ErrorCode, why: string) =>
    new HakoError({ code, message: `--user ${JSON.stringify(text)}: ${why}` });
  const wrong = (why: string) => failed("usage", why);
  const missing = (kind: "user" | "group", what: string, file: string) =>
    failed("config", `no ${kind} ${JSON.stringify(what)} in the root file system's ${file}`);
  if (name === "" || group === "" || more.length > 0) throw wrong("is not USER or USER:GROUP");
  const number = numberOf(name);
  const groupNumber = numberOf(group ?? "");
  // all is said: the image's files, which may be another user's, need not be read
  if (number !== undefined && groupNumber !== undefined) return { uid: number, gid: groupNumber };
  using root = openAt(undefined, rootfs, O.PATH | O.DIRECTORY | O.CLOEXEC);
  const textOfNames = (path: string) =>
    during(
      `--user ${JSON.stringify(text)}`,
      () => textIn(root, path),
      ({ errno }) =>
        errno === "EACCES" ? { hint: "numbers of user and group, as 1000:1000, need no names" } : {},
    );
  const passwd = textOfNames("/etc/passwd");
  if (number === undefined && LIKE_A_NUMBER.test(name))
    throw wrong(`the user is not a number up to ${MAX_ID}`);
  const entry = findRow(passwd, String(number ?? name), (row) =>
    number === undefined ? row[0] === name : numberOf(row[2] ?? "") === number,
  );
  const uid = number ?? numberOf(entry?.[2] ?? "");
  if (uid === undefined) throw missing("user", name, "/etc/passwd");
  const groups = textOfNames("/etc/group");
  if (group !== undefined) {
    if (LIKE_A_NUMBER.test(group) && numberOf(group) === undefined)
      throw wrong(`the group is not a number up to ${MAX_ID}`);
    const gid = groupNumber ?? numberOf(findRow(groups, group, (row) => row[0] === group)?.[2] ?? "");
    if (gid === undefined) throw missing("group", group, "/etc/group");
    return { uid, gid };
  }
  const unknown = ownGroup ? uid : 0;
  const gid = entry === undefined ? unknown : (numberOf(entry[3] ?? "") ?? 0);
  return { uid, gid, additionalGids: groupsWith(groups, entry?.[0]) };
}

/** The groups that name a user as their member. */
function groupsWith(groups: string, member: string | undefined): number[] {
  const found = new Set<number>();
  // a list is between commas, so no name has one
  if (!member || member.includes(",")) return [];
  findRowWith(groups, member, ([, , number = "", members = ""]) => {
    const gid = `,${members},`.includes(`,${member},`) ? numberOf(number) : undefined;
    if (gid !== undefined) found.add(gid);
    return false;
  });
  return [...found];
}
