// Where the kernel can map the owners of mounts.
import { execute } from "./support";

/** Of the file systems that tests are run on. */
const ABLE = ["ext2/ext3", "xfs", "btrfs", "f2fs"];

/** Why the owners of files at a path may not be mapped; undefined if they can be. */
export function needsMappedOwners(path: string): string | undefined {
  const filesystem = execute("stat", ["-f", "-c", "%T", path]).stdout.trim();
  return ABLE.includes(filesystem) ? undefined : `${path} is on ${filesystem}, which may not map owners`;
}
