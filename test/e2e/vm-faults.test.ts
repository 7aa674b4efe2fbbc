// What is killed at a random moment while containers are in machines: hako's commands, QEMU, the stand-in. `delete --force` leaves nothing.
import { afterAll, expect } from "bun:test";
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expectNothingLeft } from "./left";
import { environment, needsMachine, setUp, shared } from "./machines";
import { Box, e2e, execute, executeLater, HAKO, needsBusybox, type Result, TIME_LIMIT } from "./support";

const box = new Box();
afterAll(() => box[Symbol.dispose]());
const env = environment(shared.path("cache"));
const LONG = 6 * TIME_LIMIT;
const CPU = "/sys/fs/cgroup/cpu";
const FREEZER = "/sys/fs/cgroup/freezer";
/** After so many milliseconds an exec has asked the guest, which does not answer. */
const ASKED_MS = 1000;
const needs = [needsMachine, needsBusybox];

function hako(...words: string[]): Result {
  return execute(HAKO, ["--root", box.root, ...words], { env, timeout: LONG });
}

function run(id: string): string[] {
  return ["run", "--detach", "--driver", "vm", "--rootfs", "/", "--name", id, "--", "sleep", "1000"];
}

/** Runs a command that is killed after so many milliseconds; how long it took if it was faster. */
async function killed(words: readonly string[], after: number): Promise<number | undefined> {
  const start = performance.now();
  const child = spawn(HAKO, ["--root", box.root, ...words], { env, stdio: "ignore" });
  const timer = setTimeout(() => child.kill("SIGKILL"), after);
  const signal = await new Promise((done) => child.on("exit", (_, by) => done(by)));
  clearTimeout(timer);
  return signal === null ? performance.now() - start : undefined;
}

async function expectGone(id: string, what: string): Promise<void> {
  const { status, stderr } = hako("delete", "--force", id);
  expect([what, status, stderr]).toEqual([what, 0, ""]);
  await expectNothingLeft([box.dir, box.names], box.root, new Set());
}

function pidOf(id: string, victim: "QEMU" | "stand-in"): number {
  const file = victim === "QEMU" ? join("@machines", id, "machine.json") : join(id, "state.json");
  const record = JSON.parse(readFileSync(join(box.root, file), "utf8")) as {
    qemu?: { pid: number };
    init?: { pid: number };
  };
  return (record.qemu ?? record.init)?.pid ?? 0;
}

e2e(
  "what an exec has asked that was killed does not take the port of the next one",
  async () => {
    setUp(shared.path("cache"));
    const id = box.id();
    // with a limit its processors have a cgroup of their own
    const made = hako("run", "--cpus", "1", ...run(id).slice(1));
    expect(made).toMatchObject({ status: 0, stderr: "" });
    const frozen = join(FREEZER, `${id}-processors`);
    const threads = readFileSync(`${CPU}/${id}/vcpu/tasks`, "utf8").trim().split("\n");
    mkdirSync(frozen);
    for (const thread of threads) writeFileSync(join(frozen, "tasks"), thread);
    writeFileSync(join(frozen, "freezer.state"), "FROZEN");
    try {
      await killed(["exec", "--detach", id, "sleep", "1000"], 3 * ASKED_MS);
      const next = executeLater(HAKO, ["--root", box.root, "exec", id, "echo", "served"], LONG, env);
      await Bun.sleep(ASKED_MS);
      writeFileSync(join(frozen, "freezer.state"), "THAWED");
      expect(await next).toMatchObject({ stdout: "served\n", stderr: "" });
    } finally {
      writeFileSync(join(frozen, "freezer.state"), "THAWED");
      for (const thread of threads) writeFileSync(join(FREEZER, "tasks"), thread);
      rmdirSync(frozen);
    }
    await expectGone(id, "exec");
  },
  [...needs, existsSync(join(FREEZER, "tasks")) ? undefined : "no freezer of cgroup v1"],
  LONG,
);

async function tryAll(rounds: number): Promise<void> {
  setUp(shared.path("cache"));
  // how long they take when nobody kills them
  const first = box.id();
  const running = (await killed(run(first), LONG)) ?? LONG;
  const beside: (readonly string[])[] = [
    ["exec", first, "true"],
    ["exec", "--detach", first, "sleep", "1000"],
    ["update", "--pids-limit", "100", first],
    ["events", "--stats", first],
    ["ps", first],
    ["kill", first, "WINCH"],
  ];
  for (const words of beside) {
    const whole = (await killed(words, LONG)) ?? LONG;
    for (let round = 0; round < rounds; round++) await killed(words, Math.random() * whole);
    // the machine serves whoever comes next, with as many ports as before
    const after = hako("exec", first, "echo", "served");
    expect([words.join(" "), after.stdout, after.stderr]).toEqual([words.join(" "), "served\n", ""]);
  }
  await killed(["delete", "--force", first], 5);
  await expectGone(first, "delete");
  for (let round = 0; round < rounds; round++) {
    const id = box.id();
    const after = Math.random() * running;
    await killed(run(id), after);
    await expectGone(id, `run after ${after} of ${running} ms`);
  }
  for (const victim of ["QEMU", "stand-in"] as const) {
    const id = box.id();
    expect(hako(...run(id)).status).toBe(0);
    process.kill(pidOf(id, victim), "SIGKILL");
    expect(hako("wait", id).stdout).toBe("137\n");
    await expectGone(id, victim);
  }
}

e2e("kill -9 of everything at some moments", () => tryAll(1), needs, LONG);
e2e("kill -9 of everything at many moments @all", () => tryAll(20), needs, 10 * LONG);
