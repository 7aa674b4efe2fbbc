// The machine that was measured. A part of scripts/bench.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { readLayout } from "../src/cgroup";

export interface Machine {
  cpu: string;
  processors: number;
  virtual: boolean;
  kernel: string;
  /** "v1", "hybrid" or "v2", as the runtimes see it. */
  cgroups: string;
  libc: string;
  /** Nanoseconds of processor time. */
  pageFault: number;
}

function output(command: string[]): string {
  try {
    const { stdout, stderr } = Bun.spawnSync(command);
    return `${stdout}${stderr}`.trim();
  } catch {
    return ""; // there is no such program
  }
}

/** getconf is glibc's; musl's ldd says what it is. */
function libc(): string {
  const glibc = output(["getconf", "GNU_LIBC_VERSION"]);
  if (glibc.startsWith("glibc")) return glibc;
  const musl = /Version (\S+)/.exec(output(["ldd", "--version"]))?.[1];
  return musl === undefined ? "unknown" : `musl ${musl}`;
}

export function thisMachine(): Machine {
  const cpuinfo = readFileSync("/proc/cpuinfo", "utf8");
  const field = (name: string) => new RegExp(`^${name}\\s*: (.*)$`, "m").exec(cpuinfo)?.[1];
  const fault = output([process.execPath, "run", join(import.meta.dir, "bench-page-fault.ts")]);
  return {
    cpu: field("model name") ?? field("CPU part") ?? process.arch,
    processors: navigator.hardwareConcurrency,
    virtual: /^flags.* hypervisor( |$)/m.test(cpuinfo),
    kernel: readFileSync("/proc/sys/kernel/osrelease", "utf8").trim(),
    cgroups: readLayout().version,
    libc: libc(),
    pageFault: Math.round(Number(fault)),
  };
}
