// The executables that build.ts makes, and what packages say of all of them.
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";

export const REPOSITORY = join(import.meta.dir, "..");
/** What packages are made of beside executables. */
export const PACKAGING = join(REPOSITORY, "packaging");

export const PROJECT = JSON.parse(readFileSync(join(REPOSITORY, "package.json"), "utf8")) as {
  version: string;
  description: string;
  license: string;
  dependencies: Record<string, string>;
};

export interface Build {
  executable: string;
  /** In npm's words: package.json's os, cpu and libc. */
  npm: { name: string; cpu: string; libc: "glibc" | "musl" };
  /** Debian's word for the machine; Debian has no musl as its libc. */
  deb: string | undefined;
}

/** By the names of build.ts's targets. */
export const PLATFORMS: Readonly<Record<string, Omit<Build, "executable">>> = {
  x64: { npm: { name: "linux-x64", cpu: "x64", libc: "glibc" }, deb: "amd64" },
  arm64: { npm: { name: "linux-arm64", cpu: "arm64", libc: "glibc" }, deb: "arm64" },
  "x64-musl": { npm: { name: "linux-x64-musl", cpu: "x64", libc: "musl" }, deb: undefined },
  "arm64-musl": { npm: { name: "linux-arm64-musl", cpu: "arm64", libc: "musl" }, deb: undefined },
};

const NATIVE = process.arch === "arm64" ? "arm64" : "x64";

/** Those of `targets`, else the machine's own, in the directory where build.ts has put them. */
export function builds(dist: string, targets: readonly string[] = [NATIVE]): Build[] {
  return targets.map((target) => {
    const platform = PLATFORMS[target];
    if (platform === undefined)
      throw new Error(`unknown target ${target}; one of ${Object.keys(PLATFORMS).join(", ")}`);
    const executable = join(dist, target === NATIVE ? "hako" : `hako-${target}`);
    if (!existsSync(executable))
      throw new Error(`${executable} is not there: npx bun run build.ts --target ${target}`);
    return { ...platform, executable };
  });
}

/** Licences of what is compiled into the executable. */
export function notices(): string {
  const packages = Object.keys(PROJECT.dependencies).filter((name) => name !== "bun");
  const texts = packages.flatMap((name) => {
    const directory = join(REPOSITORY, "node_modules", name);
    const file = ["LICENSE", "LICENSE.md"].map((each) => join(directory, each)).find(existsSync);
    if (file === undefined) throw new Error(`${directory} has no license`);
    return [`== ${name} ${PROJECT.dependencies[name]}`, "", readFileSync(file, "utf8").trim(), ""];
  });
  const bun = `== Bun ${PROJECT.dependencies.bun}`;
  const where = "MIT, with JavaScriptCore (LGPL-2) and others: https://bun.com/docs/project/license";
  return `${["hako's executable has these in it, beside its own code (LICENSE).", "", bun, "", where, "", ...texts].join("\n")}`;
}
