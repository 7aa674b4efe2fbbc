import { linkText, readText, statusAt } from "../../linux/file/file";

/**
 * How criu names this process's standard streams, which a container gets as they are: pipes by their number, files by mount
 * and inode. Whoever restores the container gives it his own in their place. "" is one that has no such name.
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

/** A terminal is none of these: --shell-job is for it. */
function streamName(stream: number): string {
  const link = linkText(`/proc/self/fd/${stream}`);
  if (link.startsWith("pipe:[")) return link;
  const status = statusAt(`/proc/self/fd/${stream}`);
  // the null device and its like are files to criu
  const isFile = status?.type === "file" || (status?.type === "character" && status.major === 1);
  const mount = /^mnt_id:\s*(\d+)/m.exec(readText(`/proc/self/fdinfo/${stream}`))?.[1];
  if (!isFile || status === undefined || mount === undefined) return "";
  return `file[${Number(mount).toString(16)}:${status.inode.toString(16)}]`;
}
