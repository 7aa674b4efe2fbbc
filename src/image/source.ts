import { HakoError } from "../base/errors";
import { statusAt } from "../linux/file/file";
import type { FileStatus } from "../linux/file/stat";
import type { ImageReference } from "./reference";

/** What an archive is known by: its file as it is now, and which of its images. */
export function sourceKey({ path, tag, text }: ImageReference): string {
  const status = statusAt(path);
  if (status === undefined)
    throw new HakoError({ code: "config", message: `${text} does not exist`, errno: "ENOENT", path });
  const { inode, size, device, modified, changed }: FileStatus = status;
  const parts = [device, inode, size, ...modified, ...changed, tag ?? ""];
  return new Bun.CryptoHasher("sha256").update(parts.join("\n")).digest("hex").slice(0, 40);
}
