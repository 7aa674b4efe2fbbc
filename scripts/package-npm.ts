// npm packages: one with the executable for each platform, and one that asks for all of them as optional dependencies, of which npm installs
// those that package.json's os, cpu and libc fit. Nothing runs at installation.
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  copyFileSync,
  cpSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { create } from "tar";
import { type Build, notices, PACKAGING, PLATFORMS, PROJECT, REPOSITORY } from "./package-builds";

const SCOPE = "@hako-runtime";
const SOURCES = join(PACKAGING, "npm");
const { version, license } = PROJECT;

/** Makes the package that people name; the name of its file in `outdir`. */
export async function makeMainPackage(staging: string, outdir: string): Promise<string> {
  const platforms = Object.values(PLATFORMS).map(({ npm }) => [`${SCOPE}/${npm.name}`, version]);
  const directory = layPackage(staging, "hako", {
    description: PROJECT.description,
    // yarn gives a file of another name to node
    bin: { hako: "bin/hako.bin" },
    optionalDependencies: Object.fromEntries(platforms),
  });
  copyExecutable(join(SOURCES, "hako"), directory, "hako.bin");
  copyFileSync(join(SOURCES, "README.md"), join(directory, "README.md"));
  // what READMEs name; the library's, too, which asks for this package
  cpSync(join(REPOSITORY, "docs"), join(directory, "docs"), { recursive: true });
  return await pack(directory, "hako", outdir, 9);
}

/** Makes the package with an executable; the name of its file in `outdir`. */
export async function makePlatformPackage(
  { executable, npm: { name, cpu, libc } }: Build,
  staging: string,
  outdir: string,
  quick: boolean,
): Promise<string> {
  const directory = layPackage(staging, name, {
    description: `The executable of ${SCOPE}/hako for Linux on ${cpu} with ${libc}`,
    cpu: [cpu],
    libc: [libc],
    // yarn keeps packages in archives, and an executable has to be a file
    preferUnplugged: true,
  });
  copyExecutable(executable, directory);
  writeFileSync(join(directory, "NOTICES"), notices());
  return await pack(directory, name, outdir, quick ? 1 : 9);
}

/** Makes the TypeScript library, which asks for the package that people name; the name of its file in `outdir`. */
export async function makeLibraryPackage(staging: string, outdir: string): Promise<string> {
  const library = join(REPOSITORY, "sdk");
  const manifest = JSON.parse(readFileSync(join(library, "package.json"), "utf8")) as object;
  const optionalDependencies = { [`${SCOPE}/hako`]: version };
  const directory = layPackage(staging, "sdk", { ...manifest, version, optionalDependencies });
  const tsc = join(REPOSITORY, "node_modules/.bin/tsc");
  execFileSync(tsc, ["--project", library, "--outDir", join(directory, "dist")], { stdio: "inherit" });
  copyFileSync(join(library, "README.md"), join(directory, "README.md"));
  return await pack(directory, "sdk", outdir, 9);
}

/** A directory with what all packages have, and with `fields` in package.json. */
function layPackage(staging: string, name: string, fields: object): string {
  const directory = join(staging, `npm-${name}`);
  mkdirSync(directory);
  const manifest = { name: `${SCOPE}/${name}`, version, license, os: ["linux"], ...fields };
  writeFileSync(join(directory, "package.json"), `${JSON.stringify(manifest, null, 2)}\n`);
  copyFileSync(join(REPOSITORY, "LICENSE"), join(directory, "LICENSE"));
  return directory;
}

function copyExecutable(from: string, directory: string, name = "hako"): void {
  const file = join(directory, "bin", name);
  mkdirSync(join(directory, "bin"));
  copyFileSync(from, file);
  chmodSync(file, 0o755);
}

/** As `npm pack` does it and names it, with the compression that is wanted; the same bytes of the same files. */
async function pack(directory: string, name: string, outdir: string, level: number): Promise<string> {
  const file = `${SCOPE.slice(1)}-${name}-${version}.tgz`;
  const options = { file: join(outdir, file), cwd: directory, prefix: "package", gzip: { level } };
  // readers of archives look for package.json first
  const rest = readdirSync(directory).filter((each) => each !== "package.json");
  await create({ ...options, portable: true, noMtime: true }, ["package.json", ...rest.sort()]);
  return file;
}
