// What tests of machines share: a kernel, which is fetched once.
import { afterAll } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { Box, execute, HAKO, type Needs, names, needsHako, needsRoot, type Result } from "./support";

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

/** For containers whose writes are the host's. */
export const needsVirtiofsd: Needs =
  existsSync("/usr/lib/qemu/virtiofsd") || existsSync("/usr/libexec/virtiofsd")
    ? undefined
    : "there is no virtiofsd";

/** What is left in a state directory beside the mapping store. */
export function leftIn(root: string): string[] {
  return names(root).filter((name) => name !== "containers-mapping");
}

/** Whether a process has ended, though its parent may not have looked yet. */
export function hasEnded(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.[0] === "Z";
  } catch {
    return true;
  }
}

/** Runs hako where /etc/hako/config.toml has this text; `scratch` is a directory for that. */
export function withSettings(
  text: string,
  scratch: string,
  words: readonly string[],
  env: Record<string, string>,
  timeout?: number,
): Result {
  const line = `
    mount --make-rprivate /
    mount -t tmpfs tmpfs "$SCRATCH"
    mkdir "$SCRATCH/etc" "$SCRATCH/work"
    mount -t overlay -o "lowerdir=/etc,upperdir=$SCRATCH/etc,workdir=$SCRATCH/work" overlay /etc
    mkdir -p /etc/hako
    printf %s "$TEXT" >/etc/hako/config.toml
    exec "$@"`;
  return execute("unshare", ["--mount", "sh", "-euc", line, "sh", HAKO, ...words], {
    env: { ...env, SCRATCH: scratch, TEXT: text },
    ...(timeout === undefined ? {} : { timeout }),
  });
}
