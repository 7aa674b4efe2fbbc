// @cgroup-v2
// containerd's shim can't tell hako from runc, called by ctr.
import { afterAll, beforeAll, describe, expect } from "bun:test";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { e2e, IS_HAKO, isV2, type Needs, needsBusybox, needsProgram, needsRoot, until } from "../e2e/support";
import { onTerminal } from "../e2e/terminal";
import { Containerd } from "./containerd-daemon";
import { hasAllCapabilities } from "./machine";

const needs: Needs[] = [needsRoot, needsBusybox, needsProgram("containerd"), needsProgram("ctr")];
const ready = needs.every((need) => need === undefined);
const needsPython = needsProgram("python3");
const needsAllForRunc: Needs =
  IS_HAKO || hasAllCapabilities ? undefined : "runc refuses a capability that this machine has not";
const FOREVER = ["sh", "-c", "while :; do sleep 1; done"];

let started: Containerd | undefined;
const use = (): Containerd => {
  if (started === undefined) throw new Error("there is no containerd");
  return started;
};

beforeAll(async () => {
  if (ready) started = await Containerd.start();
}, 240_000);

afterAll(async () => {
  await started?.[Symbol.asyncDispose]();
}, 240_000);

/** What is left of a container on the machine. */
const left = (id: string): string[] =>
  use()
    .machine.leftovers(`/run/containerd/runc/${use().namespace}`)
    .filter((line) => line.includes(id));

describe("ctr run", () => {
  e2e(
    "output, exit status, input, and why a program can't start @v2",
    () => {
      expect(use().run([], "sh", "-c", "echo out; echo err >&2; exit 42")).toMatchObject({
        status: 42,
        stdout: "out\n",
        stderr: "err\n",
      });
      // not up to its end: ctr loses an end that comes before the task is there
      const piped = use().runWith({ input: "one\n" }, [], "sh", "-c", "read -r a; echo got $a");
      expect(piped.stdout).toBe("got one\n");
      const missing = use().run([], "nosuch");
      expect(missing.status).toBe(1);
      expect(missing.stderr).toContain('exec: "nosuch": executable file not found in $PATH');
    },
    needs,
  );

  e2e(
    "environment, directory, mounts, a read-only root, the host's network, seccomp, limits",
    () => {
      const { machine } = use();
      mkdirSync(machine.path("volume"));
      writeFileSync(machine.path("volume/file"), "in\n");
      const options = [
        "--env",
        "A=b",
        "--cwd",
        "/tmp",
        "--read-only",
        "--net-host",
        "--seccomp",
        "--memory-limit",
        String(64 << 20),
        "--cpus",
        "0.5",
      ];
      options.push(
        "--mount",
        `type=bind,src=${machine.path("volume")},dst=/v,options=rbind:rw`,
        "--annotation",
        "some=thing",
      );
      const script = `echo $A; pwd; touch /x 2>/dev/null || echo refused; cat /v/file; echo out > /v/out; readlink /proc/self/ns/net; grep ^Seccomp: /proc/self/status`;
      const result = use().run([...options], "sh", "-c", script);
      expect(result.stderr).toBe("");
      const network = machine.ok("readlink", "/proc/1/ns/net").trim();
      const seen = result.stdout.trimEnd().split("\n");
      expect(seen.slice(0, 6)).toEqual(["b", "/tmp", "refused", "in", network, "Seccomp:\t2"]);
      expect(readFileSync(machine.path("volume/out"), "utf8")).toBe("out\n");
    },
    needs,
  );

  e2e("--privileged", () => {
    const result = use().run(["--privileged"], "grep", "CapEff", "/proc/self/status");
    expect(result).toMatchObject({ status: 0, stderr: "" });
    expect(result.stdout).toMatch(/ff\n$/);
  }, [...needs, needsAllForRunc]);

  e2e("a terminal and its size; the same for exec", () => {
    const script =
      'until [ "$(stty size)" = "33 99" ]; do sleep 0.1; done; echo "sized"; read -r a; echo "got $a"; exit 3';
    const steps = [
      { line: "up", size: [99, 33] as [number, number] },
      { line: "sized", type: "word\n" },
      { line: "got word" },
    ];
    const words = (call: string[]) => use().machine.inside(...call);
    const command = ["sh", "-c", `sleep 1; echo up; ${script}`];
    const { shown, status } = onTerminal(
      steps,
      words(use().runCall(["--rm", "--tty"], use().id(), ...command)),
    );
    expect(shown).toMatch(/got word\r+\n/);
    expect(status).toBe(3);
    using task = use().detached([], ...FOREVER);
    const exec = onTerminal(steps, words(task.execCall(["--tty"], ...command)));
    expect(exec.shown).toMatch(/got word\r+\n/);
    expect(exec.status).toBe(3);
  }, [...needs, needsPython]);
});

describe("ctr task", () => {
  e2e(
    "ls, exec, ps, metrics, pause, resume, kill, delete @v2",
    async () => {
      using task = use().detached(["--memory-limit", String(64 << 20)], ...FOREVER);
      expect(task.row?.status).toBe("RUNNING");
      expect(task.exec([], "sh", "-c", "echo out; exit 7")).toMatchObject({ status: 7, stdout: "out\n" });
      expect(task.exec(["--user", "1000:1000", "--cwd", "/tmp"], "sh", "-c", "id -u; pwd").stdout).toBe(
        "1000\n/tmp\n",
      );
      expect(task.exec([], "nosuch").stderr).toContain("executable file not found in $PATH");
      expect(task.exec(["--detach"], "sleep", "700").status).toBe(0);
      const pids = use()
        .ok("task", "ps", task.id)
        .split("\n")
        .slice(1)
        .map((line) => line.split(/\s+/)[0]);
      expect(pids).toContain(task.row?.pid ?? "");
      expect(pids.filter((pid) => pid !== "").length).toBeGreaterThan(1);
      const metrics = use().ok("task", "metrics", task.id);
      expect(metrics).toMatch(isV2 ? /memory\.usage_limit +67108864/ : /memory\.usage_in_bytes +\d+/);
      use().ok("task", "pause", task.id);
      expect(task.row?.status).toBe("PAUSED");
      use().ok("task", "resume", task.id);
      expect(task.row?.status).toBe("RUNNING");
      use().ok("task", "kill", "--signal", "SIGKILL", task.id);
      await task.until("STOPPED");
      use().ok("task", "delete", task.id);
      use().ok("container", "delete", task.id);
      await until("nothing is left", () => left(task.id).length === 0);
    },
    needs,
  );

  e2e(
    "delete --force of what runs, and of what is paused",
    async () => {
      for (const paused of [false, true]) {
        using task = use().detached([], ...FOREVER);
        if (paused) use().ok("task", "pause", task.id);
        use().ok("task", "delete", "--force", task.id);
        await task.until(undefined);
        await until("nothing is left", () => left(task.id).length === 0);
      }
    },
    needs,
  );

  e2e(
    "all processes of a task: kill --all @v2",
    async () => {
      using task = use().detached([], "sh", "-c", "sleep 800 & wait; sleep 801");
      use().ok("task", "kill", "--all", "--signal", "SIGKILL", task.id);
      await task.until("STOPPED");
    },
    needs,
  );
});

describe("containerd's daemon", () => {
  e2e(
    "a shim that was killed: containerd has its container deleted",
    async () => {
      const { machine } = use();
      using task = use().detached([], ...FOREVER);
      const pid = task.row?.pid ?? "";
      const shims = machine.ok("pgrep", "--full", `containerd-shim-runc-v2.* -id ${task.id}( |$)`).trim();
      machine.ok("kill", "-9", shims);
      await task.until(undefined);
      await until("its processes are gone", () => machine.run("kill", "-0", pid).status !== 0);
      await until("nothing is left", () => left(task.id).length === 0);
      expect(machine.log("containerd")).not.toContain("failed to clean up after shim disconnected");
    },
    needs,
  );

  e2e(
    "tasks live on when it restarts",
    async () => {
      using task = use().detached([], ...FOREVER);
      const row = task.row;
      await use().daemon.kill();
      await use().daemon.up();
      expect(task.row).toEqual(row);
      expect(task.exec([], "echo", "there").stdout).toBe("there\n");
      use().ok("task", "kill", "--signal", "SIGKILL", task.id);
      await task.until("STOPPED");
    },
    needs,
  );

  e2e(
    "nothing is left @v2",
    async () => {
      const { machine, namespace } = use();
      await until(
        "nothing is left",
        () => machine.leftovers(`/run/containerd/runc/${namespace}`).length === 0,
      );
    },
    needs,
  );
});
