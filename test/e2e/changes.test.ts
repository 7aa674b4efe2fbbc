// `hako run --changes` and `hako changes`, as root and as an ordinary user.
import { describe, expect } from "bun:test";
import {
  chmodSync,
  chownSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { Home, NEEDS, USER } from "./rootless-home";
import { Box, e2e, execute, executeLater, HAKO, needsHako, needsProgram, type Result } from "./support";
import { owners, Workplace } from "./workplace";

interface Told {
  path: string;
  change: string;
  type: string;
  what: string[];
  noteworthy: string | null;
  conflict: string | null;
  leftOut: string | null;
}

/** A home directory with a project, and a directory for changes beside it. */
class ChangedPlace extends Workplace {
  readonly directory = join(this.home, "changes");

  constructor(owner: Home | Box) {
    super(owner, {
      "project/a": "one\ntwo\n",
      "project/b": "b\n",
      "project/src/file": "text\n",
      "project/src/deep/er/file": "deep\n",
      "project/package.json": '{"name":"x","scripts":{"test":"true"}}\n',
    });
    mkdirSync(this.at(".git/hooks"), { recursive: true });
    symlinkSync("a", this.at("link"));
    this.own(this.project);
  }

  write(path: string, text: string): void {
    const file = join(this.project, path);
    mkdirSync(join(file, ".."), { recursive: true });
    writeFileSync(file, text);
    this.own(file);
  }

  read(path: string): string {
    return readFileSync(join(this.project, path), "utf8");
  }

  at(path: string): string {
    return join(this.project, path);
  }

  /** A line of shell in the project, whose changes are kept. */
  change(line: string, ...flags: string[]): Result {
    return this.sh(["--changes", this.directory, ...flags], line);
  }

  ok(...args: string[]): string {
    const { status, stdout, stderr } = this.hako(...args);
    if (status !== 0) throw new Error(`${args.join(" ")}: ${status}: ${stderr}`);
    return stdout;
  }

  changed(line: string, ...flags: string[]): void {
    const { status, stderr } = this.change(line, ...flags);
    if (status !== 0) throw new Error(`${line}: ${status}: ${stderr}`);
  }

  get told(): Told[] {
    return JSON.parse(this.ok("changes", "--json", this.directory)) as Told[];
  }

  /** Each change below the project: "added src/new file". */
  get list(): string[] {
    const top = `${this.project}/`;
    return this.told
      .filter(({ path }) => path.startsWith(top))
      .map(({ path, change, type, what }) =>
        [change, path.slice(top.length), what.join("+") || type].join(" "),
      );
  }

  /** All that is in the project, with its contents; times are none of it. */
  override get files(): string {
    const line = `find . -printf '%p %y %m %U:%G %l\\n' | sort; find . -type f -exec sha256sum {} + | sort`;
    return execute("sh", ["-c", line], { cwd: this.project }).stdout;
  }
}

const WHO = owners((owner) => new ChangedPlace(owner));

/** Changes of all kinds, and what is told of them. */
const ALL_KINDS = `
  echo three >> a; chmod 600 package.json; rm b; rm -r src/deep; mkdir -p new/sub; echo n > new/sub/file
  mv src/file src/moved; ln -sfn new link; ln new/sub/file new/other; truncate -s 40M sparse; printf x >> sparse
  echo '#!/bin/sh' > .git/hooks/pre-commit; chmod 755 .git/hooks/pre-commit
  touch 'two
lines'; mkdir shut; echo s > shut/file; chmod 555 shut`;
const TOLD_OF_ALL = [
  "added .git/hooks/pre-commit file",
  "changed a content",
  "removed b file",
  "changed link target",
  "added new directory",
  "added new/other file",
  "added new/sub directory",
  "added new/sub/file file",
  "changed package.json mode",
  "added shut directory",
  "added shut/file file",
  "added sparse file",
  "removed src/deep directory",
  "removed src/deep/er directory",
  "removed src/deep/er/file file",
  "removed src/file file",
  "added src/moved file",
  "added two\nlines file",
];

for (const [who, workplace, needs] of WHO) {
  describe(`changes of ${who}`, () => {
    e2e(
      "tell repositories below the project's first",
      () => {
        using place = workplace();
        place.changed(`
          mkdir -p sub/er/.git bare/objects bare/refs && echo x > a-file && echo x > sub/er/.git/config
          echo 'ref: refs/heads/x' > bare/HEAD && echo x > bare/config`);
        const [, ...rows] = place.ok("changes", "show", place.directory).split("\n");
        expect(rows.slice(0, 2).map((row) => row.split(/ {2,}/))).toEqual([
          ["added", place.at("bare/HEAD"), "file", "git takes what it is in for a repository"],
          ["added", place.at("sub/er/.git/config"), "file", "git takes commands from it"],
        ]);
        place.ok("changes", "discard", place.directory);
      },
      needs,
    );
    e2e(
      "are kept, told, and made true",
      () => {
        using place = workplace();
        const { files } = place;
        utimesSync(place.at("src/file"), 1000, 1000);
        place.changed(ALL_KINDS);
        expect(place.files).toBe(files);
        expect(place.list).toEqual(TOLD_OF_ALL);
        expect(place.told.filter(({ conflict }) => conflict !== null)).toEqual([]);
        // what runs by itself is first
        const [, first, ...others] = place.ok("changes", "show", place.directory).split("\n");
        expect(first).toContain(".git/hooks/pre-commit");
        expect(first).toContain("git executes it");
        expect(others.join("\n")).toContain("two\\x0alines");
        // where links lead is told, too
        expect(others.join("\n")).toMatch(/changed +\S+\/link +target a to new\n/);
        expect(place.ok("changes", "apply", place.directory)).toBe(`applied ${TOLD_OF_ALL.length} changes\n`);
        expect(place.read("a")).toBe("one\ntwo\nthree\n");
        expect(existsSync(place.at("b"))).toBe(false);
        expect(readdirSync(place.at("src"))).toEqual(["moved"]);
        expect(statSync(place.at("src/moved")).mtimeMs).toBe(1_000_000);
        expect(readlinkSync(place.at("link"))).toBe("new");
        expect(statSync(place.at("new/other")).ino).toBe(statSync(place.at("new/sub/file")).ino);
        expect(statSync(place.at("package.json")).mode & 0o777).toBe(0o600);
        expect(statSync(place.at("shut")).mode & 0o777).toBe(0o555);
        expect(statSync(place.at("sparse")).size).toBe((40 << 20) + 1);
        expect(statSync(place.at("sparse")).blocks * 512).toBeLessThan(1 << 20);
        expect(readdirSync(place.project).filter((name) => name.startsWith(".hako"))).toEqual([]);
        expect(readdirSync(place.directory)).toEqual([]);
        expect(place.ok("changes", place.directory)).toBe("");
        chmodSync(place.at("shut"), 0o755);
      },
      needs,
    );

    e2e(
      "of a mode, an owner or attributes alone leave the file itself, with all its names",
      () => {
        using place = workplace();
        linkSync(place.at("b"), place.at("other"));
        const before = statSync(place.at("b"));
        place.changed("chmod 640 b; chmod 4755 a; chmod 700 src; chmod 600 src/file; echo x >> src/file");
        expect(place.list).toEqual([
          "changed a mode",
          "changed b mode",
          "changed src mode",
          "changed src/file content+mode",
        ]);
        expect(place.ok("changes", "--diff", place.directory, "b")).toBe(
          `changed ${place.at("b")} mode 644 to 640\n`,
        );
        const { stderr } = place.hako("changes", "apply", place.directory);
        expect(stderr).toBe(`left out: ${place.at("a")}: setuid: --force gives it that, too\n`);
        const { ino, nlink, mode, mtimeMs } = statSync(place.at("b"));
        expect({ ino, nlink, mode, mtimeMs }).toEqual({
          ino: before.ino,
          nlink: 2,
          mode: 0o100640,
          mtimeMs: before.mtimeMs,
        });
        expect(statSync(place.at("a")).mode & 0o7777).toBe(0o755);
        // what the host's has already stays
        chmodSync(place.at("a"), 0o4755);
        Bun.sleepSync(15);
        place.changed("chmod 4711 a");
        expect(place.list).toEqual(["changed a mode"]);
        expect(place.hako("changes", "apply", place.directory).stderr).toBe("");
        expect(statSync(place.at("a")).mode & 0o7777).toBe(0o4711);
        // of what the host has changed since neither is taken
        place.changed("chmod 600 b");
        place.write("b", "the host's\n");
        expect(place.hako("changes", "apply", place.directory).stderr).toContain(
          "the host's was changed since",
        );
        expect(statSync(place.at("b")).mode & 0o777).toBe(0o640);
        place.ok("changes", "apply", "--force", place.directory);
        expect([place.read("b"), statSync(place.at("b")).mode & 0o777]).toEqual(["b\n", 0o600]);
      },
      needs,
    );

    e2e(
      "never give a file of the host another name, nor one that somebody acts on",
      () => {
        using place = workplace();
        writeFileSync(join(place.home, ".bashrc"), "mine\n");
        place.own(join(place.home, ".bashrc"));
        place.changed(`
          ln ../.bashrc notes; ln b other; echo x >> b; ln a third; chmod 600 third
          echo t > Makefile; ln Makefile made; echo u > u; ln u v; ln u src/w`);
        expect(place.ok("changes", "apply", place.directory)).toBe("applied 10 changes\n");
        // a later command writes in the project alone
        place.sh(["--write", "."], "for i in notes other third made v; do echo evil >> $i; done");
        expect(readFileSync(join(place.home, ".bashrc"), "utf8")).toBe("mine\n");
        expect([place.read("notes"), place.read("b"), place.read("other")]).toEqual([
          "mine\nevil\n",
          "b\nx\n",
          "b\nx\nevil\n",
        ]);
        expect([place.read("a"), place.read("Makefile")]).toEqual(["one\ntwo\n", "t\n"]);
        expect(statSync(place.at("a")).mode & 0o777).toBe(0o600);
        // what is new is one file by all of its names
        expect([place.read("u"), statSync(place.at("src/w")).nlink]).toEqual(["u\nevil\n", 3]);
      },
      needs,
    );

    e2e(
      "are seen by the next run, and gone when they are discarded",
      () => {
        using place = workplace();
        const { files } = place;
        place.changed(
          "echo x >> a; rm b; mkdir -m 0 closed; mkdir -p deep/er; echo y > deep/er/file; chmod 0 deep",
        );
        expect(
          place.change("cat a; ls b 2>/dev/null; chmod 755 deep; cat deep/er/file; rm -r deep").stdout,
        ).toBe("one\ntwo\nx\ny\n");
        expect(place.list).toEqual(["changed a content", "removed b file", "added closed directory"]);
        expect(place.ok("changes", "discard", place.directory)).toBe("");
        expect(readdirSync(place.directory)).toEqual([]);
        expect(place.files).toBe(files);
        expect(place.change("cat a").stdout).toBe("one\ntwo\n");
      },
      needs,
    );

    e2e(
      "that lead to what the host has are none",
      () => {
        using place = workplace();
        place.changed(`
          echo x >> a; printf 'one\\ntwo\\n' > a; touch -d 2001-01-01 src/file; chmod 600 b; chmod 644 b
          rm package.json; echo '{"name":"x","scripts":{"test":"true"}}' > package.json
          cp -a src copy; rm -r src; mv copy src; mkdir x; rmdir x; ln -sfn b link; ln -sfn a link`);
        expect(place.list).toEqual([]);
        place.changed("rm -r src; mkdir -p src/deep; echo other > src/file");
        expect(place.list).toEqual([
          "removed src/deep/er directory",
          "removed src/deep/er/file file",
          "changed src/file content",
        ]);
        place.ok("changes", "apply", place.directory);
        expect(readdirSync(place.at("src")).toSorted()).toEqual(["deep", "file"]);
        expect(readdirSync(place.at("src/deep"))).toEqual([]);
      },
      needs,
    );

    e2e(
      "of types: a file for a directory, a directory for a file, a link for both",
      () => {
        using place = workplace();
        place.changed(
          `rm -r src; echo s > src; rm a; mkdir -p a/in; echo f > a/in/file; rm -r .git; ln -s /etc .git`,
        );
        expect(place.list).toEqual([
          "changed .git type",
          "removed .git/hooks directory",
          "changed a type",
          "added a/in directory",
          "added a/in/file file",
          "changed src type",
          "removed src/deep directory",
          "removed src/deep/er directory",
          "removed src/deep/er/file file",
          "removed src/file file",
        ]);
        place.ok("changes", "apply", place.directory);
        expect(place.read("src")).toBe("s\n");
        expect(place.read("a/in/file")).toBe("f\n");
        expect(readlinkSync(place.at(".git"))).toBe("/etc");
      },
      needs,
    );

    e2e(
      "are made true in part, by their paths",
      () => {
        using place = workplace();
        place.changed(ALL_KINDS);
        place.ok("changes", "apply", place.directory, "new/sub/file", "src/deep", `${place.project}/a`);
        expect(place.read("new/sub/file")).toBe("n\n");
        expect(existsSync(place.at("new/other"))).toBe(false);
        expect(existsSync(place.at("src/deep"))).toBe(false);
        expect(existsSync(place.at("b"))).toBe(true);
        const chosen = [
          "changed a content",
          "added new directory",
          "added new/sub directory",
          "added new/sub/file file",
        ];
        const rest = TOLD_OF_ALL.filter((line) => !chosen.includes(line) && !line.includes("src/deep"));
        expect(place.list).toEqual(rest);
        const none = place.hako("changes", "apply", place.directory, "src/none");
        expect([none.status, none.stderr]).toEqual([1, expect.stringContaining("nothing was changed at")]);
        place.ok("changes", "apply", place.directory);
        expect(place.list).toEqual([]);
        expect(place.read("new/other")).toBe("n\n");
        chmodSync(place.at("shut"), 0o755);
      },
      needs,
    );

    e2e(
      "of what the host has changed since are refused by name, and forced",
      () => {
        using place = workplace();
        place.changed("echo mine >> a; echo mine >> b; rm -r src; echo mine > new; chmod 600 package.json");
        place.write("a", "the host's\n");
        place.write("new", "the host's\n");
        place.write("src/deep/er/added", "the host's\n");
        rmSync(place.at("b"));
        const { files } = place;
        const { status, stderr } = place.hako("changes", "apply", place.directory);
        expect(status).toBe(1);
        for (const path of ["a", "b", "new", "src/deep/er/added"])
          expect(stderr).toContain(`${place.at(path)}: the host's was`);
        expect(stderr).toContain("nothing was applied: 4 of ");
        expect(place.files).toBe(files);
        expect(place.told.filter(({ conflict }) => conflict !== null).length).toBe(4);
        // others can be applied
        place.ok("changes", "apply", place.directory, "package.json");
        // a run that begins later has seen them
        place.changed("echo again >> a");
        expect(place.hako("changes", "apply", place.directory, "a").status).toBe(1);
        place.ok("changes", "apply", "--force", place.directory);
        expect(place.read("a")).toBe("one\ntwo\nmine\nagain\n");
        expect(place.read("b")).toBe("b\nmine\n");
        expect(place.read("new")).toBe("mine\n");
        expect(existsSync(place.at("src"))).toBe(false);
      },
      needs,
    );

    e2e(
      "a copy that a later run makes is of the file as it is then",
      () => {
        using place = workplace();
        place.changed("echo x >> b");
        place.write("a", "the host's\n");
        Bun.sleepSync(20);
        place.changed("echo mine >> a");
        place.ok("changes", "apply", place.directory);
        expect(place.read("a")).toBe("the host's\nmine\n");
      },
      needs,
    );

    e2e("what can't be copied, and rights, are left out by name", () => {
      using place = workplace();
      place.changed(`mkfifo fifo; cp /bin/true suid; chmod 4755 suid; cp /bin/true sgid; chmod 2755 sgid
          mkdir kept; chmod 2755 kept
          perl -MSocket -e 'socket(S,PF_UNIX,SOCK_STREAM,0); bind(S,sockaddr_un("sock")) or die'`);
      const { status, stderr } = place.hako("changes", "apply", place.directory, "fifo", "suid", "sock");
      expect(status).toBe(0);
      expect(stderr).toContain(`left out: ${place.at("fifo")}: a named pipe`);
      expect(stderr).toContain(`left out: ${place.at("sock")}: a socket`);
      expect(stderr).toContain(`left out: ${place.at("suid")}: setuid: --force`);
      expect(statSync(place.at("suid")).mode & 0o7777).toBe(0o755);
      expect(existsSync(place.at("fifo"))).toBe(false);
      expect(place.told.filter(({ noteworthy }) => /^set[ug]id$/.test(noteworthy ?? "")).length).toBe(2);
      place.ok("changes", "apply", "--force", place.directory);
      expect(statSync(place.at("suid")).mode & 0o7777).toBe(0o4755);
      expect(statSync(place.at("sgid")).mode & 0o7777).toBe(0o2755);
      expect(statSync(place.at("kept")).mode & 0o7777).toBe(0o2755);
    }, [...needs, needsProgram("perl")]);

    e2e("extended attributes are taken over, an overlay's own are not", () => {
      using place = workplace();
      const set = (name: string, value: string, path: string) =>
        `perl -e 'my ($p, $n, $v) = qw(${path} ${name} ${value}); syscall(188, $p, $n, $v, ${value.length}, 0) == 0 or die $!'`;
      place.changed(`${set("user.note", "hello", "a")}; mkdir d; ${set("user.dir", "x", "d")}
          ${set("user.overlay.opaque", "y", "d")} || true`);
      expect(place.list).toEqual(["changed a attributes", "added d directory"]);
      place.ok("changes", "apply", place.directory);
      const names = (path: string) =>
        execute("perl", [
          "-e",
          `my ($p, $b) = ("${place.at(path)}", "\\0" x 999); my $n = syscall(194, $p, $b, 999); print substr($b, 0, $n)`,
        ])
          .stdout.split("\0")
          .filter((name) => name.startsWith("user."));
      expect(names("a")).toEqual(["user.note"]);
      expect(names("d").filter((name) => name !== "user.overlay.opaque")).toEqual(["user.dir"]);
    }, [
      ...needs,
      needsProgram("perl"),
      process.arch === "x64" ? undefined : "numbers of system calls are x86's",
    ]);

    e2e(
      "differences of texts",
      () => {
        using place = workplace();
        place.changed(
          "echo three >> a; rm b; printf '\\033[31mred\\n' > new; head -c 64 /dev/zero > zero; chmod 600 package.json",
        );
        const text = place.ok("changes", "--diff", place.directory);
        const { project } = place;
        expect(text).toContain(`--- ${project}/a\n+++ ${project}/a\n@@ -1,2 +1,3 @@\n one\n two\n+three\n`);
        expect(text).toContain(`--- ${project}/b\n+++ /dev/null\n@@ -1,1 +0,0 @@\n-b\n`);
        expect(text).toContain(`+++ ${project}/new\n@@ -0,0 +1,1 @@\n+\\x1b[31mred\n`);
        expect(text).toContain(`${project}/zero: no text`);
        expect(text).toContain(`changed ${project}/package.json mode 644 to 600`);
        place.changed("ln -s /etc/../root/.ssh way; rm src/file; ln -s b src/file");
        const links = place.ok("changes", "--diff", place.directory, "way", "src/file");
        expect(links).toContain(`added ${project}/way symlink to /etc/../root/.ssh\n`);
        expect(links).toContain(`--- ${project}/src/file\n`);
        const [told] = JSON.parse(place.ok("changes", "--json", place.directory, "src/file"));
        expect([told.from.target, told.to.target]).toEqual([null, "b"]);
        expect(place.ok("changes", "show", "--diff", place.directory, "b")).not.toContain("three");
      },
      needs,
    );

    e2e(
      "the directory is out of sight, wherever it would be seen",
      () => {
        using place = workplace();
        place.changed("echo x > a");
        const { home, directory } = place;
        const line = `ls -A ${directory}; ls -A /mnt/changes; echo x > ${directory}/y; rm -r ${directory}; ls ${home}`;
        const { stdout } = place.change(`(${line}) 2>/dev/null`, "-v", `${home}:/mnt:ro`);
        expect(stdout).toBe("changes\nproject\n");
        expect(readdirSync(directory).toSorted()).toEqual(expect.arrayContaining(["changes.json"]));
        const shown = place.change("true", "-v", `${directory}:/x`);
        expect([shown.status, shown.stderr]).toEqual([2, expect.stringContaining("out of sight")]);
        // --write goes past it
        place.changed("echo really > src/file; echo kept > kept", "--write", "src");
        expect(place.read("src/file")).toBe("really\n");
        expect(place.list).toEqual(["changed a content", "added kept file"]);
      },
      needs,
    );

    e2e(
      "one container at once, and no apply beside it",
      async () => {
        using place = workplace();
        place.changed("echo x > a");
        const { directory } = place;
        place.changed("sleep 100", "--detach", "--name", `${who === "root" ? "hako-e2e-changes" : "job"}`);
        const id = who === "root" ? "hako-e2e-changes" : "job";
        try {
          for (const args of [
            ["run", "--rootfs", "/", "--changes", directory, "--", "true"],
            ["changes", "apply", directory],
            ["changes", "discard", directory],
          ]) {
            const { status, stderr } = place.hako(...args);
            expect([args, status !== 0, stderr]).toEqual([args, true, expect.stringContaining("is in use")]);
          }
          expect(place.list).toEqual(["changed a content"]);
        } finally {
          place.hako("delete", "--force", id);
        }
        place.ok("changes", "apply", directory);
        expect(place.read("a")).toBe("x\n");
      },
      needs,
    );

    e2e(
      "an apply that is killed leaves each file old or new, and the next one finishes",
      async () => {
        using place = workplace();
        const [command = "", ...rest] = place.words;
        const apply = [...rest, "changes", "apply", place.directory];
        let [cut, whole] = [0, 0];
        // the first one is not killed: the others at moments of what it takes
        for (let moment = 0; moment <= 24; moment++) {
          for (const name of readdirSync(place.project))
            if (name.startsWith("n")) rmSync(place.at(name), { recursive: true });
          place.write("a", "old\n");
          for (let each = 0; each < 40; each++) place.write(`gone/${each}`, "gone\n");
          if (who !== "root") execute("chown", ["-R", `${USER}:${USER}`, place.at("gone")]);
          Bun.sleepSync(15);
          place.changed(`
            echo new > a; rm -r gone; mkdir -p new/in; chmod 700 src; chmod 600 b
            for i in $(seq 40); do echo $i > n$i; echo $i > new/in/$i; done
            mkdir nothing; echo s > nothing/s; chmod 0 nothing`);
          const begun = performance.now();
          await executeLater(command, apply, moment === 0 ? undefined : (whole * moment) / 24, place.env);
          if (moment === 0) whole = performance.now() - begun;
          expect(["old\n", "new\n"]).toContain(place.read("a"));
          for (let each = 1; each <= 40; each++)
            if (existsSync(place.at(`n${each}`))) expect(place.read(`n${each}`)).toBe(`${each}\n`);
          if (existsSync(place.at("new"))) expect(readdirSync(place.at("new/in")).length).toBe(40);
          if (readdirSync(place.directory).includes("changes.json")) cut++;
          place.ok("changes", "apply", place.directory);
          expect(place.read("a")).toBe("new\n");
          expect(place.read("nothing/s")).toBe("s\n");
          expect(existsSync(place.at("gone"))).toBe(false);
          for (const [path, mode] of [
            ["src", 0o700],
            ["b", 0o600],
          ] as const)
            expect([path, statSync(place.at(path)).mode & 0o777]).toEqual([path, mode]);
          expect(readdirSync(place.project).filter((name) => /^n\d/.test(name)).length).toBe(40);
          expect(readdirSync(place.project).filter((name) => name.startsWith(".hako"))).toEqual([]);
          expect(readdirSync(place.directory)).toEqual([]);
          chmodSync(place.at("src"), 0o755);
          chmodSync(place.at("b"), 0o644);
        }
        expect(cut).toBeGreaterThan(0);
      },
      needs,
      240_000,
    );

    e2e(
      "a run that is killed leaves a directory that the next one takes",
      async () => {
        using place = workplace();
        const [command = "", ...rest] = place.words;
        const run = [
          ...rest,
          "run",
          "--rootfs",
          "/",
          "--workdir",
          place.project,
          "--changes",
          place.directory,
        ];
        let whole = 0;
        for (let moment = 0; moment <= 12; moment++) {
          rmSync(place.directory, { recursive: true, force: true });
          const begun = performance.now();
          const limit = moment === 0 ? undefined : (whole * moment) / 12;
          await executeLater(command, [...run, "--die-with-parent", "--", "true"], limit, place.env);
          if (moment === 0) whole = performance.now() - begun;
          if (existsSync(place.directory)) expect(place.list).toEqual([]);
          place.changed("echo x > new");
          expect(place.list).toEqual(["added new file"]);
          place.ok("changes", "discard", place.directory);
          expect(readdirSync(place.directory)).toEqual([]);
        }
        // somebody's own directory, though nothing is in it that changes need
        writeFileSync(join(place.directory, "probe"), "mine\n");
        place.own(place.directory);
        expect(place.change("true").stderr).toContain("it is none that hako has made");
        expect(place.hako("changes", "discard", place.directory).status).toBe(1);
        expect(readdirSync(place.directory)).toEqual(["probe"]);
        // as a run leaves it that is killed at its worst
        renameSync(join(place.directory, "probe"), join(place.directory, ".hako-now"));
        mkdirSync(join(place.directory, ".hako-probe/work/work"), { recursive: true });
        place.own(place.directory);
        chmodSync(join(place.directory, ".hako-probe/work/work"), 0);
        place.changed("true");
        place.ok("changes", "discard", place.directory);
        expect(readdirSync(place.directory)).toEqual([]);
      },
      needs,
    );

    e2e(
      "directories in which their owner may not write are made, replaced and removed",
      () => {
        using place = workplace();
        for (const path of ["gone/in/file", "was/file", "src/sub/file"]) place.write(path, "x\n");
        place.write("be", "x\n");
        execute("sh", ["-c", "chmod 555 gone/in gone was src/sub; mkdir empty; chmod 555 empty"], {
          cwd: place.project,
        });
        place.own(place.project);
        place.changed(`
          chmod -R u+w gone was src/sub; rm -r gone was empty; echo file > was; rm be; mkdir be; echo in > be/in; chmod 500 be
          mkdir -p new/in; echo y > new/in/y; chmod 111 new/in; chmod 555 new; echo z > src/sub/z; chmod 555 src/sub`);
        place.ok("changes", "apply", place.directory);
        const line = "find be new was src/sub -printf '%p %y %m\\n' | sort; ls -A";
        expect(execute("sh", ["-c", line], { cwd: place.project }).stdout.split("\n")).toEqual([
          ...["be d 500", "be/in f 644", "new d 555", "new/in d 111", "new/in/y f 644"],
          ...["src/sub d 555", "src/sub/file f 644", "src/sub/z f 644", "was f 644"],
          ...[".git", "a", "b", "be", "link", "new", "package.json", "src", "was", ""],
        ]);
        expect(readdirSync(place.directory)).toEqual([]);
      },
      needs,
    );

    e2e(
      "links that the host has got meanwhile are not followed",
      () => {
        using place = workplace();
        place.changed("echo x > src/deep/er/file; mkdir -p new; echo y > new/file");
        const elsewhere = join(place.home, "elsewhere");
        mkdirSync(elsewhere);
        if (who !== "root") chownSync(elsewhere, USER, USER);
        renameSync(place.at("src/deep"), join(place.home, "deep"));
        symlinkSync(elsewhere, place.at("src/deep"));
        symlinkSync(elsewhere, place.at("new"));
        expect(place.hako("changes", "apply", place.directory).status).toBe(1);
        expect(readdirSync(elsewhere)).toEqual([]);
        place.ok("changes", "apply", "--force", place.directory);
        expect(readdirSync(elsewhere)).toEqual([]);
        expect(lstatSync(place.at("src/deep")).isDirectory()).toBe(true);
        expect(place.read("new/file")).toBe("y\n");
      },
      needs,
    );

    e2e("a tree that is made to be deep, and names that are no text", () => {
      using place = workplace();
      const { files } = place;
      place.changed(`
          perl -e 'for (1..700) { mkdir "d" x 20; chdir "d" x 20 } mkdir "x"'
          perl -e 'open F, ">", "bad\\xff\\x1bname"; mkdir "\\xfe"; open F, ">", "\\xfe/f"'`);
      const told = place.told;
      expect(told.some(({ conflict }) => conflict?.includes("longer than any program") === true)).toBe(true);
      const { stdout, status } = place.hako("changes", place.directory);
      expect(status).toBe(0);
      expect(stdout).toContain("bad\\xff\\x1bname");
      expect(place.hako("changes", "apply", place.directory).status).toBe(1);
      expect(place.files).toBe(files);
      place.ok("changes", "discard", place.directory);
      expect(readdirSync(place.directory)).toEqual([]);
      place.changed(`perl -e 'open F, ">", "bad\\xff\\x1bname"; mkdir "\\xfe"; open F, ">", "\\xfe/f"'`);
      place.ok("changes", "apply", place.directory);
      expect(execute("sh", ["-c", "ls -d bad* */f | od -c"], { cwd: place.project }).stdout).toMatch(
        /b +a +d +377 +033[\s\S]*376/,
      );
    }, [...needs, needsProgram("perl")]);

    e2e(
      "contradictions are refused, and nothing is left behind",
      () => {
        using place = workplace();
        const { directory, home } = place;
        mkdirSync(join(home, "other"));
        writeFileSync(join(home, "other/file"), "mine\n");
        if (who !== "root") chownSync(join(home, "other"), USER, USER);
        const rows: [string[], string][] = [
          [["--changes", directory, "--discard"], "--changes and --discard contradict"],
          [["--changes", directory, "--keep-writes", "x"], "--changes and --keep-writes contradict"],
          [["--changes", directory, "--read-only"], "--changes and --read-only contradict"],
          [["--changes", ""], "empty"],
          [["--changes", join(home, "other")], "it is none that hako has made"],
          [["--changes", "/proc/x"], "/proc/x"],
          [["--changes", directory, "-v", "/nothing:/x"], "does not exist"],
          [["--changes", directory, "--memory", "x"], "is not a size"],
        ];
        for (const [flags, words] of rows) {
          const { status, stderr } = place.hako("run", "--rootfs", "/", ...flags, "--", "true");
          expect([flags, status === 2 || status === 125, stderr]).toEqual([
            flags,
            true,
            expect.stringContaining(words),
          ]);
          expect(existsSync(directory)).toBe(false);
        }
        expect(place.change("no-such-program-here").status).toBe(127);
        expect(place.hako("run", "--rootfs", "/", "--changes", directory, "--", "/no/such").status).toBe(127);
        expect(readdirSync(join(home, "other"))).toEqual(["file"]);
        for (const verb of ["show", "apply", "discard"]) {
          const { status, stderr } = place.hako("changes", verb, join(home, "other"));
          expect([verb, status, stderr]).toEqual([
            verb,
            1,
            expect.stringContaining("none that hako has made"),
          ]);
        }
      },
      needs,
    );
  });
}

e2e(
  "an ordinary user's root file system of its own",
  () => {
    using place = new ChangedPlace(new Home());
    const root = join(place.home, "root");
    mkdirSync(join(root, "bin"), { recursive: true });
    mkdirSync(join(root, "d"));
    execute("cp", [Bun.which("busybox") ?? "", join(root, "bin/sh")]);
    writeFileSync(join(root, "d/f"), "f\n");
    execute("chown", ["-R", `${USER}:${USER}`, root]);
    const sh = (line: string, flag: string, dir: string) =>
      place.hako("run", "--rootfs", root, flag, dir, "--", "sh", "-c", line);
    const replaced = "sh -c 'rm -r d; mkdir d; echo g > d/g; echo d/*'";
    expect(sh(replaced, "--changes", place.directory).stdout).toBe("d/g\n");
    expect(place.told.map(({ path, change }) => `${change} ${path}`)).toEqual(["removed /d/f", "added /d/g"]);
    place.ok("changes", "apply", place.directory);
    expect(readdirSync(join(root, "d"))).toEqual(["g"]);
    // a directory that was replaced in writes that are kept
    expect(sh(replaced.replaceAll("g", "h"), "--keep-writes", join(place.home, "kept")).stdout).toBe("d/h\n");
    expect(sh("echo d/*", "--keep-writes", join(place.home, "kept")).stdout).toBe("d/h\n");
  },
  NEEDS,
);

e2e(
  "a place whose group its user isn't in keeps that group",
  () => {
    using place = new ChangedPlace(new Home());
    chownSync(place.home, USER, 0);
    place.changed("echo x > added; echo x > ~/above; chmod 700 ~; rm b");
    const told = place.told.map(({ path, change, what }) => `${change} ${path} ${what.join()}`);
    expect(told.filter((line) => line.includes("owner"))).toEqual([]);
    expect(told).toContain(`added ${place.at("added")} `);
    expect(told).toContain(`changed ${place.home} mode`);
    place.ok("changes", "apply", place.directory);
    expect(readdirSync(place.project)).toContain("added");
    expect(statSync(place.home)).toMatchObject({ gid: 0, mode: 0o40700 });
    expect(statSync(join(place.home, "above")).gid).toBe(USER);
  },
  NEEDS,
);

e2e("a root file system of its own, with a mount below", () => {
  using box = new Box();
  const [root, changes] = [box.path("root"), box.path("changes")];
  for (const dir of ["bin", "etc", "data"]) mkdirSync(join(root, dir), { recursive: true });
  execute("cp", [Bun.which("busybox") ?? "", join(root, "bin/sh")]);
  writeFileSync(join(root, "etc/conf"), "old\n");
  symlinkSync("/etc", join(root, "data/out"));
  const line = `mount -t tmpfs tmpfs ${root}/data && echo m > ${root}/data/file && exec "$@"`;
  const hako = (...args: string[]) =>
    execute("unshare", ["--mount", "sh", "-c", line, "sh", HAKO, "--root", box.root, ...args]);
  const sh = (text: string) => hako("run", "--rootfs", root, "--changes", changes, "--", "sh", "-c", text);
  expect(sh("echo new > /etc/conf; echo x >> /data/file; echo y > /data/new").stderr).toBe("");
  expect(readFileSync(join(root, "etc/conf"), "utf8")).toBe("old\n");
  const told = JSON.parse(hako("changes", "--json", changes).stdout) as Told[];
  expect(told.map(({ path, change }) => `${change} ${path}`)).toEqual([
    "changed /data/file",
    "added /data/new",
    "changed /etc/conf",
  ]);
  // what was mounted is not mounted now
  const gone = box.hako("changes", changes);
  expect([gone.status, gone.stderr]).toEqual([1, expect.stringContaining("is not mounted now")]);
  const other = box.hako("run", "--rootfs", "/", "--changes", changes, "--", "true");
  expect([other.status, other.stderr]).toEqual([125, expect.stringContaining("it holds changes of")]);
  expect(hako("changes", "apply", changes, "/etc").stdout).toBe("applied 1 change\n");
  expect(readFileSync(join(root, "etc/conf"), "utf8")).toBe("new\n");
  expect(box.hako("run", "--rootfs", root, "--changes", join(root, "in"), "--", "sh").stderr).toContain(
    "in each other",
  );
  expect(existsSync(join(root, "in"))).toBe(false);
}, [needsHako]);

e2e("a disk that is full leaves all as it was, and the next apply finishes", () => {
  using place = new ChangedPlace(new Box());
  mkdirSync(place.at("small"));
  const [hako, kept] = [place.words.join(" "), place.directory];
  const line = `
    cd ${place.project}; mount -t tmpfs -o size=1M tmpfs small; echo old > small/file
    ${hako} run --rootfs / --changes ${kept} -- sh -c '
      head -c 3000000 /dev/zero | tr "\\0" x > small/file; echo n > small/new; echo t > top'
    ${hako} changes apply ${kept} || echo full
    cat small/file; ls -A small; test -e top || echo none
    mount -o remount,size=20M small
    ${hako} changes apply ${kept}; stat -c %s small/file; cat small/new top; ls -A ${kept}`;
  const { stdout, stderr } = execute("unshare", ["--mount", "sh", "-c", line], { env: place.env });
  expect(stderr).toMatch(/^hako: .*small\/file: .* no space left on device\n$/);
  expect(stdout).toBe("full\nold\nfile\nnone\napplied 3 changes\n3000000\nn\nt\n");
}, [needsHako]);

e2e("capabilities that a file has on the host stay, new ones are left out", () => {
  using place = new ChangedPlace(new Box());
  const set = (path: string) => `setcap cap_net_raw+ep ${path}`;
  execute("sh", ["-c", set(place.at("b"))]);
  Bun.sleepSync(15);
  place.changed(`chmod 700 b; cp b copy; ${set("copy")}`, "--cap-add", "SETFCAP");
  expect(place.hako("changes", "apply", place.directory).stderr).toBe(
    `left out: ${place.at("copy")}: capabilities: --force gives it that, too\n`,
  );
  expect(execute("getcap", [place.at("b"), place.at("copy")]).stdout).toBe(
    `${place.at("b")} cap_net_raw=ep\n`,
  );
  expect(statSync(place.at("b")).mode & 0o777).toBe(0o700);
}, [needsHako, needsProgram("setcap")]);

e2e("a full file system for changes is told by the names that people know", () => {
  using place = new ChangedPlace(new Box());
  mkdirSync(place.at("small"));
  const [hako, kept] = [place.words.join(" "), place.at("small/kept")];
  const line = `
    cd ${place.project}; mount -t tmpfs -o size=256k tmpfs small
    ${hako} run --rootfs / --changes ${kept} -- sh -c 'echo x >> a; head -c 400k /dev/zero > b'
    ${hako} changes apply ${kept} a; head -n 1 a; ls -A small; ${hako} changes discard ${kept}; ls -A ${kept}
    head -c 300k /dev/zero > small/full; ${hako} run --rootfs / --changes ${kept} -- true; rm small/full
    ls -A ${kept}; ${hako} run --rootfs / --changes ${kept} -- cat a`;
  const { stdout, stderr } = execute("unshare", ["--mount", "sh", "-c", line], { env: place.env });
  expect(stderr).toContain(`hako: write ${kept}/.hako-applying.json: no space left on device\n`);
  expect(stderr).not.toContain("/proc/self");
  expect(stderr).not.toContain("can't hold");
  expect(stdout).toBe("one\nkept\none\ntwo\n");
}, [needsHako]);

e2e("who else may write where changes are applied gets no directory of root's by a rename", async () => {
  using place = new ChangedPlace(new Box());
  const attacker = 12_345;
  chownSync(place.project, attacker, attacker);
  mkdirSync(place.at("rootonly"), 0o700);
  place.write("rootonly/secret", "secret\n");
  // all that hako makes there is moved away as soon as it is seen, and root's directory gets its name
  const exchange = `
    chdir $ARGV[0] or die; $( = 12345; $) = "12345 12345"; $< = 12345; $> = 12345; $| = 1; print "ready\\n";
    for (my $end = time + 60; time < $end;) {
      opendir my $d, "."; my @names = grep /^\\.hako-/, readdir $d; closedir $d;
      for (@names) { exit 0 if rename($_, "stolen") && rename("rootonly", $_); }
    }`;
  for (const line of [
    "mkdir nd; for i in $(seq 300); do echo x > nd/f$i; done; chown -R 12345:12345 nd",
    "for i in $(seq 50); do echo x > f$i; ln -s x l$i; done; chown -h 12345 f* l*",
    "rm -r src; echo file > src; rm -r .git",
  ]) {
    place.changed(line);
    const attack = Bun.spawn(["perl", "-e", exchange, place.project], { stdout: "pipe" });
    await attack.stdout.getReader().read();
    const { stderr, status } = place.hako("changes", "apply", place.directory);
    attack.kill();
    await attack.exited;
    const root = readdirSync(place.project).find((name) => existsSync(place.at(`${name}/secret`))) ?? "";
    const { uid, mode } = statSync(place.at(root));
    expect([root, uid, mode & 0o777]).toEqual([expect.stringMatching(/^(rootonly|\.hako-.*)$/), 0, 0o700]);
    expect(place.read(`${root}/secret`)).toBe("secret\n");
    if (root !== "rootonly") {
      // what was begun is done with the directory that was moved away, or not at all
      const words = status === 0 ? "it stays, for it is none that hako has made" : "hako's own directory";
      expect(stderr).toContain(words);
      renameSync(place.at(root), place.at("rootonly"));
      rmSync(place.at("stolen"), { recursive: true });
    }
    place.ok("changes", "apply", "--force", place.directory);
    expect(readdirSync(place.project).filter((name) => name.startsWith(".hako"))).toEqual([]);
  }
}, [needsHako, needsProgram("perl")]);

e2e("of two applies at once one is refused, or has nothing left to do", async () => {
  using place = new ChangedPlace(new Box());
  // also where the directory is in what is written, by a link
  mkdirSync(place.at("kept"));
  symlinkSync("kept", place.at("way"));
  const dir = place.at("way");
  const line = "for i in $(seq 100); do echo $i > n$i; done; ls -A way";
  const { stdout, stderr } = place.sh(["--changes", dir], line);
  expect([stdout, stderr]).toEqual(["", ""]);
  const [command = "", ...rest] = place.words;
  const apply = () => executeLater(command, [...rest, "changes", "apply", dir], undefined, place.env);
  const both = await Promise.all([apply(), apply()]);
  expect(both.filter((each) => each.stdout === "applied 100 changes\n")).toHaveLength(1);
  expect(
    both.map((each) => each.stderr).filter((said) => said !== "" && !said.includes("is in use")),
  ).toEqual([]);
  expect(readdirSync(place.project).filter((name) => /^n\d/.test(name))).toHaveLength(100);
  expect(readdirSync(dir)).toEqual([]);
}, [needsHako]);

e2e("file systems: in memory, and one that can't hold an upper directory", () => {
  using box = new Box();
  mkdirSync(box.path("here"));
  mkdirSync(box.path("work"));
  writeFileSync(box.path("work/file"), "old\n");
  const mounted = (mount: string, ...args: string[]) =>
    execute("unshare", [
      ...["--mount", "sh", "-c", `set -e; ${mount}; exec "$@"`, "sh"],
      ...[HAKO, "--root", box.root, "run", "--rootfs", "/", "--changes", box.path("here/changes"), ...args],
    ]);
  const [here, work] = [box.path("here"), box.path("work")];
  const shown = mounted(
    `mount -t tmpfs tmpfs ${here}`,
    ...["--", "sh", "-c", `echo x > ${work}/file; cat ${work}/file`],
  );
  expect([shown.status, shown.stdout]).toEqual([0, "x\n"]);
  expect(readFileSync(join(work, "file"), "utf8")).toBe("old\n");
  // an overlay that is not only read is none for another's writes
  const overlay = `mount -t tmpfs tmpfs ${here}; mkdir ${here}/u ${here}/w ${here}/l; mount -t overlay overlay -o lowerdir=${here}/l,upperdir=${here}/u,workdir=${here}/w ${here}`;
  const refused = mounted(overlay, "--", "true");
  expect([refused.status, refused.stderr]).toEqual([
    125,
    expect.stringContaining("can't hold the upper directory"),
  ]);
  expect(refused.stderr).toMatch(/\(ext4\)|\(xfs\)|\(btrfs\)|\(tmpfs\)|ext4, xfs/);
  expect(refused.stderr).not.toMatch(/[(,] ?\/(sys|run|proc)\b|[(,] ?\/dev \(/);
  expect(readdirSync(here)).toEqual([]);
}, [needsHako]);

e2e(
  "nobody else's directory is taken for one's own",
  () => {
    using place = new ChangedPlace(new Home());
    place.changed("echo x > a");
    const root = execute(HAKO, ["changes", "apply", place.directory]);
    expect([root.status, root.stderr]).toEqual([1, expect.stringContaining(`belongs to user ${USER}`)]);
    chmodSync(place.home, 0o777);
    const { status, stderr } = place.hako("changes", place.directory);
    expect([status, stderr]).toEqual([1, expect.stringContaining("is writable for others")]);
  },
  NEEDS,
);
