// How a container ended: wait, and what state and list tell afterwards.
import { describe, expect } from "bun:test";
import { existsSync, mkdirSync, readFileSync, rmdirSync, rmSync, writeFileSync } from "node:fs";
import { release } from "node:os";
import { join } from "node:path";
import {
  Box,
  e2e,
  execute,
  HAKO,
  needsHako,
  needsProgram,
  type Result,
  SLEEP,
  until,
  untilOpen,
} from "./support";
import { onTerminal } from "./terminal";

const [major = 0, minor = 0] = release().split(".").map(Number);
/** A mounted pidfd keeps the exit status. */
const needsKept = major > 6 || (major === 6 && minor >= 15) ? undefined : "needs Linux 6.15";

function detached(box: Box, args: string[], ...flags: string[]): string {
  const id = box.id();
  box.ok("run", "--detach", ...flags, "--bundle", box.bundle(args), id);
  return id;
}

const sh = (line: string) => ["sh", "-c", line];
const waited = (result: Result) => JSON.parse(result.stdout) as Record<string, unknown>[];
const mounts = (box: Box) =>
  readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .filter((line) => line.includes(box.root));

describe("how a container ended", () => {
  e2e("is kept of one in the background, without a process", async () => {
    using box = new Box();
    const [seven, killed] = [detached(box, sh("exit 7")), detached(box, sh("kill -SEGV $$; sleep 9"))];
    const other = detached(box, SLEEP);
    await box.waitFor(seven, "stopped");
    box.ok("kill", other, "KILL");
    await box.waitFor(other, "stopped");
    expect(box.state(seven)).toMatchObject({ pid: 0, exitCode: 7, signal: null, finished: null });
    expect(box.state(other)).toMatchObject({ exitCode: 137, signal: "SIGKILL" });
    const rows = JSON.parse(box.ok("list", "--format", "json").stdout);
    expect(rows.find(({ id }: { id: string }) => id === seven)).toMatchObject({
      exitCode: 7,
      sandbox: seven,
    });
    expect(box.ok("list").stdout).toMatch(new RegExp(`^${other} .* 137 \\(KILL\\)$`, "m"));
    expect(box.ok("wait", seven, other).stdout).toBe("7\n137\n");
    expect(box.hako("events", "--stats", seven).stderr).toContain(
      `is not running (hako cgroup show ${seven} tells what it used)`,
    );
    for (const id of [seven, other]) box.ok("delete", id);
    box.ok("delete", "--force", killed);
    expect([mounts(box), existsSync(join(box.root, seven))]).toEqual([[], false]);
  }, [needsHako, needsKept]);

  e2e("leaves no mount behind, whatever way it goes", () => {
    using box = new Box();
    const running = detached(box, SLEEP);
    expect(mounts(box)).toHaveLength(1);
    box.ok("delete", "--force", running);
    const broken = detached(box, SLEEP);
    breakRecord(box, broken);
    box.ok("delete", "--force", broken);
    const failed = box.id();
    const bundle = box.bundle(SLEEP, (config) => {
      config.hooks = { poststart: [{ path: "/bin/false" }] };
    });
    expect(box.hako("run", "--detach", "--bundle", bundle, failed).status).toBe(1);
    expect([mounts(box), box.ok("list", "-q").stdout]).toEqual([[], ""]);
  }, [needsHako, needsKept]);

  e2e("is written down by run --keep, which is there @v2", () => {
    using box = new Box();
    const [id, other] = [box.id(), box.id()];
    const run = (name: string, line: string, ...flags: string[]) =>
      box.hako("run", "--keep", ...flags, "--bundle", box.bundle(sh(line)), name);
    expect(run(id, "exit 3").status).toBe(3);
    const { finished, ...state } = box.state(id);
    expect(state).toMatchObject({ status: "stopped", exitCode: 3, signal: null });
    expect(Date.parse(String(finished))).toBeGreaterThan(Date.now() - 60_000);
    expect(run(other, "sleep 600", "--timeout", "500ms").status).toBe(124);
    expect(box.state(other)).toMatchObject({ exitCode: 137 });
    for (const each of [id, other]) box.ok("delete", each);
    expect(mounts(box)).toEqual([]);
  }, [needsHako]);

  e2e("is seen by wait, of whoever's child it is @v2", async () => {
    using box = new Box();
    const id = box.id();
    box.ok("create", "--bundle", box.bundle(sh("exit 5")), id);
    const waiting = box.later(["wait", "--json", id]);
    await Bun.sleep(300);
    box.ok("start", id);
    const [ended] = waited(await waiting);
    expect(ended).toMatchObject({ id, signal: null });
    if (needsKept === undefined) expect(ended).toMatchObject({ exitCode: 5 });
    // and by others from then on
    expect(box.state(id)).toMatchObject({ exitCode: ended?.exitCode, finished: ended?.finished });
    const foreground = box.id();
    const bundle = box.bundle(sh("until [ -e /told ]; do sleep 0.1; done; exit 6"));
    const run = box.later(["run", "--bundle", bundle, foreground]);
    await until("it runs", () => box.hako("state", foreground).stdout.includes('"running"'));
    const other = Bun.spawn([HAKO, "--root", box.root, "wait", foreground], { stdout: "pipe" });
    await untilOpen(other.pid, "[pidfd]");
    writeFileSync(join(bundle, "rootfs/told"), "");
    expect((await run).status).toBe(6);
    const told = await new Response(other.stdout).text();
    if (needsKept === undefined) expect(told).toBe("6\n");
  }, [needsHako]);

  e2e("nobody knows it: unknown", async () => {
    using box = new Box();
    const id = box.started(sh("exit 4"));
    await box.waitFor(id, "stopped");
    // its parent, the tests' or the host's first process, may not have reaped it
    const code = box.state(id).exitCode;
    expect([4, null]).toContain(code as number | null);
    expect(box.ok("wait", id).stdout).toBe(`${code ?? "unknown"}\n`);
    expect(box.hako("wait", `${id}x`)).toMatchObject({ status: 1, stdout: "" });
    expect(box.hako("wait").status).toBe(2);
  }, [needsHako]);

  e2e("lack of memory is told @v2", async () => {
    using box = new Box();
    const id = box.id();
    const memory = sh("x=1; while :; do x=$x$x$x$x; done");
    const bundle = box.bundle(memory, (config) => {
      config.linux.resources = {
        ...config.linux.resources,
        memory: { limit: 16 * 2 ** 20, swap: 16 * 2 ** 20 },
      };
    });
    box.ok("run", "--detach", "--bundle", bundle, id);
    await box.waitFor(id, "stopped");
    expect(box.state(id)).toMatchObject({ oomKilled: true });
    if (needsKept === undefined) expect(box.ok("list").stdout).toContain("137 (KILL, out of memory)");
  }, [needsHako]);
});

/** Breaks a record. */
function breakRecord(box: Box, id: string): void {
  writeFileSync(join(box.root, id, "state.json"), "{");
}

describe("list", () => {
  e2e("shows what fits", () => {
    using box = new Box();
    const one = box.started(SLEEP, (config) => {
      config.annotations = { "org.example.role": "web" };
    });
    const two = box.id();
    box.ok("create", "--bundle", box.bundle(SLEEP), two);
    const fitting = (...words: string[]) =>
      box
        .ok("list", "-q", ...words.flatMap((word) => ["--filter", word]))
        .stdout.split("\n")
        .filter(Boolean);
    expect(fitting("status=running")).toEqual([one]);
    expect(fitting("status=running", "status=created")).toEqual([one, two]);
    expect(fitting("status=running", `id=^${two}$`)).toEqual([]);
    expect(fitting("annotation=org.example.role=web")).toEqual([one]);
    expect(fitting("label=org.example.role", `sandbox=${one}`)).toEqual([one]);
    expect(fitting("annotation=org.example.role=db")).toEqual([]);
    for (const wrong of ["status=up", "colour=red", "status", "id=("])
      expect(box.hako("list", "--filter", wrong)).toMatchObject({ status: 2, stdout: "" });
  }, [needsHako]);

  e2e("in another order", () => {
    using box = new Box();
    const [early, late] = [`${box.id()}-b`, `${box.id()}-a`].sort().reverse() as [string, string];
    for (const id of [early, late]) box.ok("run", "--detach", "--bundle", box.bundle(SLEEP), id);
    const listed = (...words: string[]) => box.ok("list", "-q", ...words).stdout;
    expect(listed()).toBe(`${late}\n${early}\n`);
    expect(listed("--sort", "created")).toBe(`${early}\n${late}\n`);
    // one that has stopped has none
    box.ok("kill", early, "KILL");
    box.ok("wait", early);
    expect(listed("--sort", "PID")).toBe(`${early}\n${late}\n`);
    expect(box.hako("list", "--sort", "crated")).toMatchObject({
      status: 2,
      stderr: 'hako: --sort: "crated" is no field (did you mean created?)\n',
    });
  }, [needsHako]);

  e2e("to somebody who sees none it says that there are others, on a terminal", () => {
    using box = new Box();
    const xdg = box.path("xdg");
    const root = `${xdg}/hako`;
    mkdirSync(root, { recursive: true, mode: 0o711 });
    const id = box.id();
    box.ok("--root", root, "create", "--bundle", box.bundle(SLEEP), id);
    const others = "in other state directories: hako list --all-roots";
    const line = `XDG_RUNTIME_DIR="$1"; export XDG_RUNTIME_DIR; exec "$2" --root "$3" list`;
    const list = ["sh", "-c", line, "sh", xdg, HAKO, box.root];
    try {
      expect(onTerminal([], list).shown).toMatch(new RegExp(`^ID .*\r\n[1-9]\\d* ${others}\r\n$`));
      expect(execute(list[0] ?? "", list.slice(1)).stderr).toBe("");
    } finally {
      box.ok("--root", root, "delete", "--force", id);
    }
  }, [needsHako, needsProgram("python3")]);

  e2e("in a form of the caller's", () => {
    using box = new Box();
    const id = box.started(SLEEP, (config) => {
      config.annotations = { "org.example.role": "web" };
    });
    const shown = (format: string) => box.ok("list", "--format", format).stdout;
    expect(shown('{{.ID}}: {{.Status}} {{index .Annotations "org.example.role"}}')).toBe(
      `${id}: running web\n`,
    );
    expect(JSON.parse(shown("{{json .}}"))).toMatchObject({ id, status: "running", root: box.root });
    expect(shown("table {{.Status}}\\t{{.ID}}")).toMatch(new RegExp(`^STATUS +ID\nrunning +${id}\n$`));
    for (const wrong of ["{{.Nothing}}", "{{range .}}", "{{.ID", "xml"])
      expect(box.hako("list", "--format", wrong)).toMatchObject({ status: 2, stdout: "" });
  }, [needsHako]);

  e2e("of all state directories that are known", () => {
    using box = new Box();
    const id = box.started();
    const existed = existsSync("/run/docker");
    // as docker has it, for a runtime that it calls so
    const root = `/run/docker/runtime-${box.names}/moby`;
    mkdirSync(root, { recursive: true, mode: 0o711 });
    const other = box.id();
    box.ok("--root", root, "create", "--bundle", box.bundle(SLEEP), other);
    try {
      const rows = JSON.parse(box.ok("list", "--all-roots", "--json").stdout) as {
        id: string;
        root: string;
      }[];
      const found = rows.filter((row) => [id, other].includes(row.id)).map((row) => [row.id, row.root]);
      expect(found).toEqual([
        [id, box.root],
        [other, root],
      ]);
      expect(box.ok("list", "--all-roots").stdout).toMatch(new RegExp(`^${other} .* ${root}$`, "m"));
    } finally {
      box.ok("--root", root, "delete", "--force", other);
      rmSync(`/run/docker/runtime-${box.names}`, { recursive: true });
      if (!existed) rmdirSync("/run/docker");
    }
  }, [needsHako]);
});
