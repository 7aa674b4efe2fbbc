// Containers in machines under containerd's shim, called by ctr.
import { afterAll, beforeAll, expect } from "bun:test";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { needsMachine, shared } from "../e2e/machines";
import { e2e, type Needs, needsBusybox, needsProgram, TIME_LIMIT, until } from "../e2e/support";
import { Containerd, IMAGE } from "./containerd-daemon";
import { hakoInMachines } from "./in-machines";

const needs: Needs[] = [needsMachine, needsBusybox, needsProgram("containerd"), needsProgram("ctr")];
const LONG = 6 * TIME_LIMIT;

let started: Containerd | undefined;
let runtime: string[] = [];
const use = (): Containerd => {
  if (started === undefined) throw new Error("there is no containerd");
  return started;
};

beforeAll(async () => {
  if (needs.some((need) => need !== undefined)) return;
  runtime = ["--runtime", "io.containerd.runc.v2", "--runc-binary", hakoInMachines(shared.dir)];
  started = await Containerd.start();
}, 240_000);
afterAll(async () => {
  await started?.[Symbol.asyncDispose]();
}, 240_000);

e2e(
  "ctr run and task: status, streams, a volume, exec, ps, metrics, pause, kill",
  async () => {
    const { machine } = use();
    mkdirSync(machine.path("volume"));
    writeFileSync(machine.path("volume/file"), "in\n");
    const mount = ["--mount", `type=bind,src=${machine.path("volume")},dst=/v,options=rbind:rw`];
    const id = use().id();
    const script =
      "trap 'echo bye > /v/bye; exit 5' TERM; uname -r > /v/kernel; cat /v/file > /v/copy; while :; do sleep 0.1; done";
    use().ok(
      "run",
      ...runtime,
      "--detach",
      ...mount,
      "--memory-limit",
      String(64 << 20),
      IMAGE,
      id,
      "sh",
      "-c",
      script,
    );
    const copy = machine.path("volume/copy");
    await until("it runs", () => existsSync(copy) && readFileSync(copy, "utf8") === "in\n", LONG);
    const exec = use().ctr(
      "task",
      "exec",
      "--exec-id",
      "one",
      id,
      "sh",
      "-c",
      "echo out; echo err >&2; exit 7",
    );
    expect(exec).toMatchObject({ status: 7, stdout: "out\n", stderr: "err\n" });
    expect(readFileSync(machine.path("volume/kernel"), "utf8").trim()).not.toBe(
      readFileSync("/proc/sys/kernel/osrelease", "utf8").trim(),
    );
    // the numbers are the host's
    expect(use().ok("task", "ps", id).trim().split("\n").length).toBe(2);
    expect(use().ok("task", "metrics", id)).toContain(id);
    use().ok("task", "pause", id);
    expect(use().ok("task", "ls")).toMatch(new RegExp(`${id} +\\d+ +PAUSED`));
    use().ok("task", "resume", id);
    use().ok("task", "kill", "--signal", "SIGTERM", id);
    await until("it has ended", () => use().ok("task", "ls").includes("STOPPED"), LONG);
    expect(readFileSync(machine.path("volume/bye"), "utf8")).toBe("bye\n");
    use().ok("task", "delete", id);
    use().ok("container", "delete", id);
    const left = machine.leftovers(`/run/containerd/runc/${use().namespace}`);
    expect(left.filter((line) => line.includes(id) || line.includes("qemu"))).toEqual([]);
  },
  needs,
  LONG,
);
