// Completion in the shells themselves: the same lines in bash, zsh and fish.
import { describe, expect } from "bun:test";
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { Box, e2e, execute, HAKO, needsHako, needsProgram } from "./support";
import { onTerminal } from "./terminal";

/** A container that is there, with the directories that a shell needs. */
function prepared(box: Box): { id: string; env: Record<string, string> } {
  const id = box.id();
  box.ok("create", "--bundle", box.bundle(["sleep", "600"]), id);
  const bin = box.path("bin");
  mkdirSync(bin);
  symlinkSync(HAKO, `${bin}/hako`);
  for (const shell of ["bash", "zsh", "fish"])
    writeFileSync(box.path(`completion.${shell}`), box.ok("completion", shell).stdout);
  const env = { PATH: `${bin}:${process.env.PATH ?? ""}`, HOME: box.dir, TERM: "xterm" };
  return { id, env };
}

/** What is offered for the last word; `=` between flag and value is a word of its own in bash. */
type Complete = (...words: string[]) => string[];

function lines(text: string): string[] {
  return text.split("\n").filter((line) => line !== "");
}

const SHELLS: Record<string, (box: Box, env: Record<string, string>) => Complete> = {
  bash:
    (box, env) =>
    (...words) => {
      const list = ["hako", ...words].map((word) => `'${word}'`).join(" ");
      const line = `. ${box.path("completion.bash")}; COMP_WORDS=(${list}); COMP_CWORD=${words.length}; _hako; printf '%s\\n' "\${COMPREPLY[@]}"`;
      const done = execute("bash", ["--norc", "-c", line], { env, cwd: box.dir });
      expect(done.stderr).toBe("");
      return lines(done.stdout);
    },
  // as its bashcompinit calls the function: arrays begin with 0, and the shell's own variables are there
  zsh:
    (box, env) =>
    (...words) => {
      const list = ["hako", ...words].map((word) => `'${word}'`).join(" ");
      const line = `compdef() { : }; . ${box.path("completion.zsh")}
      f() { emulate -L ksh; setopt kshglob braceexpand; COMP_WORDS=(${list}); COMP_CWORD=${words.length}; _hako; printf '%s\\n' "\${COMPREPLY[@]}"; }
      f`;
      const done = execute("zsh", ["-f", "-c", line], { env, cwd: box.dir });
      expect(done.stderr).toBe("");
      // it chooses those that begin so itself
      return lines(done.stdout).filter((each) => each.startsWith(words.at(-1) ?? ""));
    },
  fish:
    (box, env) =>
    (...words) => {
      const script = `source ${box.path("completion.fish")}; complete -C 'hako ${words.join(" ")}'`;
      const done = execute("fish", ["--no-config", "-c", script], { env, cwd: box.dir });
      expect(done.stderr).toBe("");
      return lines(done.stdout).map((line) => line.split("\t")[0] ?? "");
    },
};

for (const [shell, completer] of Object.entries(SHELLS)) {
  describe(shell, () => {
    e2e("commands, flags, values, ids where there are some, signals", () => {
      using box = new Box();
      const { id, env } = prepared(box);
      const complete = completer(box, env);
      const sorted = (...words: string[]) => complete(...words).sort();
      expect(complete("pau")).toEqual(["pause"]);
      expect(complete("--log-f")).toEqual(["--log-format"]);
      expect(sorted("--log-format", "")).toEqual(["json", "text"]);
      expect(complete("exec", "--additional")).toEqual(["--additional-gids"]);
      expect(complete("list", "--format", "j")).toEqual(["json"]);
      expect(complete("cgroup", "sh")).toEqual(["show"]);
      expect(sorted("completion", "")).toEqual(["bash", "fish", "zsh"]);
      expect(complete("--rootless", "a")).toEqual(["auto"]);
      // ids of the root that is named on the line, and of no other
      expect(complete("--root", box.root, "kill", "")).toEqual([id]);
      expect(complete(`--root=${box.root}`, "state", "")).toEqual([id]);
      expect(complete("--root", box.root, "cgroup", "show", "")).toEqual([id]);
      expect(complete("--cgroup-manager", "systemd", "--root", box.root, "kill", "")).toEqual([id]);
      expect(complete("--root", box.root, "rm", "")).toEqual([id]);
      expect(complete("--root", box.root, "stop", "")).toEqual([id]);
      expect(complete("r")).not.toContain("rm");
      expect(complete("sto")).not.toContain("stop");
      expect(complete("--root", box.root, "exec", "--env", "A=b", "--tty", "")).toEqual([id]);
      // after the id come signals, not ids
      expect(complete("--root", box.root, "kill", id, "TER")).toEqual(["TERM"]);
      expect(complete("--root", box.root, "kill", id, "")).not.toContain(id);
      // one that exists is no id for a new one
      for (const command of ["create", "run", "restore", "validate"])
        expect([command, complete("--root", box.root, command, "")]).toEqual([command, []]);
      const networks = complete("run", "--network", "");
      expect(networks).toContain("none");
      expect(networks).toContain("host");
      // and a file, which may be a namespace's
      expect(networks.join(" ")).toContain("bin");
      expect(complete("--root", box.root, "delete", "--")).toContain("--force");
      // signals of flags; and no file where none is meant
      expect(complete("stop", "--signal", "TER")).toEqual(["TERM"]);
      expect(complete("kill", "-s", "TER")).toEqual(["TERM"]);
      expect(complete("run", "--memory", "")).toEqual([]);
      expect(complete("run", "--name", "")).toEqual([]);
      expect(complete("create", "--bundle", "").join(" ")).toContain("bin");
      // behind -- nothing is hako's: a command, and what it takes
      const behind = complete("run", "--rootfs", "/", "job", "--", "--f");
      expect(behind.filter((word) => word.startsWith("-"))).toEqual([]);
      expect(complete("run", "--rootfs", "/", "--", "pid")).toContain("pidof");
      expect(complete("netns", "exec", "/run/x", "--", "pid")).toContain("pidof");
      expect(complete("netns", "exec", "/run/x", "")).toEqual(["--"]);
      expect(complete("--root", box.root, "exec", id, "pid")).toContain("pidof");
    }, [needsHako, needsProgram(shell), needsProgram("pidof")]);

    e2e("ids of containers that are in a state which the command takes", async () => {
      using box = new Box();
      const { id: created, env } = prepared(box);
      const running = box.started(["sleep", "600"]);
      const paused = box.started(["sleep", "600"]);
      box.ok("pause", paused);
      const stopped = box.started(["true"]);
      await box.waitFor(stopped, "stopped");
      const complete = completer(box, env);
      const rows: [string, string[]][] = [
        ["start", [created]],
        ["exec", [created, running]],
        ["pause", [created, running]],
        ["resume", [paused]],
        ["kill", [created, running, paused]],
        ["stop", [created, running, paused]],
        ["ps", [created, running, paused]],
        ["update", [created, running, paused]],
        ["checkpoint", [running, paused]],
        ["state", [created, running, paused, stopped]],
        ["delete", [created, running, paused, stopped]],
      ];
      for (const [command, ids] of rows)
        expect([command, complete("--root", box.root, command, "").sort()]).toEqual([command, ids.sort()]);
      // with the signal as a flag all operands are containers
      for (const flag of [["-9"], ["-KILL"], ["-s", "TERM"], ["--signal=TERM"]]) {
        for (const before of [[running], [running, paused]])
          expect(complete("--root", box.root, "kill", ...flag, ...before, "").sort()).toEqual(
            [created, running, paused].sort(),
          );
      }
      expect(complete("--root", box.root, "kill", "-a", running, "TER")).toEqual(["TERM"]);
      // more of them behind the first
      expect(complete("--root", box.root, "stop", running, "").sort()).toEqual(
        [created, running, paused].sort(),
      );
    }, [needsHako, needsProgram(shell)]);
  });
}

e2e("bash takes a flag and its value apart at the =", () => {
  using box = new Box();
  const { id, env } = prepared(box);
  const complete = SHELLS.bash?.(box, env) as Complete;
  expect(complete("--cgroup-manager", "=", "sys")).toEqual(["systemd"]);
  expect(complete("list", "--format", "=")).toEqual(["table", "json"]);
  expect(complete("--root", "=", box.root, "kill", "")).toEqual([id]);
  expect(complete("--root", "=", box.root, "delete", "--regex", "=", "false", "")).toEqual([id]);
}, [needsHako]);

e2e("zsh completes at its prompt", () => {
  using box = new Box();
  const { id, env } = prepared(box);
  const start = `autoload -U compinit; compinit -u -D; . ${box.path("completion.zsh")}; PS1=ready; PS1=$PS1'> '`;
  const { shown } = onTerminal(
    [
      { wait: "# ", type: `${start}\n` },
      { wait: "ready> ", type: `hako --root ${box.root} kill ${id.slice(0, -1)}\t` },
      { wait: `kill ${id}`, type: " TER\t" },
      { wait: "TERM", type: "\u0015exit\n" },
    ],
    ["env", "-i", ...Object.entries(env).map(([name, value]) => `${name}=${value}`), "zsh", "-f", "-i"],
  );
  expect(shown).toContain(`kill ${id}`);
  expect(shown).toContain(" TERM");
  expect(shown).not.toContain("command not found");
}, [needsHako, needsProgram("zsh"), needsProgram("python3")]);

e2e("scripts have every command; another shell is refused", () => {
  using box = new Box();
  const commands =
    box
      .ok("--help")
      .stdout.split("commands:\n")[1]
      ?.match(/^ {2}(\w+)/gm) ?? [];
  expect(commands.length).toBeGreaterThan(20);
  for (const shell of Object.keys(SHELLS)) {
    const script = box.ok("completion", shell).stdout;
    for (const name of commands) expect(script).toContain(name.trim());
  }
  expect(box.hako("completion", "tcsh").status).toBe(2);
}, [needsHako]);
