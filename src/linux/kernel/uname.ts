import { readText } from "../file/file";

/** The numbers that this kernel's release begins with: 6.1.0-18-amd64 is [6, 1]. */
export function kernelRelease(): [major: number, minor: number] {
  const [, major, minor] = /^(\d+)\.(\d+)/.exec(readText("/proc/sys/kernel/osrelease")) ?? [];
  return [Number(major), Number(minor)];
}
