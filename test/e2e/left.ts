// What is on the host under names of a test's own: others may make and remove containers at the same time.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { processStatus } from "../../src/linux/process/process";
import { names, PATIENCE_MS } from "./support";

function read(file: string): string {
  try {
    return readFileSync(file, "utf8").replaceAll("\0", " ");
  } catch {
    return ""; // it has ended
  }
}

function cgroupsBelow(dir: string, isOurs: (text: string) => boolean): string[] {
  let entries: import("node:fs").Dirent[];
  try {
    entries = readdirSync(dir, { withFileTypes: true });
  } catch {
    return [];
  }
  return entries
    .filter((entry) => entry.isDirectory())
    .flatMap(({ name }) => {
      const path = join(dir, name);
      return [...(isOurs(name) ? [path] : []), ...cgroupsBelow(path, isOurs)];
    });
}

/** It has ended, and waits for its parent: for the host's init if its own has gone, which may take its time. */
function isZombie(pid: string): boolean {
  return processStatus(Number(pid))?.state === "Z";
}

/**
 * Mounts, cgroups of every hierarchy, processes and network namespaces whose names, command lines, cgroups or environments
 * have one of the marks; and what is in the state directory.
 */
export function leftOnHost(marks: readonly string[], root: string): string[] {
  const isOurs = (text: string): boolean => marks.some((mark) => text.includes(mark));
  const processes = names("/proc").filter((pid) => {
    if (!/^\d+$/.test(pid) || Number(pid) === process.pid) return false;
    if (isZombie(pid)) return false;
    const command = read(`/proc/${pid}/cmdline`);
    if (isOurs(command) || isOurs(read(`/proc/${pid}/cgroup`))) return true;
    return command.startsWith("hako ") && isOurs(read(`/proc/${pid}/environ`));
  });
  const mappings = "containers-mapping";
  return [
    ...read("/proc/self/mountinfo").split("\n").filter(isOurs),
    ...cgroupsBelow("/sys/fs/cgroup", isOurs),
    ...processes.map((pid) => `process ${pid} ${read(`/proc/${pid}/cmdline`)}`),
    ...names("/run/netns").filter(isOurs),
    ...names(root).filter((name) => name !== mappings),
    ...names(join(root, mappings)).map((name) => `mapping ${name}`),
  ];
}

/** Fails unless nothing is left; what is on its way out gets its time. It goes to `known`, and is told only once. */
export async function expectNothingLeft(
  marks: readonly string[],
  root: string,
  known = new Set<string>(),
): Promise<void> {
  let left: string[] = [];
  for (const end = Date.now() + PATIENCE_MS; Date.now() < end; await Bun.sleep(50)) {
    left = leftOnHost(marks, root).filter((name) => !known.has(name));
    if (left.length === 0) return;
  }
  for (const name of left) known.add(name);
  throw new Error(`left behind on the host:\n${left.join("\n")}`);
}
