// Makes packages of executables that were built: a .deb for those of glibc, npm packages for all and of the library, and SHA256SUMS. Called by scripts/package.
import { createHash } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { dirname, join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { type Build, builds } from "./package-builds";
import { makeDeb } from "./package-deb";
import { makeLibraryPackage, makeMainPackage, makePlatformPackage } from "./package-npm";

const MEGABYTE = 1e6;
/** What may be weighed at most, in megabytes: who adds much to the executable shall notice. */
const LIMITS = { executable: 125, ".deb": 46, ".tgz": 58 } as const;

function checkSize(file: string, limit: number): void {
  const megabytes = statSync(file).size / MEGABYTE;
  if (megabytes > limit) throw new Error(`${file} has ${megabytes.toFixed(1)} MB, more than ${limit}`);
  console.log(`${file} ${megabytes.toFixed(1)} MB`);
}

/** As sha256sum(1) prints and checks it. */
function sumOf(directory: string, name: string): string {
  return `${createHash("sha256")
    .update(readFileSync(join(directory, name)))
    .digest("hex")}  ${name}\n`;
}

/** Makes the packages; their names in `made`. What is compressed little (`quick`) has no limit. */
async function fill(made: string, staging: string, all: readonly Build[], quick: boolean): Promise<void> {
  const names = [await makeMainPackage(staging, made), await makeLibraryPackage(staging, made)];
  for (const build of all) {
    if (build.deb !== undefined) names.push(makeDeb({ ...build, deb: build.deb }, staging, made, quick));
    names.push(await makePlatformPackage(build, staging, made, quick));
  }
  for (const name of names)
    checkSize(
      join(made, name),
      quick ? Number.POSITIVE_INFINITY : LIMITS[name.endsWith(".deb") ? ".deb" : ".tgz"],
    );
  writeFileSync(
    join(made, "SHA256SUMS"),
    names
      .sort()
      .map((name) => sumOf(made, name))
      .join(""),
  );
}

/** Makes the directory of all packages, or nothing. */
async function makePackages(all: readonly Build[], outdir: string, quick: boolean): Promise<void> {
  mkdirSync(dirname(outdir), { recursive: true });
  const work = mkdtempSync(`${outdir}-`);
  try {
    const [made, staging] = [join(work, "made"), join(work, "staging")];
    for (const directory of [made, staging]) mkdirSync(directory);
    await fill(made, staging, all, quick);
    renameSync(made, outdir);
  } finally {
    rmSync(work, { recursive: true });
  }
}

const { values } = parseArgs({
  options: {
    target: { type: "string", multiple: true },
    dist: { type: "string", default: "dist" },
    outdir: { type: "string" },
    quick: { type: "boolean", default: false },
  },
});
try {
  const all = builds(values.dist, values.target);
  for (const { executable } of all) checkSize(executable, LIMITS.executable);
  const outdir = resolve(values.outdir ?? join(values.dist, "packages"));
  if (existsSync(outdir)) throw new Error(`${outdir} is there already`);
  await makePackages(all, outdir, values.quick);
} catch (error) {
  console.error(`package: ${error instanceof Error ? error.message : error}`);
  process.exitCode = 1;
}
