import { HakoError } from "../errors";
import type { Fd } from "../linux/fd";
import { O, openAt, openIfThere } from "../linux/path";
import { readAll } from "../linux/socket";
import { statusOf } from "../linux/stat";
import type { User } from "../oci/config";

const MAX_ID = 0xffffffff - 1;

/** A number of a user or group: the whole text, within range; anything else is a name. */
function numberOf(text: string): number | undefined {
  if (!/^\d{1,10}$/.test(text)) return undefined;
  const id = Number(text);
  return id <= MAX_ID ? id : undefined;
}

/** The rows of a file such as /etc/passwd in a rootfs. */
function rows(root: Fd, path: string): string[][] {
  using file = openIfThere(root, path, O.RDONLY | O.NONBLOCK);
  if (file === undefined || statusOf(file).type !== "file") return [];
  const lines = readAll(file).toString().split("\n");
  return lines.filter((line) => line !== "" && !line.startsWith("#")).map((line) => line.split(":"));
}

/** Resolves "user", "user:group" by names or numbers in a rootfs; nothing is root. */
export function userOf(rootfs: string, text: string | undefined): User {
  if (text === undefined) return { uid: 0, gid: 0 };
  const [name = "", group, ...more] = text.split(":");
  const wrong = (why: string) =>
    new HakoError({ code: "usage", message: `--user ${JSON.stringify(text)}: ${why}` });
  if (name === "" || group === "" || more.length > 0) throw wrong("is not USER or USER:GROUP");
  using root = openAt(undefined, rootfs, O.PATH | O.DIRECTORY | O.CLOEXEC);
  const passwd = rows(root, "/etc/passwd");
  const number = numberOf(name);
  const entry =
    passwd.find((row) => row[0] === name) ??
    (number === undefined ? undefined : passwd.find((row) => row[2] === String(number)));
  const uid = entry === undefined ? number : numberOf(entry[2] ?? "");
  if (uid === undefined) throw wrong(`no user ${JSON.stringify(name)} in the root file system's /etc/passwd`);
  const groups = rows(root, "/etc/group");
  if (group !== undefined) {
    const gid = numberOf(groups.find((row) => row[0] === group)?.[2] ?? group);
    if (gid === undefined)
      throw wrong(`no group ${JSON.stringify(group)} in the root file system's /etc/group`);
    return { uid, gid };
  }
  const member = entry?.[0];
  const additionalGids = groups
    .filter((row) => member !== undefined && (row[3] ?? "").split(",").includes(member))
    .map((row) => numberOf(row[2] ?? ""))
    .filter((gid) => gid !== undefined);
  return { uid, gid: numberOf(entry?.[3] ?? "0") ?? 0, additionalGids };
}
