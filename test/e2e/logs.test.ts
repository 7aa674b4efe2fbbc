// run --detach --output FILE, and logs.
import { describe, expect } from "bun:test";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { Box, e2e, execute, HAKO, needsHako } from "./support";

const sh = (line: string) => ["sh", "-c", line];

function detached(box: Box, line: string, file: string): string {
  const id = box.id();
  box.ok("run", "--detach", "--output", file, "--bundle", box.bundle(sh(line)), id);
  return id;
}

describe("logs", () => {
  e2e("what a container in the background writes is in its file, and nothing else @v2", async () => {
    using box = new Box();
    const file = box.path("job.log");
    writeFileSync(file, "before\n");
    const id = detached(box, "echo out; echo err >&2; printf '\\377'; exit 3", file);
    await box.waitFor(id, "stopped");
    const bytes = Buffer.concat([Buffer.from("before\nout\nerr\n"), Buffer.from([0xff])]);
    expect(readFileSync(file)).toEqual(bytes);
    const shown = Bun.spawnSync([HAKO, "--root", box.root, "logs", id]);
    expect(Buffer.from(shown.stdout)).toEqual(bytes);
    // the caller's output isn't held, and hako's own words go there
    const seconds = performance.now();
    const line = `x=$("$1" --root "$2" run --detach --output "$3" --rootfs / -- sleep 5); test -n "$x"; echo "$x"`;
    const made = execute("sh", ["-c", line, "sh", HAKO, box.root, box.path("other.log")]);
    expect(performance.now() - seconds).toBeLessThan(5000);
    box.ok("delete", "--force", made.stdout.trim());
    expect(readFileSync(box.path("other.log"), "utf8")).toBe("");
    box.ok("delete", id);
    expect(existsSync(file)).toBe(true);
  }, [needsHako]);

  e2e("--follow goes on until the end, also of a file that is emptied", async () => {
    using box = new Box();
    const file = box.path("job.log");
    const id = detached(box, "for i in 1 2 3; do echo line $i; sleep 1; done", file);
    const following = box.later(["logs", "--follow", id]);
    await Bun.sleep(500);
    expect(box.ok("logs", id).stdout).toBe("line 1\n");
    expect(await following).toMatchObject({ status: 0, stdout: "line 1\nline 2\nline 3\n" });
    expect(box.ok("logs", "-f", id).stdout).toBe("line 1\nline 2\nline 3\n");
    const emptied = box.path("emptied.log");
    const other = detached(box, "echo a long first line; sleep 2; echo b", emptied);
    const also = box.later(["logs", "-f", other]);
    await Bun.sleep(1000);
    writeFileSync(emptied, "");
    expect((await also).stdout).toBe("a long first line\nb\n");
  }, [needsHako]);

  e2e("--tail tells the last lines of what is there", async () => {
    using box = new Box();
    const file = box.path("job.log");
    const id = detached(box, "true", file);
    await box.waitFor(id, "stopped");
    const tail = (lines: string, text: string) => {
      writeFileSync(file, text);
      return box.ok("logs", "--tail", lines, id).stdout;
    };
    const long = `${"x".repeat(100_000)}\n`;
    const rows: [lines: string, text: string, told: string][] = [
      ["2", "a\nb\nc\n", "b\nc\n"],
      ["2", "a\nb\nc", "b\nc"],
      ["1", "a\n\n", "\n"],
      ["9", "a\nb\n", "a\nb\n"],
      ["1", "\n", "\n"],
      ["1", "", ""],
      ["0", "a\nb", ""],
      ["all", "a\nb\n", "a\nb\n"],
      ["2", `a\n${long}b\n`, `${long}b\n`],
      ["1", `a\n${long}`, long],
    ];
    for (const [lines, text, told] of rows)
      expect({ lines, text, told: tail(lines, text) }).toEqual({ lines, text, told });
    for (const wrong of ["-1", "x", ""]) expect(box.hako("logs", "-n", wrong, id).status).toBe(2);
    const writing = detached(box, "for i in 1 2 3; do echo line $i; sleep 1; done", box.path("more.log"));
    await Bun.sleep(300);
    expect(box.ok("logs", "--follow", "--tail", "0", writing).stdout).toBe("line 2\nline 3\n");
  }, [needsHako]);

  e2e("what can't be is refused, and leaves nothing", () => {
    using box = new Box();
    const bundle = box.bundle(["true"]);
    const id = box.id();
    const run = (...words: string[]) => box.hako("run", ...words, "--bundle", bundle, id);
    expect(run("--output", box.path("x")).stderr).toContain("--output needs --detach");
    expect(run("--detach", "--output", "").status).not.toBe(0);
    expect(run("--detach", "--output", box.path("no/such/file"))).toMatchObject({ status: 1, stdout: "" });
    expect(run("--detach", "--output", box.path("no/such/file")).stderr).toContain("no such file");
    const terminal = box.bundle(["true"], (config) => {
      config.process.terminal = true;
    });
    const both = ["--console-socket", box.path("s"), "--output", box.path("x"), "--bundle", terminal, id];
    expect(box.hako("run", "--detach", ...both).stderr).toContain("--output");
    // what fails when the file is there says so to its caller
    const missing = box.bundle(["no-such-program"]);
    const failed = box.hako("run", "--detach", "--output", box.path("y"), "--bundle", missing, id);
    expect([failed.status, failed.stderr]).toEqual([1, expect.stringContaining("no-such-program")]);
    expect([readFileSync(box.path("y"), "utf8"), existsSync(box.path("x"))]).toEqual(["", false]);
    expect(box.ok("list", "-q").stdout).toBe("");
    const silent = box.started();
    expect(box.hako("logs", silent).stderr).toContain("--output FILE");
  }, [needsHako]);
});
