// The .deb: the executable, its manual and completions, podman's setting, and an AppArmor profile (deb(5), deb-control(5)).
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  copyFileSync,
  cpSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { gzipSync } from "node:zlib";
import { type Build, notices, PACKAGING, PROJECT, REPOSITORY } from "./package-builds";

const SOURCES = join(PACKAGING, "deb");
/** Files that an administrator may change, and that an upgrade leaves then (deb-conffiles(5)). */
const SETTINGS = ["/etc/containers/containers.conf.d/50-hako.conf"];
const COMPLETIONS = {
  bash: "bash-completion/completions/hako",
  zsh: "zsh/vendor-completions/_hako",
  fish: "fish/vendor_completions.d/hako.fish",
} as const;

const DESCRIPTION = [
  " It has runc's command line for podman, docker and containerd, and `hako run",
  " --rootfs` for scripts: what a command may read, write and reach, and limits.",
].join("\n");

type DebBuild = Build & { deb: string };

/** Makes the package in `outdir`; the name of its file. */
export function makeDeb(build: DebBuild, staging: string, outdir: string, quick: boolean): string {
  const root = join(staging, `deb-${build.deb}`);
  layFiles(root, build);
  layControl(root, build);
  const name = `hako_${PROJECT.version}_${build.deb}.deb`;
  // whoever builds it: files belong to root
  const flags = ["--root-owner-group", ...(quick ? ["-Zgzip", "-z1"] : ["-Zxz"])];
  execFileSync("dpkg-deb", [...flags, "--build", root, join(outdir, name)], { stdio: "pipe" });
  return name;
}

function layFiles(root: string, build: DebBuild): void {
  copy(build.executable, join(root, "usr/bin/hako"), 0o755);
  const share = join(root, "usr/share");
  // the texts are the same for all machines: by this one's hako
  const hako = (...args: string[]) => execFileSync(join(dirname(build.executable), "hako"), args);
  write(join(share, "man/man1/hako.1.gz"), compressed(hako("man")));
  for (const [shell, path] of Object.entries(COMPLETIONS))
    write(join(share, path), hako("completion", shell));
  copy(join(SOURCES, "apparmor"), join(share, "hako/apparmor"));
  for (const path of SETTINGS) copy(join(SOURCES, "containers.conf"), join(root, path));
  layDocumentation(join(share, "doc/hako"));
}

function layDocumentation(doc: string): void {
  for (const page of ["README.md", "SECURITY.md"]) copy(join(REPOSITORY, page), join(doc, page));
  const pages = join(REPOSITORY, "docs");
  cpSync(pages, join(doc, "docs"), { recursive: true });
  write(join(doc, "changelog.gz"), compressed(readFileSync(join(REPOSITORY, "CHANGELOG.md"))));
  const license = "hako is under the Apache License 2.0, /usr/share/common-licenses/Apache-2.0.";
  write(join(doc, "copyright"), `${license}\n\n${notices()}`);
  for (const each of readdirSync(join(doc, "docs"), { recursive: true, withFileTypes: true }))
    chmodSync(join(each.parentPath, each.name), each.isDirectory() ? 0o755 : 0o644);
}

function layControl(root: string, { executable, deb }: DebBuild): void {
  const kilobytes = readdirSync(root, { recursive: true, withFileTypes: true })
    .filter((each) => each.isFile())
    .reduce((sum, { parentPath, name }) => sum + Math.ceil(statSync(join(parentPath, name)).size / 1024), 0);
  const fields = {
    Package: "hako",
    Version: PROJECT.version,
    Architecture: deb,
    Maintainer: "The hako project",
    "Installed-Size": kilobytes,
    Depends: `libc6 (>= ${libcOf(executable)})`,
    Recommends: "uidmap",
    Suggests: "podman, criu, qemu-system-x86 | qemu-system-arm",
    Section: "admin",
    Priority: "optional",
    // deb-description(7): a phrase without an article, and lines of at most 80 columns
    Description: `${PROJECT.description.replace(/^An? /, "")}\n${DESCRIPTION}`,
  };
  const control = Object.entries(fields).map(([name, value]) => `${name}: ${value}\n`);
  write(join(root, "DEBIAN/control"), control.join(""));
  write(join(root, "DEBIAN/conffiles"), SETTINGS.map((path) => `${path}\n`).join(""));
  for (const script of ["postinst", "prerm", "postrm"])
    copy(join(SOURCES, script), join(root, "DEBIAN", script), 0o755);
}

/** The newest version of glibc's symbols that an executable asks for. */
function libcOf(executable: string): string {
  const versions = new Set(
    [...readFileSync(executable, "latin1").matchAll(/\0GLIBC_(\d+\.\d+)(?=\0)/g)].map(
      ([, version = ""]) => version,
    ),
  );
  const [newest] = [...versions].sort((a, b) => b.localeCompare(a, "en", { numeric: true }));
  if (newest === undefined) throw new Error(`${executable} asks for no glibc`);
  return newest;
}

function compressed(content: Buffer): Buffer {
  return gzipSync(content, { level: 9 });
}

function write(path: string, content: string | Buffer): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, content, { mode: 0o644 });
}

function copy(from: string, to: string, mode = 0o644): void {
  mkdirSync(dirname(to), { recursive: true });
  copyFileSync(from, to);
  chmodSync(to, mode);
}
