import { during, HakoError } from "../../../base/errors";
import { bytesOf } from "../../../linux/call/bytes";
import { O } from "../../../linux/call/constants";
import type { Fd } from "../../../linux/call/fd";
import { syscallOn } from "../../../linux/call/syscall";
import { hasErrno } from "../../../linux/file/file";
import { openInRoot } from "../../../linux/file/path";
import { filesystemOf } from "../../../linux/file/stat";
import { FILESYSTEM_MAGIC } from "../../../linux/file/statfs";
import { newFilesystem } from "../../../linux/mount/filesystem";
import { pointer } from "../../../oci/json";

/**
 * The path below /proc/sys of a kernel parameter. As sysctl(8): where the first separator is a slash, dots belong to
 * names; otherwise dots separate and a slash stands for a dot in a name ("net.ipv4.conf.eth0/1.forwarding").
 */
export function sysctlPath(name: string): string {
  const separator = /[./]/.exec(name)?.[0];
  const names =
    separator === "/" ? name.split("/") : name.split(".").map((part) => part.replaceAll("/", "."));
  if (names.some((part) => part === "" || part === "." || part === "..")) {
    throw new HakoError({
      code: "config",
      message: `config /linux/sysctl: ${JSON.stringify(name)} is no kernel parameter`,
    });
  }
  return names.join("/");
}

/** A procfs that nobody else can mount anything into; undefined where the kernel does not allow one more. */
export function privateProc(): Fd | undefined {
  try {
    return newFilesystem({ type: "proc", source: "proc" });
  } catch (error) {
    if (hasErrno(error, "EPERM")) return undefined;
    throw error;
  }
}

/** Writes linux.sysctl; without a private procfs through the container's, which must be one (CVE-2025-52881). */
export function writeSysctls(
  root: Fd,
  sysctls: Readonly<Record<string, string>>,
  proc: Fd | undefined,
): void {
  for (const [name, value] of Object.entries(sysctls)) {
    const path = sysctlPath(name);
    during(`config ${pointer(["linux", "sysctl", name])}: write ${value}`, () => {
      using own =
        proc === undefined ? openInRoot(root, "/proc", O.PATH | O.DIRECTORY | O.NOFOLLOW) : undefined;
      const top = own ?? proc;
      if (top === undefined) return;
      using file = openInRoot(top, `sys/${path}`, O.WRONLY);
      if (filesystemOf(file) !== FILESYSTEM_MAGIC.proc) {
        throw new HakoError({
          code: "system",
          message: `/proc/sys/${path} is not on procfs`,
          errno: "EPERM",
        });
      }
      const text = bytesOf(value);
      syscallOn(`/proc/sys/${path}`, "write", file.number, text, text.length);
    });
  }
}
