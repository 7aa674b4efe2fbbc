// What ordinary programs rely on, in a sandbox of `run --policy`: each of these has kept one from working.
import { describe, expect } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { e2e, execute, needsProgram } from "./support";
import { owners, WHO, Workplace } from "./workplace";

for (const [who, make, needs] of WHO)
  describe(who, () => {
    e2e(
      "has as much shared memory as other memory",
      () => {
        using place = make();
        // browsers, databases and Python's multiprocessing map what is there, and die where it ends
        const line =
          "stat -f -c '%b %S' /dev/shm /tmp; head -c 80M /dev/zero > /dev/shm/x; stat -c %s /dev/shm/x";
        const { stdout } = place.sh(["--policy", "agent"], line);
        const [shared, other, written] = stdout.trim().split("\n");
        expect([shared, written]).toEqual([other, `${80 * 1024 * 1024}`]);
        const small = place.sh(["--tmpfs", "/dev/shm:size=1m"], "stat -f -c '%b * %S' /dev/shm | xargs expr");
        expect(small.stdout).toBe(`${1024 * 1024}\n`);
      },
      needs,
    );

    e2e(
      "has the caller's locale, time zone and terminal, and no other variables",
      () => {
        using place = make();
        const given = { LANG: "C.UTF-8", LC_TIME: "C", TZ: "UTC-3", COLORTERM: "truecolor" };
        const [command = "", ...words] = place.words;
        const line = "env | grep -c TOKEN; date +%H -d @0; echo $LANG $LC_TIME $TZ $COLORTERM";
        const run = [...words, "run", "--policy", "default", "-e", "LC_TIME=", "--", "sh", "-c", line];
        const { stdout } = execute(command, run, {
          env: { ...place.env, ...given, TOKEN: "x", MY_TOKEN: "x" },
          cwd: place.project,
        });
        expect(stdout).toBe("0\n03\nC.UTF-8 UTC-3 truecolor\n");
      },
      needs,
    );
  });

const REPOSITORIES = owners(
  (owner) => new Workplace(owner, { "project/.env.production": "secret\n", "project/list": "1\n" }),
);

for (const [who, make, needs] of REPOSITORIES)
  e2e(`git of ${who} commits nothing in place of what is hidden, and all of it where a policy reads it`, () => {
    using place = make();
    const [git, own] = ["git -c user.name=a -c user.email=b", join(place.project, "own.toml")];
    const outside = `git init -q . && git add . && ${git} commit -qm one`;
    const [command = "", ...words] = [...place.as, "sh", "-c", outside];
    expect(execute(command, words, { cwd: place.project, env: place.env })).toMatchObject({ status: 0 });
    writeFileSync(own, 'extends = "agent"\nread = [".env.production"]\n');
    const line = `echo 2 >> list; ${git} commit -qam two; git log --format=%s; git show HEAD:.env.production`;
    const byPolicy = (policy: string) => place.hako("run", "--policy", policy, "--", "sh", "-c", line);
    const refused = byPolicy("agent");
    expect(refused.stdout).toBe("one\nsecret\n");
    expect(refused.stderr).toContain(".env.production: can only add regular files");
    expect(byPolicy(own).stdout).toBe("two\none\nsecret\n");
  }, [...needs, needsProgram("git")]);
