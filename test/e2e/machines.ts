// What tests of machines share: a kernel, which is fetched once.
import { afterAll } from "bun:test";
import { Box, execute, HAKO, type Needs, needsHako, needsRoot, type Result } from "./support";

export const PATH = process.env.PATH ?? "/usr/sbin:/usr/bin:/sbin:/bin";

/** Has the kernel that all tests share. */
export const shared = new Box();
afterAll(() => shared[Symbol.dispose]());

export function environment(cache: string): Record<string, string> {
  return { PATH, XDG_CACHE_HOME: cache, XDG_DATA_HOME: shared.path("data") };
}

export function setUp(cache: string, ...flags: string[]): Result {
  return execute(HAKO, ["machine", "setup", ...flags], { env: environment(cache) });
}

/** Why there can be no machine; asked once, for a kernel is fetched. */
function needsKernel(): Needs {
  if (process.arch !== "x64") return "machines are for x86-64";
  for (const program of ["qemu-system-x86_64", "apt-get", "dpkg-deb"])
    if (Bun.which(program) === null) return `${program} is not installed`;
  const { status, stderr } = setUp(shared.path("cache"), "--download");
  return status === 0 ? undefined : `no kernel can be had: ${stderr.trim()}`;
}

export const needsMachine = needsRoot ?? needsHako ?? needsKernel();
