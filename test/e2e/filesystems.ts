// What the file systems that tests are run on can do.
import { execute } from "./support";

function filesystemOf(path: string): string {
  return execute("stat", ["-f", "-c", "%T", path]).stdout.trim();
}

/** Whose mounts the kernel can map the owners of. */
const MAPPABLE = ["ext2/ext3", "xfs", "btrfs", "f2fs"];

/** Why the owners of files at a path may not be mapped; undefined if they can be. */
export function needsMappedOwners(path: string): string | undefined {
  const filesystem = filesystemOf(path);
  return MAPPABLE.includes(filesystem) ? undefined : `${path} is on ${filesystem}, which may not map owners`;
}

/** Why an overlay can't keep what is written at a path; undefined if it can. */
export function needsUpper(path: string): string | undefined {
  return filesystemOf(path) === "overlayfs"
    ? `${path} is on an overlay, which keeps no other's writes`
    : undefined;
}

/** Why a file at a path can't have a user's extended attributes; undefined if it can. */
export function needsAttributes(path: string): string | undefined {
  const line =
    "import os,sys,tempfile; f=tempfile.NamedTemporaryFile(dir=sys.argv[1]); os.setxattr(f.name,'user.a',b'')";
  return execute("python3", ["-c", line, path]).status === 0
    ? undefined
    : `no extended attributes in ${path}`;
}
