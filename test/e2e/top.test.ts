// hako top: what all containers use.
import { describe, expect } from "bun:test";
import { Box, e2e, execute, HAKO, needsHako, needsProgram, SLEEP, until } from "./support";
import { onTerminal } from "./terminal";

const MIB = 2 ** 20;
const BUSY = ["sh", "-c", "while :; do :; done"];

function busy(box: Box): string {
  return box.started(BUSY, (config) => {
    config.linux.resources = { memory: { limit: 32 * MIB }, pids: { limit: 9 } };
  });
}

describe("top", () => {
  e2e("once, for programs: rates, limits @v2", () => {
    using box = new Box();
    const [one, two] = [busy(box), box.started(SLEEP)];
    box.ok("create", "--bundle", box.bundle(SLEEP), box.id());
    const stopped = box.id();
    box.ok("run", "--keep", "--bundle", box.bundle(["true"]), stopped);
    const rows = JSON.parse(box.ok("top", "--once", "--json").stdout) as {
      id: string;
      [key: string]: unknown;
    }[];
    expect(rows[0]).toMatchObject({ id: one, root: box.root, sandbox: one, status: "running" });
    expect(rows[0]).toMatchObject({ memoryLimitBytes: 32 * MIB, pids: 1, pidsLimit: 9 });
    expect(rows[0]?.cpuPercent).toBeGreaterThan(1);
    expect(rows[0]?.memoryBytes).toBeGreaterThan(0);
    expect(rows.map(({ id }) => id)).toContain(two);
    expect(rows.find(({ id }) => id === two)).toMatchObject({ memoryLimitBytes: null, pidsLimit: null });
    expect(rows.map(({ id }) => id)).not.toContain(stopped);
    expect(box.ok("top", "--once", "--sort", "name", "--interval", "50ms").stdout).toMatch(
      new RegExp(`^ID .*\n(.*\n)*${one} +running +[\\d.]+ +[\\d.]+ [KM]iB +32 MiB +1 `),
    );
    box.ok("delete", "--force", stopped);
  }, [needsHako]);

  e2e("what it can't do is refused", () => {
    using box = new Box();
    expect(box.ok("top", "--once", "--json").stdout).toBe("[]\n");
    for (const words of [["--json"], [], ["--interval", "0s"], ["--sort", "colour"]])
      expect(box.hako("top", ...words)).toMatchObject({ status: 2, stdout: "" });
    expect(box.hako("top").stderr).toContain("--once");
  }, [needsHako]);

  e2e("on a terminal: it goes on, sorts by keys, follows the size, and gives the screen back", () => {
    using box = new Box();
    const id = busy(box);
    const steps = [
      { wait: "hako top: 1 containers" },
      { wait: "[c cpu]" },
      { type: "m" },
      { wait: "[m memory]" },
      { size: [150, 30] as [number, number] },
      { wait: "SANDBOX" },
      { type: "q" },
    ];
    const { shown, status } = onTerminal(steps, [HAKO, "--root", box.root, "top", "--interval", "200ms"]);
    expect(status).toBe(0);
    expect(shown).toContain(id.slice(0, 20));
    expect(shown.startsWith("\x1b[?1049h")).toBe(true);
    expect(shown.endsWith("\x1b[?25h\x1b[?1049l")).toBe(true);
    const interrupted = onTerminal(
      [{ wait: "hako top" }, { type: "\x03" }],
      [HAKO, "--root", box.root, "top"],
    );
    expect([interrupted.status, interrupted.shown.endsWith("\x1b[?1049l")]).toEqual([0, true]);
  }, [needsHako, needsProgram("python3")]);

  e2e("under tmux; a signal gives the screen back too", async () => {
    using box = new Box();
    const id = busy(box);
    const tmux = (...words: string[]) => execute("tmux", ["-L", box.names, ...words]);
    const screen = () => tmux("capture-pane", "-p").stdout;
    tmux("new-session", "-d", "-x", "90", "-y", "10", "sh");
    try {
      await until("a shell", () => screen().includes("#") || screen().includes("$"));
      tmux(
        "send-keys",
        `${HAKO} --root ${box.root} top; stty -a | tr ' ' '\\n' | grep -x echo; echo status $?`,
        "Enter",
      );
      await until("the table", () => screen().includes("q quit") && screen().includes(id.slice(0, 20)));
      tmux("send-keys", "n");
      await until("sorted by name", () => screen().includes("[n name]"));
      const pid = execute("sh", [
        "-c",
        `tr '\\0' ' ' < /proc/$1/cmdline > /dev/null; pgrep -f "root ${box.root} top$"`,
        "sh",
        "self",
      ]);
      execute("kill", ["-TERM", ...pid.stdout.trim().split("\n")]);
      await until("the shell again", () => screen().includes("\nstatus 0"));
      expect(screen()).toContain("\necho\n");
      expect(screen()).not.toContain("q quit");
    } finally {
      tmux("kill-server");
    }
  }, [needsHako, needsProgram("tmux"), needsProgram("pgrep")]);
});
