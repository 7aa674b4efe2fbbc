import { HakoError } from "../../../base/errors";
import { readFormat } from "../../../linux/file/executable";
import { exists } from "../../../linux/file/file";

/** What the loader is told by who has asked which objects there are: those of glibc and of musl know both. */
const CACHES = ["/etc/ld.so.cache", "/etc/ld-musl-x86_64.path"] as const;

/**
 * The files without which a program of the host's is not executed: itself, its loader, and the shared objects that this finds for it and for
 * `modules`, which it loads itself. The loader is asked: it alone knows the paths.
 */
export function filesOfProgram(path: string, modules: readonly string[] = []): string[] {
  const format = readFormat(path);
  if (format?.kind !== "elf")
    throw new HakoError({ code: "unsupported", message: `${path} is no executable of this machine's`, path });
  const { loader } = format;
  const needed = loader === undefined ? [] : [path, ...modules].flatMap((file) => objectsOf(loader, file));
  const own = loader === undefined ? [path] : [path, loader, ...CACHES.filter(exists)];
  return [...new Set([...own, ...needed])];
}

function objectsOf(loader: string, file: string): string[] {
  const { stdout, stderr, success } = Bun.spawnSync([loader, "--list", file], { env: {} });
  const { found, missing } = listedObjects(stdout.toString());
  if (success && missing === undefined) return found;
  const why = missing === undefined ? stderr.toString().trim() : `${missing} is not there`;
  throw new HakoError({ code: "unsupported", message: `shared objects of ${file}: ${why}`, path: file });
}

/** What a loader says of an executable's objects: "libz.so.1 => /lib/libz.so.1 (0x7f...)", "/lib64/ld-linux.so.2 (0x7f...)". */
export function listedObjects(text: string): { found: string[]; missing: string | undefined } {
  const found = [...text.matchAll(/^\s+(?:\S+ => )?(\/.*) \(0x[0-9a-f]+\)$/gm)].map(([, path = ""]) => path);
  const [, missing] = /^\s*(\S+) => not found$/m.exec(text) ?? [];
  return { found, missing };
}
