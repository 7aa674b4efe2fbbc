import { HakoError } from "../base/errors";
import { exists } from "../linux/file/file";
import { openToLook } from "../linux/file/path";
import { dirname, resolve } from "../linux/file/path-text";
import { mountStatusOf } from "../linux/file/stat";
import { effectiveUser } from "../linux/process/rootless";

const STATE_ERRNOS = new Set(["ENOSPC", "EDQUOT", "EROFS", "EACCES", "EPERM", "EIO"]);
/** The calls that hako makes on files of the state directory. Another call on a path below it is about something else, such as a mount. */
const CALLS = new Set(["open", "read", "write", "mkdir", "mkdirat", "rename", "unlinkat", "fchmod", "bind"]);

/** Adds what is wrong with the state directory to an error that comes from one of its files. Other errors are returned unchanged. */
export function explainStateDirectory(root: string, error: HakoError): HakoError {
  const directory = resolve(root);
  const found = causes(error).find(
    ({ path, errno, syscall }) =>
      STATE_ERRNOS.has(errno ?? "") && CALLS.has(syscall ?? "") && isOf(directory, syscall, path),
  );
  if (found === undefined || causes(error).some(({ hint }) => hint !== undefined)) return error;
  const message = `state directory ${directory}`;
  return error.with({ message, hint: hintFor(found.errno, directory), cause: error });
}

function causes(error: HakoError): HakoError[] {
  const found: HakoError[] = [];
  for (let each: unknown = error; each instanceof HakoError; each = each.cause) found.push(each);
  return found;
}

/** Whether a path is the state directory, lies in it, or is a directory above it that had to be made. */
function isOf(directory: string, syscall: string | undefined, path = ""): boolean {
  const made = syscall === "mkdir" || syscall === "mkdirat";
  return `${path}/`.startsWith(`${directory}/`) || (made && directory.startsWith(`${path}/`));
}

function hintFor(errno: string | undefined, directory: string): string {
  switch (errno) {
    case "ENOSPC": {
      const full = statusNear(directory)?.full;
      const what =
        full === "inodes"
          ? "inodes: see df -i"
          : full === "blocks"
            ? "space: see df"
            : "space or inodes: see df and df -i";
      return `its file system has no more ${what} ${directory}; free some, or choose another --root`;
    }
    case "EDQUOT":
      return `user ${effectiveUser()}'s quota there is used up; free some, or choose another --root`;
    case "EROFS":
      return "its file system is read-only: choose another --root";
    case "EIO":
      return "its disk fails: see the kernel's log (dmesg)";
    default:
      return `user ${effectiveUser()} may not write there: choose another --root, or set XDG_RUNTIME_DIR`;
  }
}

function statusNear(directory: string): ReturnType<typeof mountStatusOf> | undefined {
  let path = directory;
  while (path !== "/" && !exists(path)) path = dirname(path);
  using file = openToLook(path);
  if (file === undefined) return undefined;
  return mountStatusOf(file);
}
