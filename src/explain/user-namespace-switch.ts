import { readText } from "../linux/file/file";

/** Sysctls that forbid user namespaces: the file, the value that forbids them, and what to do. */
const SWITCHES = [
  [
    "/proc/sys/kernel/unprivileged_userns_clone",
    "0",
    "kernel.unprivileged_userns_clone is 0: sysctl -w kernel.unprivileged_userns_clone=1",
  ],
  [
    "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
    "1",
    "AppArmor keeps user namespaces from programs without a profile that allows them: sysctl -w kernel.apparmor_restrict_unprivileged_userns=0, or a profile for hako with userns",
  ],
  [
    "/proc/sys/user/max_user_namespaces",
    "0",
    "user.max_user_namespaces is 0: sysctl -w user.max_user_namespaces=15000",
  ],
] as const;

/** The trimmed value of a file of procfs; undefined where it can't be read. */
export function procfsValue(file: string): string | undefined {
  try {
    return readText(file).trim();
  } catch {
    return undefined;
  }
}

/** What to do about the sysctl that keeps user namespaces from this process, or rights in them; undefined where none does. */
export function userNamespaceSwitch(
  read: (file: string) => string | undefined = procfsValue,
): string | undefined {
  return SWITCHES.find(([file, refusing]) => read(file) === refusing)?.[2];
}
