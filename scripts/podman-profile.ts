// podman's seccomp profile, as it resolves it for a container without further capabilities: of the size that docker's has.
import { existsSync, readFileSync } from "node:fs";

export const PODMAN_PROFILE = "/usr/share/containers/seccomp.json";

interface Condition {
  caps?: string[];
  arches?: string[];
}

interface Entry {
  names: string[];
  action: string;
  errnoRet?: number;
  args?: object[] | null;
  includes?: Condition;
  excludes?: Condition;
}

/** `linux.seccomp` of config.json; undefined where podman's file is not installed. */
export function podmanProfile(): object | undefined {
  if (!existsSync(PODMAN_PROFILE)) return undefined;
  const arch = process.arch === "arm64" ? "arm64" : "amd64";
  const { defaultAction, defaultErrnoRet, syscalls } = JSON.parse(readFileSync(PODMAN_PROFILE, "utf8")) as {
    defaultAction: string;
    defaultErrnoRet: number;
    syscalls: Entry[];
  };
  const applies = ({ includes = {}, excludes = {} }: Entry): boolean =>
    !includes.caps?.length &&
    (!includes.arches?.length || includes.arches.includes(arch)) &&
    !excludes.arches?.includes(arch);
  return {
    defaultAction,
    defaultErrnoRet,
    architectures:
      arch === "arm64"
        ? ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"]
        : ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
    syscalls: syscalls
      .filter(applies)
      .map(({ names, action, errnoRet, args }) => ({ names, action, errnoRet, args: args ?? undefined })),
  };
}
