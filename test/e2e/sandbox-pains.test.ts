// What people suffer from in the sandboxes that they have, and should not in this one. Networks, secrets and hosts that allow little have tests of
// their own: filtered-network, policy-network, attacks-agent, in-container, landlocked, die-with, sdk.
import { describe, expect } from "bun:test";
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { USER } from "./rootless-home";
import { AT_ONCE, e2e, execute, needsProgram, type Result, until } from "./support";
import { WHO, type Workplace } from "./workplace";

/** A command of `hako` in the project. */
function hako(
  { words, env, project }: Workplace,
  args: readonly string[],
  more: Record<string, string> = {},
): Result {
  const [command = "", ...rest] = words;
  return execute(command, [...rest, ...args], { env: { ...env, ...more }, cwd: project });
}

/** The same without blocking; killed after so many milliseconds, if given. */
async function hakoLater(
  { words, env, project }: Workplace,
  args: readonly string[],
  killAfter?: number,
): Promise<number | null> {
  const [command = "", ...rest] = words;
  const child = spawn(command, [...rest, ...args], { stdio: "ignore", cwd: project, env });
  const timer = killAfter === undefined ? undefined : setTimeout(() => child.kill("SIGKILL"), killAfter);
  const status = await new Promise<number | null>((done) => child.on("exit", done));
  clearTimeout(timer);
  return status;
}

const AGENT = ["run", "--policy", "agent", "--quiet"];

for (const [who, workplace, needs] of WHO) {
  describe(`a sandbox of ${who}`, () => {
    e2e(
      "leaves no files: while it runs, with many at once, killed at any moment; and a killed one has no program that goes on",
      async () => {
        using place = workplace();
        // all that the policy protects is missing, which others make empty files for
        rmSync(join(place.project, ".git"), { recursive: true });
        const { files } = place;
        const whileItRuns = hako(place, [...AGENT, "--", "sh", "-c", "find . | sort"]);
        expect(whileItRuns.stdout).toBe(
          execute("sh", ["-c", "find . | sort"], { cwd: place.project }).stdout,
        );
        const running = hakoLater(place, [...AGENT, "--name", "long", "--", "sleep", "600"]);
        await until("it runs", () => hako(place, ["state", "long"]).stdout.includes('"running"'));
        expect(place.files).toBe(files);
        const all = Array.from({ length: AT_ONCE }, () =>
          hakoLater(place, [...AGENT, "--", "mkdir", "/tmp/.vscode"]),
        );
        expect(await Promise.all(all)).toEqual(all.map(() => 0));
        expect(hako(place, ["kill", "long", "KILL"]).status).toBe(0);
        expect(await running).toBe(137);
        expect(place.files).toBe(files);
        for (let moment = 0; moment < 50; moment += 10)
          await Promise.all(
            Array.from({ length: 10 }, (_, index) =>
              hakoLater(
                place,
                [...AGENT, "--die-with-parent", "--", "sleep", "600"],
                1 + 3 * (moment + index),
              ),
            ),
          );
        expect(place.files).toBe(files);
        await until("no program goes on", () => !hako(place, ["list"]).stdout.includes("running"));
        hako(place, ["delete", "--force", ...hako(place, ["list", "--quiet"]).stdout.trim().split("\n")]);
      },
      needs,
    );

    e2e("has the one socket that it is given, and no other", async () => {
      using place = workplace();
      const dir = join(place.home, "agent");
      mkdirSync(dir);
      if (place.as.length > 0) execute("chown", [`${USER}:${USER}`, dir]);
      const socket = join(dir, "socket");
      const [command = "", ...rest] = [...place.as, "ssh-agent", "-D", "-a", socket];
      const agent = spawn(command, rest, { stdio: "ignore" });
      try {
        await until("the agent listens", () => existsSync(socket));
        const env = { SSH_AUTH_SOCK: socket };
        const asked = (...flags: string[]) => {
          const { status, stdout, stderr } = hako(
            place,
            [...AGENT, ...flags, "-e", "SSH_AUTH_SOCK", "--", "ssh-add", "-l"],
            env,
          );
          return /no identities/.test(stdout + stderr) ? "answers" : `${status}: ${stderr.trim()}`;
        };
        expect(asked()).toStartWith("2: Error connecting to agent");
        expect(asked("-v", `${socket}:${socket}`)).toBe("answers");
        expect(asked("--write", dir)).toStartWith("2: Error connecting to agent");
        // without the policy, which hides it, a directory that is passed on is passed on with its sockets
        const passed = [
          "run",
          "--rootfs",
          "/",
          "-v",
          `${dir}:${dir}`,
          "-e",
          "SSH_AUTH_SOCK",
          "--",
          "ssh-add",
          "-l",
        ];
        expect(hako(place, passed, env).stdout).toContain("no identities");
        expect(hako(place, passed.toSpliced(3, 2), env).status).toBe(2);
      } finally {
        agent.kill();
      }
    }, [...needs, needsProgram("ssh-agent"), needsProgram("ssh-add")]);

    e2e(
      "does not begin where it can't be what was asked for",
      () => {
        using place = workplace();
        const { project } = place;
        const proof = join(project, "proof");
        const file = join(place.home, "policy.toml");
        writeFileSync(file, 'extends = "agent"\nhides = ["~/secret"]\n');
        for (const flags of [
          ["--policy", "agnt"],
          ["--policy", file],
          ["--policy", "agent", "--network", "allow:"],
          ["--policy", "agent", "--network", "none-such"],
          ["--policy", "agent", "--protect", "none"],
          ["--policy", "agent", "--hide", "/"],
          ["--policy", "agent", "--seccomp", "/none"],
          ["--policy", "agent", "--cap-drop", "NONE_SUCH"],
          ["--policy", "agent", "--memory", "0"],
          ["--policy", "agent", "--changes", "."],
          ["--policy", "agent", "--report", "/none/of/it"],
        ]) {
          const { status, stderr } = hako(place, ["run", ...flags, "--", "touch", proof]);
          expect([
            flags,
            [2, 125].includes(status ?? 0),
            stderr.startsWith("hako: "),
            existsSync(proof),
          ]).toEqual([flags, true, true, false]);
        }
        expect(hako(place, ["run", "--policy", "agent", "--", "touch", proof]).status).toBe(0);
        expect(existsSync(proof)).toBe(true);
      },
      needs,
    );

    e2e("shows all changes, each removal too, and first what would be executed", () => {
      using place = workplace();
      const [command = "", ...rest] = [...place.as, "sh", "-c", "mkdir old; cd old; touch $(seq 1500)"];
      execute(command, rest, { cwd: place.project });
      const kept = join(place.home, "kept");
      const line = "rm -r old; git init -q new; echo evil > new/.git/hooks/pre-commit; echo x > a";
      expect(hako(place, [...AGENT, "--changes", kept, "--", "sh", "-c", line]).status).toBe(0);
      const shown = hako(place, ["changes", kept]).stdout.trimEnd().split("\n");
      expect(shown.filter((row) => /^removed +.*\/old\/\d+ /.test(row)).length).toBe(1500);
      const executed = shown.findIndex((row) => row.includes("new/.git/hooks/pre-commit"));
      expect(shown[executed]).toContain("git executes it");
      expect(executed).toBeLessThan(
        shown.findIndex((row) => /^(removed|added) +.*project\/(old|a) /.test(row)),
      );
      expect(
        execute("sh", ["-c", "ls old | wc -l; ls -d new 2>/dev/null"], { cwd: place.project }).stdout,
      ).toBe("1500\n");
    }, [...needs, needsProgram("git")]);

    e2e(
      "begins at once",
      () => {
        using place = workplace();
        const timed = (flags: readonly string[]) => {
          const begun = performance.now();
          expect(hako(place, [...flags, "--", "true"]).status).toBe(0);
          return performance.now() - begun;
        };
        const times = Array.from(
          { length: 9 },
          () => [timed(AGENT), timed(["run", "--rootfs", "/"])] as const,
        );
        const median = (which: 0 | 1) =>
          times.map((both) => both[which]).toSorted((one, other) => one - other)[4] ?? 0;
        // a policy adds a third of what a sandbox takes without one, whatever else runs
        expect(median(0)).toBeLessThan(3 * median(1) + 50);
      },
      needs,
    );

    e2e(
      "works where a runtime directory is the home directory, or one that all share",
      () => {
        using place = workplace();
        const { home } = place;
        writeFileSync(join(home, "tool"), "text\n");
        const line = 'cat ../tool; cat ../.ssh/id; echo x > made; touch /tmp/made && echo "temporary"';
        for (const runtime of [home, "/tmp", place.project]) {
          const result = hako(place, ["--root", join(home, ".state"), ...AGENT, "--", "sh", "-c", line], {
            XDG_RUNTIME_DIR: runtime,
          });
          expect([runtime, result.stdout]).toEqual([runtime, "text\ntemporary\n"]);
        }
        const env = { DOCKER_CONFIG: home };
        expect(hako(place, [...AGENT, "--", "true"], env).stderr).toContain(
          `DOCKER_CONFIG is ${home}, which would be hidden`,
        );
      },
      needs,
    );
  });
  if (who === "root")
    e2e(
      "a sandbox costs the same in a large tree: paths and names of a directory do, and a search of all of it is refused, at once",
      () => {
        using place = workplace();
        const made =
          "mkdir $(seq 105); for d in $(seq 105); do (cd $d; touch $(seq 200)); done; echo secret > 7/a.pem; echo secret > b.pem";
        const [command = "", ...rest] = [...place.as, "sh", "-c", made];
        expect(execute(command, rest, { cwd: place.project }).status).toBe(0);
        const timed = (...flags: string[]) => {
          const begun = performance.now();
          const result = hako(place, [...AGENT, ...flags, "--", "cat", "7/a.pem", "b.pem"]);
          return { ...result, ms: performance.now() - begun };
        };
        const plain = timed();
        expect(plain.stdout).toBe("secret\nsecret\n");
        // a second more would be felt; where others run all takes longer
        const most = 3 * plain.ms + 1000;
        const hidden = timed("--hide", "7/a.pem", "--hide", "*.pem");
        expect(hidden).toMatchObject({ status: 0, stdout: "" });
        expect(hidden.ms).toBeLessThan(most);
        expect(timed("--hide", "7/*.pem")).toMatchObject({ status: 0, stdout: "secret\n" });
        const searched = timed("--hide", "**/*.pem");
        expect(searched).toMatchObject({
          stdout: "",
          stderr: expect.stringContaining("more than 20000 names"),
        });
        expect(searched.status).not.toBe(0);
        expect(searched.ms).toBeLessThan(most);
      },
      needs,
    );
}
