// run --detach --output FILE, and logs.
import { describe, expect } from "bun:test";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Box, e2e, execute, HAKO, needsHako, PATIENCE_MS, until, untilOpen } from "./support";

const sh = (line: string) => ["sh", "-c", line];

function detached(box: Box, line: string, file: string): string {
  const id = box.id();
  box.ok("run", "--detach", "--output", file, "--bundle", box.bundle(sh(line)), id);
  return id;
}

/** What a container's line of shell waits for: that it is told to go on. */
const untilTold = "until [ -e /told ]; do sleep 0.05; done";

function tell(box: Box, id: string): void {
  writeFileSync(join(box.state(id).bundle, "rootfs/told"), "");
}

/** A `hako logs --follow` that goes on. */
class Following {
  readonly #child: ChildProcess;
  readonly #closed: Promise<unknown[]>;
  #stdout = "";

  constructor(box: Box, words: string[]) {
    const args = ["--root", box.root, "logs", "--follow", ...words];
    this.#child = spawn(HAKO, args, { stdio: ["ignore", "pipe", "inherit"] });
    this.#closed = once(this.#child, "close");
    this.#child.stdout?.on("data", (data: Buffer) => {
      this.#stdout += data.toString();
    });
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  async says(text: string): Promise<void> {
    await until(text, () => this.#stdout === text);
  }

  async ended(): Promise<{ status: unknown; stdout: string }> {
    const [status] = await this.#closed;
    return { status, stdout: this.#stdout };
  }
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
    const begun = performance.now();
    const line = `x=$("$1" --root "$2" run --detach --output "$3" --rootfs / -- sleep 600); test -n "$x"; echo "$x"`;
    const made = execute("sh", ["-c", line, "sh", HAKO, box.root, box.path("other.log")]);
    expect(performance.now() - begun).toBeLessThan(PATIENCE_MS);
    box.ok("delete", "--force", made.stdout.trim());
    expect(readFileSync(box.path("other.log"), "utf8")).toBe("");
    box.ok("delete", id);
    expect(existsSync(file)).toBe(true);
  }, [needsHako]);

  e2e("--follow goes on until the end, also of a file that is emptied", async () => {
    using box = new Box();
    const file = box.path("job.log");
    const id = detached(box, `echo line 1; ${untilTold}; echo line 2; sleep 0.5; echo line 3`, file);
    const following = new Following(box, [id]);
    await following.says("line 1\n");
    expect(box.ok("logs", id).stdout).toBe("line 1\n");
    tell(box, id);
    expect(await following.ended()).toEqual({ status: 0, stdout: "line 1\nline 2\nline 3\n" });
    expect(box.ok("logs", "-f", id).stdout).toBe("line 1\nline 2\nline 3\n");
    const emptied = box.path("emptied.log");
    const other = detached(box, `echo a long first line; ${untilTold}; echo b`, emptied);
    const also = new Following(box, [other]);
    await also.says("a long first line\n");
    writeFileSync(emptied, "");
    tell(box, other);
    expect((await also.ended()).stdout).toBe("a long first line\nb\n");
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
    const more = box.path("more.log");
    const writing = detached(box, `echo line 1; ${untilTold}; echo line 2; sleep 0.5; echo line 3`, more);
    await until("the first line", () => readFileSync(more, "utf8") === "line 1\n");
    const last = new Following(box, ["--tail", "0", writing]);
    await untilOpen(last.pid, more);
    await Bun.sleep(300);
    tell(box, writing);
    expect((await last.ended()).stdout).toBe("line 2\nline 3\n");
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
