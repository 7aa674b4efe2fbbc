// `hako run --policy`, as root and as an ordinary user. What gets round a policy is tried in attacks-agent.test.ts.
import { describe, expect } from "bun:test";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Box, e2e, execute, type Result } from "./support";
import { WHO, type Workplace } from "./workplace";

/** A line of shell in the project, by a policy alone. */
function byPolicy(place: Workplace, policy: string, line: string, flags: string[] = []): Result {
  const [command = "", ...rest] = place.words;
  const words = [...rest, "run", "--policy", policy, ...flags, "--", "sh", "-c", line];
  return execute(command, words, { env: place.env, cwd: place.project });
}

for (const [who, workplace, needs] of WHO) {
  describe(`--policy of ${who}`, () => {
    e2e(
      "default hides secrets and lets nothing be written; build writes the project; agent hides its .env, too",
      () => {
        using place = workplace();
        const { ssh, project } = place;
        const line = `cat ${ssh}/id; cat .env; echo new > new; echo x > .git/config; ls /sys/class/net`;
        const results = ["default", "build", "agent"].map((policy) => {
          const { stdout } = byPolicy(place, policy, `(${line}) 2>/dev/null`);
          const made = existsSync(join(project, "new"));
          execute("rm", ["-f", join(project, "new")]);
          return { stdout, made };
        });
        expect(results).toEqual([
          { stdout: "secret\nlo\n", made: false },
          { stdout: "secret\nlo\n", made: true },
          { stdout: "lo\n", made: true },
        ]);
        expect(readFileSync(join(project, ".git/config"), "utf8")).toBe("[core]\n");
      },
      needs,
    );

    e2e(
      "the report has what can't be protected, and the end tells what of it was made",
      () => {
        using place = workplace();
        const { project } = place;
        const report = join(place.home, "report");
        const { stderr, status } = byPolicy(
          place,
          "agent",
          "mkdir .vscode; echo x > .git/commondir; exit 3",
          ["--report", report],
        );
        expect(status).toBe(3);
        for (const path of [".vscode", ".git/commondir"])
          expect(stderr).toContain(
            `hako: ${project}/${path} was made meanwhile, which policy agent protects`,
          );
        expect(stderr.match(/made meanwhile/g)).toHaveLength(2);
        const { policy, unprotected, unheld } = JSON.parse(readFileSync(report, "utf8"));
        expect(policy).toBe("agent");
        expect(unprotected).toContain(`${project}/.vscode`);
        expect(unheld.toSorted()).toEqual([`${project}/.git/commondir`, `${project}/.vscode`]);
        expect(unprotected).not.toContain(`${project}/.git/hooks`);
        // without a report it is looked for by what stays of hako, and this command comes back for the line alone
        const made = byPolicy(place, "agent", "mkdir .idea; exit 4");
        expect([made.status, made.stderr]).toEqual([
          4,
          `hako: ${project}/.idea was made meanwhile, which policy agent protects where it is there: look at it before a tool goes by it\n`,
        ]);
        // now they are there: held, and no news
        const again = byPolicy(place, "agent", "echo x > .vscode/tasks.json; echo y > .git/commondir");
        expect(again.stderr).not.toContain("made meanwhile");
        expect(existsSync(join(project, ".vscode/tasks.json"))).toBe(false);
        execute("rm", ["-rf", join(project, ".vscode"), join(project, ".git/commondir")]);
        expect(byPolicy(place, "agent", "mkdir .vscode", ["--quiet"]).stderr).toBe("");
      },
      needs,
    );

    e2e(
      "a policy of one's own: it can't be changed by what runs by it; flags add to it, and win",
      () => {
        using place = workplace();
        const { home, project } = place;
        writeFileSync(
          join(project, "policy.toml"),
          'extends = "build"\nhide = ["src/**/file"]\nenv = ["A=b"]\ntimeout = "50s"\n',
        );
        execute("chown", [`--reference=${project}`, join(project, "policy.toml")]);
        const line = `echo $A; cat src/deep/er/file; echo x >> policy.toml || mv policy.toml p || rm policy.toml`;
        const { stdout, stderr } = byPolicy(place, "policy.toml", line);
        expect(stdout).toBe("b\n");
        expect(stderr).toContain("policy.toml: Read-only file system");
        expect(readFileSync(join(project, "policy.toml"), "utf8")).toContain("timeout");
        const flags = ["--write", join(home, ".ssh"), "--timeout", "1s"];
        const other = byPolicy(place, "policy.toml", "cat ../.ssh/id; sleep 60", flags);
        expect(other).toMatchObject({ stdout: "secret\n", status: 124 });
        expect(other.stderr).toContain("time limit of 1s reached");
      },
      needs,
    );

    e2e(
      "of what another policy hides it shows what it reads or has a volume for, and nothing beside it; write alone is refused",
      () => {
        using place = workplace();
        const { home } = place;
        for (const name of [".npmrc", ".netrc", ".pypirc"]) writeFileSync(join(home, name), "secret\n");
        writeFileSync(join(home, "own"), "own\n");
        place.own(home);
        const own = join(place.project, "own.toml");
        const policy = (...lines: string[]) =>
          writeFileSync(own, ['extends = "agent"', ...lines, ""].join("\n"));
        policy('read = ["~/.npmrc", "~/.ssh"]', 'volume = ["~/own:~/.netrc:ro"]');
        const line = `cd ${home}; cat .npmrc .ssh/id .netrc .pypirc; echo x > .npmrc || echo x > .ssh/id || echo neither`;
        expect(byPolicy(place, own, `(${line}) 2>/dev/null`).stdout).toBe("secret\nsecret\nown\nneither\n");
        expect(readFileSync(join(home, ".npmrc"), "utf8")).toBe("secret\n");
        policy('write = ["~/.ssh"]');
        expect(byPolicy(place, own, "echo x > ../.ssh/id")).toMatchObject({
          status: 125,
          stderr: expect.stringContaining(`${home}/.ssh is hidden and written (a policy shows`),
        });
        policy('write = ["~/.ssh"]', 'read = ["~/.ssh"]');
        expect(byPolicy(place, own, "cat ../.ssh/id; echo new > ../.ssh/id").stdout).toBe("secret\n");
        expect(readFileSync(join(home, ".ssh/id"), "utf8")).toBe("new\n");
        const kept = join(home, "kept");
        const changed = byPolicy(place, own, "echo kept > ../.ssh/id; cat ../.ssh/id", ["--changes", kept]);
        expect(changed.stdout).toBe("kept\n");
        expect(readFileSync(join(home, ".ssh/id"), "utf8")).toBe("new\n");
      },
      needs,
    );

    e2e(
      "what has something else mounted in its place stays hidden in all others",
      () => {
        using place = workplace();
        const { home, ssh } = place;
        const own = join(place.project, "own.toml");
        const seen = (policy: string, ...flags: string[]) =>
          byPolicy(
            place,
            policy,
            `cat ${ssh}/id /mnt/.ssh/id; (umount /mnt/.ssh; mv /mnt/.ssh /mnt/moved; cat /mnt/moved/id); ls -d /mnt/project`,
            ["--volume", `${home}:/mnt`, ...flags],
          ).stdout;
        const control = byPolicy(place, "default", "cat /x/id", ["--volume", `${ssh}:/x:ro`]);
        expect(control.stdout).toBe("secret\n");
        expect(seen("agent", "--tmpfs", ssh)).toBe("/mnt/project\n");
        // over what it is in
        expect(seen("agent", "--tmpfs", home)).toBe("/mnt/project\n");
        // it is shown where a flag says so, and nowhere else
        expect(seen("agent", "--volume", `${ssh}:${ssh}:ro`)).toBe("secret\n/mnt/project\n");
        for (const line of ['tmpfs = ["~/.ssh"]', 'volume = ["~/project:~/.ssh"]']) {
          writeFileSync(own, `extends = "agent"\n${line.replace("~/.ssh", ssh)}\n`);
          expect([line, seen(own)]).toEqual([line, "/mnt/project\n"]);
        }
        expect(readFileSync(join(ssh, "id"), "utf8")).toBe("secret\n");
      },
      needs,
    );

    e2e(
      "what a policy hides itself is shown by nothing that it extends, and by nothing beside it",
      () => {
        using place = workplace();
        const { home, project } = place;
        mkdirSync(join(home, "data/part"), { recursive: true });
        for (const name of ["data/f", "data/part/f"]) writeFileSync(join(home, name), "data\n");
        place.own(home);
        const [base, child] = [join(project, "base.toml"), join(project, "child.toml")];
        const tried = (ofBase: string, ofChild: string) => {
          writeFileSync(base, `${ofBase}\n`);
          writeFileSync(child, `extends = "./base.toml"\n${ofChild}\n`);
          const { stdout, stderr, status } = byPolicy(place, child, `cat ${home}/data/f ${home}/data/part/f`);
          return { stdout, status, told: / is hidden and (\w+)/.exec(stderr)?.[1] };
        };
        const hide = 'hide = ["~/data"]';
        const refused = (told: string) => ({ stdout: "", status: 125, told });
        expect(tried('read = ["~/data"]', hide)).toEqual(refused("read"));
        expect(tried("", `${hide}\nread = ["~/data"]`)).toEqual(refused("read"));
        expect(tried('read = ["~/data"]', 'hide = ["~/dat*"]')).toEqual(refused("read"));
        expect(tried(`volume = ["~/data:${home}/data:ro"]`, hide)).toEqual(refused("mounted"));
        expect(tried(`tmpfs = ["${home}/data"]`, hide)).toEqual(refused("mounted"));
        // the other way round it is what the one that extends is for; a part of what a pattern finds may be shown by the same one
        const shown = { stdout: "data\ndata\n", status: 0, told: undefined };
        expect(tried(hide, 'read = ["~/data"]')).toEqual(shown);
        const part = { stdout: "data\n", status: 1, told: undefined };
        expect(tried("", `${hide}\nread = ["~/data/part"]`)).toEqual(part);
        expect(tried("", 'hide = ["~/data/*"]\nread = ["~/data/part"]')).toEqual({ ...part, status: 0 });
      },
      needs,
    );

    e2e(
      "a hidden name that a program has made a link of takes nothing from the next run",
      () => {
        using place = workplace();
        const { project } = place;
        execute("rm", ["-f", join(project, ".env")]);
        for (const target of ["/usr", ".env", "$PWD", "..", "/"]) {
          const made = byPolicy(place, "agent", `rm -f .env; ln -s "${target}" .env`);
          expect({ target, ...made }).toMatchObject({ target, status: 0 });
          const next = byPolicy(place, "agent", "cat .git/config; rm .env");
          expect({ target, ...next }).toMatchObject({ target, status: 0, stdout: "[core]\n" });
        }
      },
      needs,
    );

    e2e(
      "a policy by a descriptor, which no command can read or change; nothing is needed of it at the end",
      () => {
        using place = workplace();
        const { project } = place;
        const [command = "", ...rest] = place.words;
        const told = (policy: string, descriptor: string, ...args: string[]) => {
          const words = [...rest, ...args];
          const line = `printf %s "$POLICY" | exec "$@" ${descriptor}<&0 </dev/null`;
          const env = { ...place.env, POLICY: policy };
          return execute("sh", ["-c", line, "sh", command, ...words], { env, cwd: project });
        };
        const run = (policy: string, line: string, ...flags: string[]) =>
          told(policy, "5", "run", "--policy", "5", ...flags, "--", "sh", "-c", line);
        const policy = '{"extends": "build", "hide": [".env"], "env": ["A=b"], "timeout": "20s"}';
        const line = "echo $A; cat .env; echo x > new; echo x > .git/config; ls /proc/self/fd";
        const { stdout, stderr } = run(policy, line);
        // ls's own descriptor is the fourth
        expect(stdout).toBe("b\n0\n1\n2\n3\n");
        expect(existsSync(join(project, "new"))).toBe(true);
        expect(stderr).toContain(".git/config: Read-only file system");
        // the command comes back for the line, and the descriptor has been read
        expect(run('timeout = "700ms"\n', "sleep 60")).toMatchObject({
          ...{ status: 124, stderr: "hako: time limit of 700ms reached\n" },
        });
        expect(JSON.parse(told(policy, "5", "policy", "show", "5", "--json").stdout)).toMatchObject({
          ...{ policy: "descriptor 5", files: [], env: ["A=b"] },
        });
        expect(run("", "true").stderr).toBe("hako: --policy 5: nothing comes from the descriptor\n");
        expect(run('{"hides": []}', "true").stderr).toBe(
          "hako: --policy 5: /hides: unknown (did you mean hide?)\n",
        );
        expect(run(policy, "true", "--policy", "77")).toMatchObject({
          ...{ status: 125, stderr: "hako: --policy 77: the descriptor is not open\n" },
        });
      },
      needs,
    );

    e2e(
      "srt's settings",
      () => {
        using place = workplace();
        const { project } = place;
        const settings = {
          network: { allowedDomains: [], deniedDomains: [] },
          filesystem: {
            denyRead: ["~"],
            allowRead: ["."],
            allowWrite: ["./src", "./none"],
            denyWrite: ["src/deep"],
          },
        };
        writeFileSync(join(project, "srt.json"), JSON.stringify(settings));
        // of a directory in the project, too: srt looks for these
        mkdirSync(join(project, "src/.git"), { recursive: true });
        writeFileSync(join(project, "src/.git/config"), "[core]\n");
        writeFileSync(join(project, "src/.bashrc"), "");
        execute("chown", ["-R", `--reference=${project}`, join(project, "src")]);
        const line = `ls -A ~/.. ${place.home}; cat .env; echo x > src/x; echo x > src/deep/x; echo x > x
          echo x > src/.bashrc; rm -r src/.git`;
        const { stdout } = byPolicy(place, "srt:srt.json", `(${line}) 2>/dev/null`, [
          "-e",
          `HOME=${project}`,
        ]);
        expect(stdout).toContain("project\n");
        expect(stdout).not.toContain(".ssh");
        expect(stdout).toContain("secret\n");
        const made = ["src/x", "src/deep/x", "x"].map((path) => existsSync(join(project, path)));
        expect(made).toEqual([true, false, false]);
        expect(readFileSync(join(project, "src/.bashrc"), "utf8")).toBe("");
        expect(existsSync(join(project, "src/.git/config"))).toBe(true);
      },
      needs,
    );

    e2e(
      "the home directory itself is not written; a policy that isn't there runs nothing",
      () => {
        using place = workplace();
        const [command = "", ...rest] = place.words;
        const run = (policy: string) =>
          execute(command, [...rest, "run", "--policy", policy, "--", "touch", "made"], {
            env: place.env,
            cwd: place.home,
          });
        const { status, stderr } = run("agent");
        expect(status).toBe(125);
        expect(stderr).toContain(`your home directory, ${place.home}, would be written`);
        expect(run("default").status).toBe(0);
        expect(run("agnt")).toMatchObject({
          status: 125,
          stderr: expect.stringContaining("did you mean agent?"),
        });
        expect(run("").status).toBe(2);
        expect(existsSync(join(place.home, "made"))).toBe(false);
      },
      needs,
    );

    e2e(
      "with --changes nothing is written but there, and what is protected not there either",
      () => {
        using place = workplace();
        const { files, project, home } = place;
        const kept = join(home, "kept");
        const line = "echo x > new; mkdir .vscode; echo x > .git/hooks/pre-commit || echo held";
        const { stdout: said, stderr } = byPolicy(place, "agent", line, ["--changes", kept]);
        expect(stderr).not.toContain("made meanwhile");
        // what is protected would be written when the changes are applied
        expect(said).toBe("held\n");
        expect(existsSync(join(project, "new"))).toBe(false);
        const [command = "", ...rest] = place.words;
        const { stdout } = execute(command, [...rest, "changes", "--json", kept], { env: place.env });
        expect(JSON.parse(stdout).map((change: { path: string }) => change.path)).toContain(`${project}/new`);
        execute("rm", ["-rf", kept]);
        const all = (text: string) => text.split("\n").slice(1);
        expect(all(place.files)).toEqual(all(files));
      },
      needs,
    );

    e2e(
      "policy show",
      () => {
        using place = workplace();
        const { project, ssh } = place;
        const [command = "", ...rest] = place.words;
        const show = (...args: string[]) =>
          execute(command, [...rest, "policy", ...args], { env: place.env, cwd: project }).stdout;
        const table = show("show", "agent");
        const rows = table.split("\n").map((row) => row.split(/\s{2,}/));
        expect(rows).toContainEqual(["hide", ssh]);
        expect(rows).toContainEqual(["write", project]);
        expect(rows).toContainEqual(["protect", `${project}/.git/hooks`]);
        expect(rows).toContainEqual(["protect", `${project}/.vscode`, "not there: can't be held"]);
        expect(rows).toContainEqual(["network", "none"]);
        const json = JSON.parse(show("show", "--json", "agent"));
        expect(json).toMatchObject({ policy: "agent", network: ["none"], memory: null });
        expect(json.hide).toContainEqual({ path: ssh, isThere: true });
        expect(json.hide).toContainEqual({ path: join(place.home, ".aws"), isThere: false });
        expect(json.unprotected).toContain(`${project}/.vscode`);
        expect(show("show")).toBe(show("show", "default"));
      },
      needs,
    );
  });
}

describe("--policy", () => {
  e2e(
    "is for commands without a bundle; with another root file system the host's secrets stay hidden",
    () => {
      using box = new Box();
      const bundle = box.bundle(["true"]);
      const both = box.hako("run", "--policy", "agent", "--bundle", bundle, box.id());
      expect(both).toMatchObject({
        status: 2,
        stderr: expect.stringContaining("--policy is not for bundles"),
      });
      const home = box.path("home");
      mkdirSync(join(home, ".ssh"), { recursive: true });
      writeFileSync(join(home, ".ssh/id"), "secret\n");
      const words = [
        "run",
        "--policy",
        "default",
        "--rootfs",
        join(bundle, "rootfs"),
        "-v",
        `${home}:/mnt:ro`,
      ];
      const env = { PATH: process.env.PATH ?? "", HOME: home };
      const run = box.hakoWith(
        { env },
        ...words,
        "--name",
        box.id(),
        "--",
        "sh",
        "-c",
        "ls -A /mnt; cat /mnt/.ssh/id",
      );
      expect(run.stdout).toBe(".ssh\n");
    },
  );
});
