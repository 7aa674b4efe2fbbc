import { accessSync, constants, existsSync } from "node:fs";
import { createRequire } from "node:module";
import { delimiter, join } from "node:path";
import { SandboxError } from "./errors.js";

const NAME = "hako";
/** Where it may be for somebody whose PATH is a service's. */
const USUAL = ["/usr/local/bin", "/usr/bin"];

/**
 * The path of hako's executable: what `HAKO_EXECUTABLE` says, the one of the npm package for this machine (@hako-runtime/linux-x64, ...), or the one in
 * PATH, /usr/local/bin or /usr/bin. Throws a `SandboxError` if there is none.
 */
export function findExecutable(): string {
  if (process.platform !== "linux")
    throw new SandboxError("unsupported", `hako runs on Linux, this is ${process.platform}`);
  const told = process.env.HAKO_EXECUTABLE;
  if (told !== undefined && told !== "") return told;
  const found = ofPackage() ?? inPath();
  if (found !== undefined) return found;
  throw new SandboxError("not-found", "hako is not installed", INSTALL);
}

/** Why hako could not be started. */
export function notStarted(executable: string, cwd: string | undefined, cause: Error): SandboxError {
  const missing = (what: string, hint?: string) => new SandboxError("not-found", what, hint, { cause });
  // the kernel says the same of both
  if (cwd !== undefined && !existsSync(cwd)) return missing(`working directory ${cwd} does not exist`);
  if (!existsSync(executable)) return missing(`${executable} does not exist`, INSTALL);
  return new SandboxError("system", `${executable} can't be started: ${cause.message}`, undefined, { cause });
}

const INSTALL = "npm install @hako-runtime/hako, put hako into PATH, or set HAKO_EXECUTABLE";

/** By process.arch: where glibc is, if it is there. */
const GLIBC: Readonly<Record<string, string>> = {
  x64: "/lib64/ld-linux-x86-64.so.2",
  arm64: "/lib/ld-linux-aarch64.so.1",
};
const SCOPE = "@hako-runtime";

/** The executable itself, not the script that npm puts into node_modules/.bin: a process in between would cost time, and is no caller. */
function ofPackage(): string | undefined {
  const machine = process.arch;
  const glibc = GLIBC[machine];
  if (glibc === undefined) return undefined;
  // npm that doesn't know the field libc installs both
  const libcs = existsSync(glibc) ? ["", "-musl"] : ["-musl", ""];
  const own = createRequire(import.meta.url);
  // where packages see none but their own dependencies, the executable is the main package's
  const main = resolved(own, `${SCOPE}/hako/package.json`);
  const requires = main === undefined ? [own] : [own, createRequire(main)];
  return requires
    .flatMap((require) =>
      libcs.map((libc) => resolved(require, `${SCOPE}/linux-${machine}${libc}/bin/${NAME}`)),
    )
    .find((file) => file !== undefined && isExecutable(file));
}

/** Where a file of a package is; undefined if the package isn't installed. */
function resolved(require: NodeJS.Require, file: string): string | undefined {
  try {
    return require.resolve(file);
  } catch {
    return undefined;
  }
}

function inPath(): string | undefined {
  const directories = [...(process.env.PATH ?? "").split(delimiter), ...USUAL];
  // an empty entry would be the working directory, which may be anybody's
  return directories
    .filter((directory) => directory.startsWith("/"))
    .map((directory) => join(directory, NAME))
    .find(isExecutable);
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
