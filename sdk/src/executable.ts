import { accessSync, constants, existsSync, statSync } from "node:fs";
// by name of the module: bundlers would put their own search in place of `createRequire`
import * as modules from "node:module";
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
export function notStarted(
  executable: string,
  cwd: string | URL | undefined,
  cause: Error & { code?: string },
): SandboxError {
  const { code = "" } = cause;
  const wrong = WRONG_WORDS[code];
  if (wrong !== undefined)
    return new SandboxError("usage", `${wrong}: ${cause.message}`, undefined, { cause });
  const missing = (what: string, hint?: string) => new SandboxError("not-found", what, hint, { cause });
  // the kernel says the same of both
  if (cwd !== undefined && !existsSync(cwd)) return missing(`working directory ${cwd} does not exist`);
  if (cwd !== undefined && !statSync(cwd).isDirectory())
    return missing(`working directory ${cwd} is no directory`);
  if (!existsSync(executable)) return missing(`${executable} does not exist`, INSTALL);
  return new SandboxError("system", `${executable} can't be started: ${cause.message}`, undefined, { cause });
}

/** What no process can be given, by the code of the error that says so. */
const WRONG_WORDS: Readonly<Record<string, string>> = {
  E2BIG: "command and variables are too long",
  ERR_INVALID_ARG_VALUE: "a word has a byte that none may have",
};

const INSTALL =
  "npm install @hako-runtime/hako without --omit=optional, put hako into PATH, or set HAKO_EXECUTABLE";

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
  return searches()
    .flatMap((require) =>
      libcs.map((libc) => resolved(require, `${SCOPE}/linux-${machine}${libc}/bin/${NAME}`)),
    )
    .find((file) => file !== undefined && isExecutable(file));
}

/** From where packages are looked for: the library, or the program that it was bundled into; and the main package, where none sees but its own dependencies. */
function searches(): NodeJS.Require[] {
  // bundled as CommonJS it has no URL
  const own = [import.meta.url as string | undefined, process.argv[1]]
    .filter((from) => from !== undefined && /^(file:|\/)/.test(from))
    .map((from) => modules.createRequire(from as string));
  const mains = own.map((require) => resolved(require, `${SCOPE}/hako/package.json`));
  return [...own, ...mains.filter((main) => main !== undefined).map((main) => modules.createRequire(main))];
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
