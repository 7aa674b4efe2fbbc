// scripts/package: each package is installed, used and taken away where nothing of it stays.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import {
  Box,
  e2e,
  execute,
  HAKO,
  needsHako,
  needsProgram,
  REPOSITORY,
  type Result,
  TIME_LIMIT,
} from "./support";
import { throwAway } from "./throw-away";

const NEEDS = [needsHako, needsProgram("dpkg-deb"), needsProgram("npm")];
const CPU = process.arch === "arm64" ? "arm64" : "x64";
const LONG = 4 * TIME_LIMIT;
const ORDINARY = 'setpriv --reuid 12345 --regid 12345 --clear-groups env XDG_RUNTIME_DIR="$PWD/user"';

let directory: string;
const packages = () => join(directory, "packages");
function fileOf(pattern: RegExp): string {
  const name = readdirSync(packages()).find((each) => pattern.test(each));
  if (name === undefined) throw new Error(`no file is ${pattern}`);
  return join(packages(), name);
}

function makePackages(outdir: string, ...words: string[]): Result {
  return execute("scripts/package", ["--dist", dirname(HAKO), "--outdir", outdir, "--quick", ...words], {
    cwd: REPOSITORY,
    timeout: LONG,
    env: { PATH: process.env.PATH ?? "", HOME: process.env.HOME ?? "/root" },
  });
}

beforeAll(() => {
  directory = mkdtempSync("/tmp/hako-e2e-packages-");
  chmodSync(directory, 0o755);
  if (NEEDS.every((lacking) => lacking === undefined))
    expect(makePackages(packages())).toMatchObject({ status: 0, stderr: "" });
}, LONG);
afterAll(() => rmSync(directory, { recursive: true, force: true }));

describe("scripts/package", () => {
  e2e(
    "sums are of all the packages",
    () => {
      expect(execute("sha256sum", ["--check", "--strict", "SHA256SUMS"], { cwd: packages() }).status).toBe(0);
      const listed = readFileSync(join(packages(), "SHA256SUMS"), "utf8").match(/\S+$/gm) ?? [];
      expect([...listed, "SHA256SUMS"].sort()).toEqual(readdirSync(packages()).sort());
    },
    NEEDS,
  );

  e2e(
    "what the packages say of themselves is as package managers have it",
    () => {
      const { stdout } = execute("dpkg-deb", ["--field", fileOf(/\.deb$/), "Description"]);
      const [synopsis = "", ...more] = stdout.trim().split("\n");
      expect(synopsis).toMatch(/^(?!an? |the ).{1,79}$/i);
      for (const line of more) expect(line).toMatch(/^ \S.{1,78}$/);
      const text = execute("tar", ["-xzOf", fileOf(/-hako-[\d.]+\.tgz$/), "package/package.json"]).stdout;
      // yarn starts what has no such name by node
      expect(JSON.parse(text).bin.hako).toEndWith(".bin");
    },
    NEEDS,
  );

  e2e(
    "what can't be made leaves nothing behind",
    () => {
      expect(makePackages(packages())).toMatchObject({
        status: 1,
        stderr: `package: ${packages()} is there already\n`,
      });
      const other = join(directory, "other");
      const missing = makePackages(other, "--target", CPU, "--target", `${CPU}-musl`);
      if (!existsSync(`${HAKO}-${CPU}-musl`))
        expect(missing.stderr).toContain("is not there: npx bun run build.ts");
      expect(makePackages(other, "--target", "mips").stderr).toContain("unknown target mips");
      expect(readdirSync(directory)).toEqual(["packages"]);
    },
    NEEDS,
  );
});

/** All but what dpkg itself writes, with the database of manual pages that it starts, and what others write meanwhile. */
const LISTING =
  "find /etc /usr /var /run -xdev ! -path '/var/lib/dpkg*' ! -path '/var/log/*' ! -path '/var/tmp*' ! -path '/var/cache/*' ! -path '/run/hako*' | sort";

/** With images of its own: the host's are on a file system that is another one here. */
const PODMAN = 'podman --root "$PWD/images" --runroot "$PWD/podman" --storage-driver vfs';

describe(".deb", () => {
  const debs = [...NEEDS, ...["dpkg-reconfigure", "unshare", "setpriv", "podman"].map(needsProgram)];
  const inRoot = (box: Box, script: string) => {
    const cwd = box.path("work");
    mkdirSync(cwd);
    const env = { PATH: process.env.PATH ?? "", HOME: "/root", DEB: fileOf(/\.deb$/) };
    return throwAway(box, cwd, script, env, LONG);
  };

  e2e(
    "is installed, used by root, a user and podman, and purged, and nothing is left",
    () => {
      using box = new Box();
      chmodSync(box.dir, 0o755);
      const { status, stdout, stderr } = inRoot(
        box,
        `
        rm -rf /etc/apparmor.d/abi
        ${LISTING} > before
        dpkg --force-unsafe-io --install "$DEB" > log 2>&1 || { cat log; exit 1; }
        dpkg --verify hako
        command -v hako
        hako run --rootfs / -- echo "as root"
        mkdir -m 700 user && chown 12345:12345 user
        ${ORDINARY} hako run --rootfs / -- echo "as a user"
        zcat /usr/share/man/man1/hako.1.gz > manual && head -1 manual | cut -c 1-8
        bash -c '. /usr/share/bash-completion/completions/hako && complete -p hako'
        stat -c '%U %a %n' /usr/bin/hako /etc/containers/containers.conf.d/50-hako.conf
        ${PODMAN} --runtime hako info --format '{{.Host.OCIRuntime.Path}}'
        ${PODMAN} info --format '{{.Host.OCIRuntime.Name}}' | grep -vxc hako
        test ! -e /etc/apparmor.d/hako && echo "no profile"
        mkdir -p /etc/apparmor.d/abi && touch /etc/apparmor.d/abi/4.0
        dpkg-reconfigure hako 2> loading
        grep -x '  userns,' /etc/apparmor.d/hako
        echo "# changed" >> /etc/containers/containers.conf.d/50-hako.conf
        dpkg --remove hako > log 2>&1 || { cat log; exit 1; }
        test ! -e /etc/apparmor.d/hako && rm -r /etc/apparmor.d/abi
        test ! -e /usr/bin/hako && tail -1 /etc/containers/containers.conf.d/50-hako.conf
        dpkg --purge hako > log 2>&1 || { cat log; exit 1; }
        ${LISTING} | diff before -
        test ! -e /run/hako-seccomp && echo "as before"
        `,
      );
      expect({ status, lines: stdout.trim().split("\n"), stderr }).toEqual({
        status: 0,
        lines: [
          "/usr/bin/hako",
          "as root",
          "as a user",
          ".TH HAKO",
          "complete -o default -F _hako hako",
          "root 755 /usr/bin/hako",
          "root 644 /etc/containers/containers.conf.d/50-hako.conf",
          "/usr/bin/hako",
          "1",
          "no profile",
          "  userns,",
          "# changed",
          "as before",
        ],
        stderr: "",
      });
      const loading = readFileSync(box.path("work/loading"), "utf8");
      if (!existsSync("/sys/module/apparmor/parameters/enabled"))
        expect(loading).toContain(
          "hako: loading /etc/apparmor.d/hako is skipped: this kernel has no AppArmor in force\n",
        );
    },
    debs,
    LONG,
  );
});

/** A registry with the packages that were made, and those of other platforms by their manifests alone, as npm's asks for them. */
class Registry implements Disposable {
  readonly fetched: string[] = [];
  private readonly server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: (request) => this.answer(request),
  });
  readonly url = `http://127.0.0.1:${this.server.port}/`;

  private answer(request: Request): Response {
    const path = decodeURIComponent(new URL(request.url).pathname).slice(1);
    if (path.startsWith("files/")) {
      this.fetched.push(basename(path));
      return new Response(Bun.file(join(packages(), basename(path))));
    }
    const manifest = this.manifest(path);
    if (manifest === undefined) return new Response("{}", { status: 404 });
    const { version } = manifest;
    return Response.json({ name: path, "dist-tags": { latest: version }, versions: { [version]: manifest } });
  }

  private manifest(name: string) {
    const file = `${name.slice(1).replace("/", "-")}-${versionOf()}.tgz`;
    const path = join(packages(), file);
    const dist = { tarball: `${this.url}files/${file}` };
    if (!existsSync(path)) {
      // another platform's
      const [, cpu, musl] = /\/linux-(x64|arm64)(-musl)?$/.exec(name) ?? [];
      if (cpu === undefined) return undefined;
      const libc = [musl === undefined ? "glibc" : "musl"];
      return { name, version: versionOf(), os: ["linux"], cpu: [cpu], libc, dist };
    }
    const text = execute("tar", ["-xzOf", path, "package/package.json"]).stdout;
    const integrity = `sha512-${createHash("sha512").update(readFileSync(path)).digest("base64")}`;
    return { ...JSON.parse(text), dist: { ...dist, integrity } };
  }

  [Symbol.dispose](): void {
    this.server.stop(true);
  }
}

function versionOf(): string {
  return JSON.parse(readFileSync(join(REPOSITORY, "package.json"), "utf8")).version;
}

/** Runs lines of shell in a directory of their own, while the registry answers. */
async function withRegistry(box: Box, registry: Registry, script: string) {
  const cwd = box.path("work");
  mkdirSync(cwd);
  const env = {
    PATH: `${process.env.PATH ?? ""}:${dirname(process.execPath)}`,
    HOME: cwd,
    BUN: process.execPath,
    XDG_RUNTIME_DIR: box.root,
    npm_config_registry: registry.url,
    npm_config_ignore_scripts: "true",
    npm_config_fund: "false",
    npm_config_audit: "false",
    npm_config_update_notifier: "false",
  };
  const child = spawn("bash", ["-euo", "pipefail", "-c", script], {
    cwd,
    env,
    stdio: ["ignore", "pipe", "pipe"],
  });
  const [stdout, stderr, status] = await Promise.all([
    new Response(child.stdout as never).text(),
    new Response(child.stderr as never).text(),
    new Promise((done) => child.on("exit", done)),
  ]);
  return { status, stdout, stderr };
}

describe("npm packages", () => {
  const mine = `hako-runtime-linux-${CPU}-${versionOf()}.tgz`;
  const main = `hako-runtime-hako-${versionOf()}.tgz`;

  e2e(
    "npm installs the machine's own, without scripts, and takes it away",
    async () => {
      using box = new Box();
      using registry = new Registry();
      const result = await withRegistry(
        box,
        registry,
        `
        npm install --loglevel=error @hako-runtime/hako > log 2>&1 || { cat log; exit 1; }
        ls node_modules/@hako-runtime
        grep -o '](docs/' node_modules/@hako-runtime/hako/README.md | wc -l
        for page in $(grep -o '](docs/[^)]*' node_modules/@hako-runtime/hako/README.md | cut -c 3-); do test -s "node_modules/@hako-runtime/hako/$page"; done
        npx --no-install hako --root "$PWD/state" run --rootfs / -- sh -c 'echo "in it"; exit 7' || echo "status $?"
        cd / && "$HOME/node_modules/.bin/hako" --version | grep -c runc; cd "$HOME"
        mkdir inner && (cd inner && ../node_modules/.bin/hako --help | head -1)
        echo kept > file && sh -c 'echo $$ > pid; exec node_modules/.bin/hako --root "$PWD/state" run --rootfs / --preserve-fds 1 -- cat <&3 /dev/fd/3' 3< file
        npm uninstall @hako-runtime/hako > log 2>&1
        find node_modules -name 'hako*'
        npm install --global --prefix "$PWD/global" @hako-runtime/hako > log 2>&1
        global/bin/hako --help | head -1
        npm uninstall --global --prefix "$PWD/global" @hako-runtime/hako > log 2>&1
        find global -name 'hako*'
        `,
      );
      const usage = result.stdout.split("\n").find((line) => line.startsWith("hako "));
      expect(result).toEqual({
        status: 0,
        stdout: ["hako", `linux-${CPU}`, "3", "in it", "status 7", "1", usage, "kept", usage, ""].join("\n"),
        stderr: "",
      });
      expect(new Set(registry.fetched)).toEqual(new Set([main, mine]));
    },
    NEEDS,
    LONG,
  );

  e2e(
    "npm installs the library, which finds the executable",
    async () => {
      using box = new Box();
      using registry = new Registry();
      const program = `
        import { findExecutable, run } from "@hako-runtime/sdk";
        const { exitCode, stdout } = await run({ root: "state", command: ["sh", "-c", "echo in it; exit 7"] });
        console.log(findExecutable().replace(process.cwd(), ""), exitCode, stdout.trim());`;
      const result = await withRegistry(
        box,
        registry,
        `
        npm install --loglevel=error @hako-runtime/sdk > log 2>&1 || { cat log; exit 1; }
        echo '${program}' > program.mjs
        mkdir -m 700 state
        "$BUN" program.mjs
        ls node_modules/@hako-runtime/sdk node_modules/@hako-runtime/sdk/dist/index.*
        npm uninstall @hako-runtime/sdk > log 2>&1
        find node_modules -name 'hako*'
        `,
      );
      const files = ["LICENSE", "README.md", "dist", "package.json"];
      const library = "node_modules/@hako-runtime/sdk";
      expect(result).toEqual({
        status: 0,
        stdout: [
          `/node_modules/@hako-runtime/linux-${CPU}/bin/hako 7 in it`,
          ...[`${library}/dist/index.d.ts`, `${library}/dist/index.js`, "", `${library}:`],
          ...[...files, ""],
        ].join("\n"),
        stderr: "",
      });
    },
    NEEDS,
    LONG,
  );

  e2e(
    "bun installs the machine's own",
    async () => {
      using box = new Box();
      using registry = new Registry();
      const result = await withRegistry(
        box,
        registry,
        `
        echo '{}' > package.json
        "$BUN" add --registry "$npm_config_registry" @hako-runtime/hako > log 2>&1 || { cat log; exit 1; }
        node_modules/.bin/hako --version | grep -c runc
        `,
      );
      expect(result).toEqual({ status: 0, stdout: "1\n", stderr: "" });
      expect(registry.fetched).toContain(mine);
    },
    NEEDS,
    LONG,
  );

  e2e("without its platform's package it says which one is missing; of two C libraries' it takes the machine's", () => {
    using box = new Box();
    const scope = box.path("node_modules/@hako-runtime");
    const lay = (name: string, text: string) => {
      mkdirSync(join(scope, name, "bin"), { recursive: true });
      writeFileSync(join(scope, name, "bin/hako"), text, { mode: 0o755 });
    };
    lay("hako", readFileSync(join(REPOSITORY, "packaging/npm/hako"), "utf8"));
    const shim = join(scope, "hako/bin/hako");
    const glibc = existsSync(CPU === "x64" ? "/lib64/ld-linux-x86-64.so.2" : "/lib/ld-linux-aarch64.so.1");
    const [own, other] = glibc ? ["", "-musl"] : ["-musl", ""];
    expect(execute(shim, [])).toMatchObject({
      status: 125,
      stderr: `hako: the package @hako-runtime/linux-${CPU}${own} is not installed (npm install without --omit=optional, on this machine)\n`,
    });
    lay(`linux-${CPU}${other}`, "#!/bin/sh\necho other\n");
    expect(execute(shim, []).stdout).toBe("other\n");
    lay(`linux-${CPU}${own}`, '#!/bin/sh\necho own "$#" "$2"\n');
    expect(execute(shim, ["a", "b c"]).stdout).toBe("own 2 b c\n");
    // yarn's PnP: side by side, a directory each
    const unplugged = (name: string) =>
      box.path(`unplugged/@hako-runtime-${name}-npm-1.0.0-abc/node_modules/@hako-runtime/${name}`);
    for (const name of ["hako", `linux-${CPU}${other}`, `linux-${CPU}${own}`])
      cpSync(join(scope, name), unplugged(name), { recursive: true });
    expect(execute(join(unplugged("hako"), "bin/hako"), ["a", "b c"]).stdout).toBe("own 2 b c\n");
  }, [needsHako]);
});

test("the shell scripts of packages have no mistakes that shellcheck knows", () => {
  const shellcheck = Bun.which("shellcheck");
  if (shellcheck === null) return console.log("skipped: shellcheck is not installed");
  const scripts = ["deb/postinst", "deb/prerm", "deb/postrm", "npm/hako"].map((each) =>
    join(REPOSITORY, "packaging", each),
  );
  expect(execute(shellcheck, scripts)).toMatchObject({ status: 0, stdout: "" });
});
