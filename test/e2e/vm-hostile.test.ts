// Machines whose agent, or whose kernel, is not what it should be: no command of the host's hangs, and each says so in one line.
import { expect } from "bun:test";
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { PROTOCOL } from "../../src/drivers/vm/channel/agent-protocol";
import { writeErofs } from "../../src/drivers/vm/guest/erofs";
import { GUEST_MOUNTS } from "../../src/drivers/vm/guest/first-stage";
import { O } from "../../src/linux/call/constants";
import { openAt } from "../../src/linux/file/path";
import { expectNothingLeft } from "./left";
import { environment, needsMachine, setUp, shared } from "./machines";
import {
  Box,
  e2e,
  execute,
  HAKO,
  names,
  needsBusybox,
  needsProgram,
  type Result,
  TIME_LIMIT,
  until,
} from "./support";

const cache = shared.path("hostile-cache");
const env = environment(cache);
const LONG = 6 * TIME_LIMIT;
const needs = [needsMachine, needsBusybox, needsProgram("cc")];

/** Calls and ways to misbehave, in the order of hostile-agent.c. */
const CALLS: readonly (readonly [call: string, command: (id: string) => string[]])[] = [
  ["exec", (id) => ["exec", "--detach", id, "true"]],
  ["stats", (id) => ["events", "--stats", id]],
  ["update", (id) => ["update", "--pids-limit", "10", id]],
  ["processes", (id) => ["ps", id]],
  ["signal", (id) => ["kill", id, "USR1"]],
];
const WAYS = [
  ["garbage", "the guest's agent sent a line that is no JSON"],
  ["a long line", "the guest's agent sent a line of more than 1048576 bytes"],
  ["another id", "the guest's agent sent a reply to another request"],
  ["another answer", "the guest's agent sent "],
  ["an error", "\\x1b[2Jwrong\\x0ahako: and more"],
  ["nothing", "the guest's agent does not answer in time"],
] as const;
const NOTHING = 5;
/** Beside the deadline of a call. */
const QUICK_MS = TIME_LIMIT / 4;
/** exec's is a minute; others' ten seconds. */
const DEADLINE_MS = 10_000;
const FIRST_SIGNAL = 34;

function hako(box: Box, words: string[], milliseconds: number): Result {
  return execute(HAKO, ["--root", box.root, ...words], { env, timeout: milliseconds });
}

function bundle(box: Box): string {
  return box.bundle(["true"], (config) => {
    config.root.readonly = true;
    config.annotations = { "org.hako.driver": "vm" };
  });
}

/** Puts a program of the test's own where the guest's image has hako. */
function makeHostile(box: Box): void {
  setUp(cache);
  const program = box.path("agent");
  const source = join(import.meta.dir, "fixtures/hostile-agent.c");
  const done = spawnSync("cc", ["-static", "-O1", `-DPROTOCOL="${PROTOCOL}"`, "-o", program, source]);
  if (done.status !== 0) throw new Error(`cc: ${done.stderr}`);
  const machines = join(cache, "hako/machines");
  const key = names(machines).find((name) => /^[0-9a-f]{40}$/.test(name)) ?? "";
  using image = openAt(undefined, join(machines, key, "image"), O.WRONLY | O.TRUNC);
  const files = [{ path: "/bin/hako", mode: 0o755, content: { file: program } }];
  writeErofs(image, { files, directories: GUEST_MOUNTS });
}

function expectOneLine({ status, stderr }: Result, what: string): void {
  expect(status).not.toBeNull();
  expect(status).not.toBe(0);
  expect(stderr).toStartWith("hako: ");
  expect(stderr).toContain(what);
  expect(stderr.indexOf("\n")).toBe(stderr.length - 1);
  expect(stderr).not.toContain("\x1b");
}

async function expectGone(box: Box, id: string): Promise<void> {
  const removed = hako(box, ["delete", "--force", id], QUICK_MS);
  expect(removed).toMatchObject({ status: 0, stderr: "" });
  await expectNothingLeft([box.dir, box.names], box.root, new Set());
}

e2e(
  "whatever an agent answers, every command ends with one line, and the next one is served",
  async () => {
    using box = new Box();
    makeHostile(box);
    const id = box.id();
    expect(hako(box, ["create", "--bundle", bundle(box), id], LONG)).toMatchObject({ status: 0, stderr: "" });
    expect(hako(box, ["start", id], LONG)).toMatchObject({ status: 0, stderr: "" });
    for (const [callIndex, [call, command]] of CALLS.entries())
      for (const [wayIndex, [, words]] of WAYS.entries()) {
        // one deadline is like another
        if (wayIndex === NOTHING && call !== "signal") continue;
        const signal = FIRST_SIGNAL + callIndex * WAYS.length + wayIndex;
        expect(hako(box, ["kill", id, String(signal)], QUICK_MS)).toMatchObject({ status: 0, stderr: "" });
        const limit = QUICK_MS + (wayIndex === NOTHING ? DEADLINE_MS : 0);
        // to start a process or to change a limit is answered with nothing at all: more is not looked at
        const ignored = words.endsWith(" sent ") && ["exec", "update"].includes(call);
        const result = hako(box, command(id), limit);
        if (ignored) expect(result).toMatchObject({ status: 0, stderr: "" });
        else expectOneLine(result, words);
        // what it had to say goes on for a while, to whoever comes
        const isServed = () => hako(box, ["ps", id], QUICK_MS).stdout.includes("still there");
        await until(`${call} ${wayIndex}: the next one is served`, isServed, QUICK_MS);
      }
    await expectGone(box, id);
  },
  needs,
  LONG,
);

for (const [call, way, words] of [
  ["create", "g", WAYS[0][1]],
  ["create", "l", WAYS[1][1]],
  ["start", "i", WAYS[2][1]],
  ["create", "n", WAYS[5][1]],
  ["start", "n", WAYS[5][1]],
] as const)
  e2e(
    `an agent that answers ${call} with "${way}"${way === "n" ? " @all" : ""}`,
    async () => {
      using box = new Box();
      makeHostile(box);
      const id = `${box.id()}-hostile-${call}-${way}`;
      const created = hako(box, ["create", "--bundle", bundle(box), id], LONG);
      if (call === "create") {
        expectOneLine(created, words);
        expect(existsSync(join(box.root, id))).toBeFalse();
      } else {
        expect(created).toMatchObject({ status: 0, stderr: "" });
        expectOneLine(hako(box, ["start", id], LONG), words);
        expect((JSON.parse(hako(box, ["state", id], QUICK_MS).stdout) as { status: string }).status).toBe(
          "stopped",
        );
      }
      await expectGone(box, id);
    },
    needs,
    LONG,
  );

e2e(
  "a kernel that panics ends its container as a failure at once",
  async () => {
    using box = new Box();
    const id = box.id();
    const out = box.path("out");
    const panics = box.bundle(
      ["sh", "-c", "echo up; read x; echo c >/proc/sysrq-trigger; sleep 600"],
      (config) => {
        config.root.readonly = true;
        config.annotations = { "org.hako.driver": "vm" };
        config.linux.maskedPaths = [];
        config.linux.readonlyPaths = [];
      },
    );
    const own = environment(shared.path("cache"));
    const line = `(while ! grep -q up ${out}; do sleep 0.1; done; date +%s%N >&2; echo) | ${HAKO} --root ${box.root} run --bundle ${panics} ${id} >${out}`;
    const result = execute("bash", ["-c", `touch ${out}; ${line}; status=$?; date +%s%N >&2; exit $status`], {
      ...{ env: own, timeout: LONG },
    });
    const [began, ended] = result.stderr.trim().split("\n");
    expect(result.status).toBe(137);
    expect((Number(ended) - Number(began)) / 1e6).toBeLessThan(2000 * (TIME_LIMIT / 60_000));
    expect(readFileSync(out, "utf8")).toBe("up\n");
    await expectNothingLeft([box.dir, box.names], box.root, new Set());
  },
  [needsMachine, needsBusybox, needsProgram("bash")],
  LONG,
);
