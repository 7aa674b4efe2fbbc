import { linkText, statusAt } from "../../linux/file/file";

/**
 * criu's names of this process's standard streams, which a container gets as they are: pipes by number, files by mount and inode. A restore
 * puts its caller's streams in their place. "" stands for a stream that criu has no name for.
 */
export function callerStreamNames(): string[] {
  return [0, 1, 2].map((stream) => {
    try {
      return streamName(stream);
    } catch {
      return ""; // closed, or there is no procfs
    }
  });
}

/** A terminal has no such name: --shell-job is for those. */
function streamName(stream: number): string {
  const link = linkText(`/proc/self/fd/${stream}`);
  if (link.startsWith("pipe:[")) return link;
  const status = statusAt(`/proc/self/fd/${stream}`);
  // criu treats /dev/null and the like as files
  const isFile = status?.type === "file" || (status?.type === "character" && status.major === 1);
  return isFile ? `file[${status.mount.toString(16)}:${status.inode.toString(16)}]` : "";
}
