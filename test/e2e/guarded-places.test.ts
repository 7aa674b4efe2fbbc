// --hide, --write and --protect of `hako run --rootfs`, as root and as an ordinary user.
import { describe, expect } from "bun:test";
import {
  appendFileSync,
  chownSync,
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { AS_USER, Home, NEEDS, USER } from "./rootless-home";
import { AT_ONCE, Box, e2e, execute, executeLater, needsHako, until } from "./support";
import { WHO, Workplace } from "./workplace";

for (const [who, workplace, needs] of WHO) {
  describe(`places of ${who}`, () => {
    e2e(
      "what is hidden is empty, by whatever way",
      () => {
        using place = workplace();
        const { home, project, ssh } = place;
        symlinkSync(".ssh", join(home, "keys"));
        const looks = [
          `cat ${ssh}/id`,
          `cat ${home}/keys/id`,
          `cat ../.ssh/id`,
          `cat /proc/self/root${ssh}/id`,
          `cat /proc/$$/root${ssh}/id`,
          `cat /proc/self/cwd/../.ssh/id`,
          `cat /mnt/.ssh/id`,
          `mv ${ssh} /tmp/x && cat /tmp/x/id`,
          `ln ${project}/.env ${project}/env && cat ${project}/env`,
          `cat ${project}/.env`,
          `umount ${ssh} && cat ${ssh}/id`,
          `unshare -Ur sh -c 'umount ${ssh}; cat ${ssh}/id'`,
          `unshare -Urm sh -c 'umount -l ${ssh}; cat ${ssh}/id'`,
          `exec 3< ${ssh}; cat /proc/self/fd/3/id`,
          `cp -r ${home} /tmp/all; cat /tmp/all/.ssh/id /tmp/all/project/.env`,
        ];
        const flags = ["-v", `${home}:/mnt:ro`];
        const hides = ["--hide", ssh, "--hide", `${project}/.env`];
        const reads = (line: string, hidden: boolean) =>
          place.sh([...flags, ...(hidden ? hides : [])], `(${line}) 2>/dev/null`).stdout.includes("secret");
        for (const line of looks) expect([line, reads(line, true)]).toEqual([line, false]);
        // each is a way where nothing is hidden
        const ways = looks.filter((line) => !/umount/.test(line));
        for (const line of ways) expect([line, reads(line, false)]).toEqual([line, true]);
        expect(place.sh(hides, `ls -A ${ssh} | wc -l`).stdout.trim()).toBe("0");
      },
      needs,
    );

    e2e(
      "what is not there is hidden without being made",
      () => {
        using place = workplace();
        const { files, home } = place;
        const flags = ["--hide", join(home, ".aws"), "--hide", join(home, ".none/of/it"), "--write", "."];
        expect(place.sh(flags, "true").status).toBe(0);
        expect(place.files).toBe(files);
      },
      needs,
    );

    e2e(
      "of what is hidden a part can be shown, and written",
      () => {
        using place = workplace();
        const { home, project } = place;
        const flags = ["--hide", home, "--write", project];
        const { stdout } = place.sh(
          flags,
          `ls -A ${home}; cat src/deep/er/file; echo new > made; touch ${home}/x 2>/dev/null || echo no`,
        );
        expect(stdout).toBe("project\ntext\nno\n");
        expect(readFileSync(join(project, "made"), "utf8")).toBe("new\n");
        const hooks = [...flags, "--protect", ".git/hooks"];
        expect(place.sh(hooks, "touch .git/hooks/x || mv .git git || mkdir .git/new").stdout).toBe("");
        expect(readdirSync(join(project, ".git")).sort()).toEqual(["config", "hooks", "new"]);
        expect(readdirSync(join(project, ".git/hooks"))).toEqual(["pre-commit"]);
        expect(place.sh(["--hide", home, "-v", `${project}:${project}:ro`], "ls -A ..").stdout).toBe(
          "project\n",
        );
      },
      needs,
    );

    e2e(
      "what is protected stays as it is where all around it is written",
      () => {
        using place = workplace();
        const { project } = place;
        const guarded = [".git/hooks", ".git/config", "src/deep/er/file"];
        const flags = ["--write", project, ...guarded.flatMap((path) => ["--protect", path])];
        const changes = [
          "echo x > .git/hooks/pre-commit",
          "echo x > .git/hooks/new",
          "rm -rf .git/hooks",
          "rm .git/hooks/pre-commit",
          "chmod 777 .git/hooks/pre-commit",
          "mv .git/hooks x",
          "mv .git x; mkdir -p .git/hooks; echo x > .git/hooks/pre-commit",
          "mv src x; mkdir -p src/deep/er; echo x > src/deep/er/file",
          "mv src/deep x",
          "mv src/deep/er x",
          "rm -rf .git",
          "echo x > .git/config",
          "rm -f .git/config; echo x > .git/config",
          "cp .git/config c && mv -f c .git/config",
          "ln .git/config c && echo x >> c",
          "ln -sfn /tmp .git/hooks",
          "cd ..; mv project x && mkdir -p project/.git/hooks",
          "umount .git/hooks && echo x > .git/hooks/new",
          "mount -o remount,bind,rw .git/hooks && echo x > .git/hooks/new",
          `exec 3<.git; echo x > /proc/self/fd/3/hooks/new`,
          "truncate -s 0 src/deep/er/file",
          "touch -d 2001-01-01 .git/hooks",
        ];
        const kept = () =>
          guarded.flatMap((path) => [
            existsSync(join(project, path)),
            execute("sh", ["-c", `find ${path} -printf '%p %y %m %s %T@\\n' -exec cat {} + 2>&1`], {
              cwd: project,
            }).stdout,
          ]);
        const before = kept();
        for (const line of changes) {
          place.sh(flags, `(${line}) 2>/dev/null`);
          expect([line, kept()]).toEqual([line, before]);
        }
        // what is beside it is written
        place.sh(
          flags,
          "echo x > .git/index.lock && mv .git/index.lock .git/index; echo y >> src/new; git status",
        );
        expect(readFileSync(join(project, ".git/index"), "utf8")).toBe("x\n");
        // by another way into the same directory, too
        const other = ["-v", `${project}:/mnt`, ...guarded.flatMap((path) => ["--protect", path])];
        for (const line of [
          "echo x > /mnt/.git/hooks/new",
          "mv /mnt/.git /mnt/x",
          "rm -rf /mnt/.git/hooks",
        ]) {
          place.sh(other, `(${line}) 2>/dev/null`);
          expect([line, kept()]).toEqual([line, before]);
        }
        // and without --protect each of the first three would have done it
        place.sh(["--write", project], changes.slice(0, 2).join("; "));
        expect(kept()).not.toEqual(before);
      },
      needs,
    );

    e2e(
      "a link where something is protected is held itself, and what it leads to, too",
      () => {
        using place = workplace();
        const { home, project } = place;
        mkdirSync(join(home, "shared"));
        writeFileSync(join(home, "shared/tasks.json"), "tasks\n");
        symlinkSync("../shared", join(project, ".vscode"));
        symlinkSync(".git", join(project, "git"));
        const made = [join(home, "shared"), join(project, ".vscode"), join(project, "git")];
        execute("chown", ["-Rh", `--reference=${project}`, ...made]);
        const changes = [
          "rm .vscode; mkdir .vscode; echo x > .vscode/tasks.json",
          "ln -sfn /tmp .vscode",
          "mv .vscode x; mkdir .vscode",
          "mkdir x; mv -T x .vscode",
          "mv -f --exchange src .vscode",
          "echo x > .vscode/tasks.json",
          "rm git; mkdir -p git/hooks",
          "ln -sfn src git",
          "mv .git x; mkdir -p .git/hooks",
          "echo x > git/hooks/pre-commit",
          "umount .vscode; rm .vscode",
          "cd ..; mv project x; mkdir project",
        ];
        const { files } = place;
        const flags = ["--protect", ".vscode", "--protect", "git/hooks"];
        for (const line of changes) {
          place.sh(["--write", project, ...flags], `(${line}) 2>/dev/null`);
          const rest = place.files.split("\n").filter((row) => !/^\.\/project(\/x|) /.test(row));
          expect([line, rest]).toEqual([
            line,
            files.split("\n").filter((row) => !/^\.\/project(\/x|) /.test(row)),
          ]);
          rmSync(join(project, "x"), { recursive: true, force: true });
        }
        expect(place.sh(["--write", project, ...flags], "cat .vscode/tasks.json; ls git/hooks").stdout).toBe(
          "tasks\npre-commit\n",
        );
        // and without it the first would have done it
        place.sh(["--write", project], changes[0] ?? "");
        expect(place.files).not.toBe(files);
      },
      needs,
    );

    e2e(
      "what somebody else replaces meanwhile is out of hold, and is told of at the end",
      async () => {
        using place = workplace();
        const { project, words, env } = place;
        const [command = "", ...rest] = words;
        const told = async (flags: string[], change: () => void) => {
          for (const name of ["begun", "go"]) rmSync(join(project, name), { force: true });
          const line = "touch begun; until test -e go; do sleep 0.1; done; cat .env";
          const run = [...rest, "run", ...flags, "--", "sh", "-c", line];
          const child = Bun.spawn([command, ...run], {
            cwd: project,
            env,
            stdio: ["ignore", "pipe", "pipe"],
          });
          await until("it has begun", () => existsSync(join(project, "begun")));
          change();
          writeFileSync(join(project, "go"), "");
          const [said, error] = await Promise.all(
            [child.stdout, child.stderr].map((each) => new Response(each).text()),
          );
          const lines = (error ?? "").split("\n").filter((each) => each.includes("outside meanwhile"));
          return { said, replaced: lines.map((each) => each.slice("hako: ".length).split(" ")[0]) };
        };
        const replaces = (path: string) => () => {
          const other = join(project, "other");
          writeFileSync(other, "other\n");
          renameSync(other, join(project, path));
        };
        const [policy, flags] = [
          ["--policy", "agent"],
          [
            "--rootfs",
            "/",
            "--write",
            project,
            "--hide",
            ".env",
            "--protect",
            ".git/config",
            "--protect",
            "src/deep",
          ],
        ];
        expect(await told(policy, () => appendFileSync(join(project, ".git/config"), "# mine\n"))).toEqual({
          said: "",
          replaced: [],
        });
        expect((await told(policy, replaces(".git/config"))).replaced).toEqual([`${project}/.git/config`]);
        // the attack: what is hidden is seen once the host's editor has saved it
        expect(await told(policy, replaces(".env"))).toEqual({
          said: "other\n",
          replaced: [`${project}/.env`],
        });
        expect((await told(flags, replaces(".git/config"))).replaced).toEqual([`${project}/.git/config`]);
        const moves = () => {
          renameSync(join(project, "src"), join(project, "away"));
          mkdirSync(join(project, "src"));
        };
        expect(
          (await told([...flags, "--memory", "1G"].slice(0, who === "root" ? undefined : -2), moves))
            .replaced,
        ).toEqual([`${project}/src`, `${project}/src/deep`]);
        // the report's writer tells it, too
        renameSync(join(project, "away"), join(project, "src/away"));
        expect(
          (await told([...policy, "--report", "/dev/null"], () => rmSync(join(project, ".env")))).replaced,
        ).toEqual([`${project}/.env`]);
      },
      needs,
    );

    e2e(
      "what is hidden is not moved to where the next run would not hide it",
      () => {
        using place = workplace();
        const { project } = place;
        const makes = () => {
          for (const name of ["src", "x", "link", "way"])
            rmSync(join(project, name), { recursive: true, force: true });
          mkdirSync(join(project, "src/deep/er"), { recursive: true });
          writeFileSync(join(project, "src/deep/er/file"), "secret\n");
          symlinkSync("src/deep/er/file", join(project, "link"));
          symlinkSync("src/deep", join(project, "way"));
          place.own(project);
        };
        const moves =
          "mv src/deep/er/file x; rm link; rm way; ln -sfn /tmp way; mv src/deep/er x; mv src/deep src/x; mv src x";
        const names = [
          "link",
          "way/er/file",
          "src/deep/er/file",
          "src/*/er/file",
          "src/deep/er/f*",
          "**/file",
        ];
        const reads = "grep -rh secret --exclude=.env .";
        for (const flags of [...names.map((name) => ["--hide", name]), []]) {
          makes();
          place.sh(["--write", ".", ...flags], `(${moves}) 2>/dev/null`);
          const { stdout } = place.sh(["--write", ".", ...flags], reads);
          expect([flags, stdout]).toEqual([flags, flags.length === 0 ? "secret\n" : ""]);
        }
      },
      needs,
    );

    e2e(
      "a pattern is no weaker for what the command makes: its name, links, directories that are closed",
      () => {
        using place = workplace();
        const { project } = place;
        for (const name of ["a.key", "closed/b.key", "closed/deep/c.key"]) {
          mkdirSync(join(project, name, ".."), { recursive: true });
          writeFileSync(join(project, name), "secret\n");
        }
        for (const field of ["hide", "protect"])
          for (const [name, text] of [
            ["pattern", "**/*.key"],
            ["name", "closed/deep/c.key"],
          ])
            writeFileSync(
              join(project, `${field}-${name}.toml`),
              `write = ["."]\n${field} = ["${text}", "a.key", "closed/b.key"]\n`,
            );
        place.own(project);
        const all = "cat *.key; cat 'a.key' closed/b.key closed/deep/c.key";
        const write = "echo x >> a.key; echo x >> closed/b.key; echo x >> closed/deep/c.key";
        const line = `(chmod -R u+rwX closed; ${all}; ${write}) 2>/dev/null; true`;
        const by = (field: string, how: string) =>
          how === "flag"
            ? place.sh(["--write", ".", `--${field}`, "*.key", `--${field}`, "**/*.key"], line)
            : place.hako("run", "--policy", `./${field}-${how}.toml`, "--", "sh", "-c", line);
        const kept = () =>
          ["a.key", "closed/b.key", "closed/deep/c.key"].map((name) =>
            readFileSync(join(project, name), "utf8"),
          );
        const makes = [
          "true",
          "touch '*.key' '**'; mkdir '!(*)'",
          "ln -s / x.key; ln -s /usr y.key; ln -s . z.key; ln -s /none w.key; ln -s .. closed/x.key",
          // root may look into all
          ...(who === "root" ? [] : ["chmod 0 closed", "chmod 600 closed", "chmod 0 closed/deep"]),
        ];
        for (const make of makes) {
          expect([make, place.sh(["--write", "."], make).status]).toEqual([make, 0]);
          for (const how of ["flag", "pattern", "name"])
            for (const field of ["hide", "protect"]) {
              const { status, stdout, stderr } = by(field, how);
              const what = [make, how, field];
              // a place that can't be looked at can't be protected: nothing runs then
              if (status !== 0)
                expect([...what, field === "protect" && how === "name", stderr]).toEqual([
                  ...what,
                  true,
                  expect.stringContaining("ermission denied"),
                ]);
              else if (field === "hide")
                expect([...what, stdout.includes("secret"), stderr]).toEqual([...what, false, ""]);
              expect([...what, kept()]).toEqual([...what, ["secret\n", "secret\n", "secret\n"]]);
              place.sh(["--write", "."], make);
            }
          place.sh(
            ["--write", "."],
            "chmod u+rwx closed closed/deep; rm -rf '*.key' '**' '!(*)' [wxyz].key closed/x.key",
          );
        }
        // each of them does it where nothing is hidden and protected
        expect(place.sh(["--write", "."], line).stdout).toContain("secret");
        expect(kept()[1]).toBe("secret\nx\n");
      },
      needs,
    );

    e2e(
      "contradictions, and what can't be held, are refused by the flag's name",
      () => {
        using place = workplace();
        const { home, project, files } = place;
        symlinkSync("src", join(project, "link"));
        symlinkSync("none", join(project, "nowhere"));
        chownSync(join(project, "src"), who === "root" ? 0 : USER, who === "root" ? 0 : USER);
        const rows: [string[], string][] = [
          [["--hide", "/"], '--hide "/": nothing would be left'],
          [["--hide", ""], '--hide "": empty'],
          [["--hide", "secret[0-9].txt"], 'nothing is called "secret[0-9].txt"'],
          [["--protect", "src/{new,old}"], 'nothing is called "{new,old}"'],
          [["--hide", project, "--write", project], "another flag mounts something there"],
          [["--protect", project, "--write", project], "written"],
          [["--protect", home, "--write", project], `another flag has ${project} written`],
          [["--protect", "none", "--write", project], "it does not exist"],
          [["--protect", "nowhere", "--write", project], "it does not exist"],
          [["--protect", "/"], "--read-only"],
          [["--write", "none"], "none does not exist"],
          [["--write", ""], '--write "": empty'],
          [["--write", "/"], "target can't be /"],
        ];
        for (const [flags, words] of rows) {
          const { status, stderr } = place.sh(flags, "true");
          expect([flags, status === 2 || status === 125, stderr]).toEqual([
            flags,
            true,
            expect.stringContaining(words),
          ]);
          expect(stderr.trimEnd().split("\n").length).toBe(1);
        }
        expect(place.files.replaceAll(/^\.\/project\/(link|nowhere) .*\n/gm, "").split("\n").length).toBe(
          files.split("\n").length,
        );
      },
      needs,
    );
  });
}

e2e(
  "hako's own directories are out of reach in what is written, also those that were missing",
  () => {
    using home = new Home();
    using place = new Workplace(home);
    const { project } = place;
    const [state, usual] = [join(project, "state"), join(project, "hako")];
    const line = `
      for dir in ${state} ${usual} ${usual}-seccomp; do ls -A $dir; mkdir -p $dir/x; echo x > $dir/y; mv $dir ${project}/away; done
      mkdir ${project}/free && echo done`;
    const run = (...flags: string[]) =>
      execute(
        AS_USER[0] ?? "",
        [
          ...[...AS_USER.slice(1), home.hakoPath, "--root", state, "run", "--rootfs", "/", ...flags],
          ...["--", "sh", "-c", line],
        ],
        { env: { ...place.env, XDG_RUNTIME_DIR: project } },
      );
    expect(run("--write", project)).toMatchObject({ status: 0, stdout: "done\n" });
    expect(readdirSync(usual)).toEqual([]);
    expect(readdirSync(project)).not.toContain("away");
    const within = run("--write", usual);
    expect(within).toMatchObject({ status: 2, stderr: expect.stringContaining("it is out of sight") });
  },
  NEEDS,
);

e2e("nothing is made on the host for it, whatever happens: at once, and killed", async () => {
  using place = new Workplace(new Box());
  const { home, project, files } = place;
  const [command = "", ...rest] = place.words;
  const run = (line: string) => [
    ...[...rest, "run", "--rootfs", "/", "--write", project, "--protect", join(project, ".git/hooks")],
    ...["--hide", join(home, ".ssh"), "--hide", join(home, ".none"), "--hide", join(project, ".env")],
    ...["--workdir", project, "--", "sh", "-c", line],
  ];
  const all = await Promise.all(
    Array.from({ length: AT_ONCE }, () => executeLater(command, run("cat .git/config"))),
  );
  expect(all.map(({ stdout, stderr }) => stdout + stderr)).toEqual(all.map(() => "[core]\n"));
  expect(place.files).toBe(files);
  for (let moment = 0; moment < 50; moment++)
    await executeLater(command, ["--debug", ...run("cat .git/config")], 1 + moment);
  expect(place.files).toBe(files);
}, [needsHako]);

e2e("an image and a directory have hidden places, too", () => {
  using box = new Box();
  const root = box.path("root");
  for (const dir of ["bin", "etc/secret", "work/.git"]) mkdirSync(join(root, dir), { recursive: true });
  execute("cp", [Bun.which("busybox") ?? "", join(root, "bin/sh")]);
  writeFileSync(join(root, "etc/secret/key"), "secret\n");
  writeFileSync(join(root, "work/.git/config"), "[core]\n");
  const sh = (flags: string[], line: string) =>
    box.hako("run", "--rootfs", root, ...flags, "--", "sh", "-c", line);
  expect(sh(["--hide", "/etc/secret"], "cat /etc/secret/key || ls -A /etc/secret").stdout).toBe("");
  expect(sh(["--hide", "etc"], "true").stderr).toContain("must be an absolute path in the container");
  // what has a pattern's name makes it no path
  writeFileSync(join(root, "etc/secret/*"), "");
  for (const flag of ["--hide", "--protect"])
    expect(sh([flag, "/etc/secret/*"], "true")).toMatchObject({
      ...{ status: 2, stderr: expect.stringContaining("patterns are for --rootfs /") },
    });
  rmSync(join(root, "etc/secret/*"));
  // what is written to a directory stays: all on the way is held
  sh(["--protect", "/work/.git"], "mv /work /x; mkdir -p /work/.git; echo x > /work/.git/config");
  expect(readFileSync(join(root, "work/.git/config"), "utf8")).toBe("[core]\n");
  expect(existsSync(join(root, "x"))).toBe(false);
  // the host's own second way to a file
  linkSync(join(root, "etc/secret/key"), join(root, "etc/other"));
  expect(sh(["--hide", "/etc/secret"], "cat /etc/other").stdout).toBe("secret\n");
  renameSync(join(root, "etc/other"), join(root, "etc/secret/other"));
}, [needsHako]);

e2e("what the host has mounted a second time is hidden there, too", () => {
  using place = new Workplace(new Box());
  const { home, ssh } = place;
  const second = join(home, "second");
  mkdirSync(second);
  const line = `mount --bind ${home} ${second} && exec "$@"`;
  const run = (flags: string[]) =>
    execute("unshare", [
      ...["--mount", "sh", "-c", line, "sh", ...place.words, "run", "--rootfs", "/", ...flags],
      ...["--", "sh", "-c", `cat ${second}/.ssh/id 2>/dev/null; ls -A ${second}/.ssh`],
    ]).stdout;
  expect(run([])).toBe("secret\nid\n");
  expect(run(["--hide", ssh])).toBe("");
  expect(run(["--hide", join(second, ".ssh")])).toBe("");
}, [needsHako]);
