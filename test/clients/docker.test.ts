// @cgroup-v2
// docker can't tell hako from runc: the life of its containers.
import { afterAll, beforeAll, describe, expect } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import {
  AT_ONCE,
  e2e,
  HAKO,
  isV2,
  type Needs,
  needsBusybox,
  needsProgram,
  needsRoot,
  TIME_LIMIT,
  until,
} from "../e2e/support";
import { onTerminal } from "../e2e/terminal";
import { Docker } from "./docker-daemon";
import { HAKO_RUNS_SAVED, SAVED_IMAGE } from "./support";

const needs: Needs[] = [needsRoot, needsBusybox, needsProgram("dockerd"), needsProgram("containerd")];
const ready = needs.every((need) => need === undefined);
const needsPython = needsProgram("python3");

let started: Docker | undefined;
const docker = (): Docker => {
  if (started === undefined) throw new Error("there is no dockerd");
  return started;
};

beforeAll(async () => {
  if (ready) started = await Docker.start();
}, 240_000);

afterAll(async () => {
  await started?.[Symbol.asyncDispose]();
}, 240_000);

const FOREVER = ["sh", "-c", "while :; do sleep 1; done"];

describe("docker run", () => {
  e2e(
    "output, exit status, and why a program can't start @v2",
    () => {
      expect(docker().run("box", "sh", "-c", "echo out; echo err >&2; exit 42")).toMatchObject({
        status: 42,
        stdout: "out\n",
        stderr: "err\n",
      });
      const missing = docker().run("box", "nosuch");
      expect(missing.status).toBe(127);
      expect(missing.stderr).toContain('exec: "nosuch": executable file not found in $PATH');
      const denied = docker().run("box", "/etc/passwd");
      expect(denied.status).toBe(126);
      expect(denied.stderr).toContain("permission denied");
      expect(docker().run("box", "/bin/nosuch").status).toBe(127);
      expect(docker().run("box", "/bin").status).toBe(126);
      // what the daemon itself, or the runtime's other steps refuse
      expect(docker().run("--sysctl", "net.nosuch=1", "box", "true").status).not.toBe(0);
      for (const volume of ["/etc/passwd:/tmp", "/tmp:/etc/passwd"]) {
        const mistyped = docker().run("--volume", volume, "box", "true");
        expect(mistyped.status).toBe(125);
        expect(mistyped.stderr).toContain("Are you trying to mount a directory onto a file");
      }
    },
    needs,
  );

  e2e(
    "input through a pipe",
    () => {
      const result = docker().dockerWith(
        { input: "one\ntwo\n" },
        "run",
        "--rm",
        "--interactive",
        "--network",
        "none",
        "box",
        "wc",
        "-l",
      );
      expect(result).toMatchObject({ status: 0, stdout: "2\n" });
    },
    needs,
  );

  e2e("a terminal, its size and the changes of it; the same for exec", () => {
    // docker's client sends the first size late, and a moment later begins to look for changes
    const size = (wanted: string) => `until [ "$(stty size)" = "${wanted}" ]; do sleep 0.1; done`;
    const script = `${size("24 80")}; sleep 1; echo ready; ${size("33 99")}; stty size; read -r a; echo "got $a"; exit 3`;
    const { shown, status } = onTerminal(
      [{ line: "ready", size: [99, 33] }, { line: "33 99", type: "word\n" }, { line: "got word" }],
      docker().words("run", "--rm", "-it", "--network", "none", "box", "sh", "-c", script),
    );
    expect(shown).toContain("33 99\r\n");
    expect(shown).toContain("got word\r\n");
    expect(status).toBe(3);
    using box = docker().detached([], ...FOREVER);
    const exec = onTerminal(
      [{ line: "ready", size: [99, 33] }, { line: "33 99", type: "word\n" }, { line: "got word" }],
      docker().words("exec", "-it", box.name, "sh", "-c", script),
    );
    expect(exec.shown).toContain("got word\r\n");
    expect(exec.status).toBe(3);
  }, [...needs, needsPython]);

  e2e(
    "detached, logs, stop with TERM and with KILL, start again, kill, rm",
    async () => {
      using box = docker().detached(
        ["--stop-timeout", "60"],
        "sh",
        "-c",
        "trap 'echo bye; exit 5' TERM; echo up; while :; do sleep 0.1; done",
      );
      await box.until("is up", () => docker().ok("logs", box.name).includes("up"));
      docker().ok("stop", box.name);
      expect(box.status).toBe("exited 5");
      expect(docker().ok("logs", box.name)).toBe("up\nbye\n");
      docker().ok("start", box.name);
      expect(box.status).toBe("running 0");
      docker().ok("kill", box.name);
      expect(docker().ok("wait", box.name)).toBe("137\n");
      // a first process that has no trap yet would not hear TERM
      const ups = (): number => docker().ok("logs", box.name).split("up\n").length;
      const before = ups();
      docker().ok("start", box.name);
      await box.until("is up again", () => ups() > before);
      docker().ok("kill", "--signal", "TERM", box.name);
      expect(docker().ok("wait", box.name)).toBe("5\n");
      docker().ok("rm", box.name);
      using deaf = docker().detached([], "sh", "-c", "trap '' TERM; while :; do sleep 1; done");
      docker().ok("stop", "--time", "1", deaf.name);
      expect(deaf.status).toBe("exited 137");
      docker().ok("start", deaf.name);
      docker().ok("rm", "--force", deaf.name);
      expect(docker().ok("ps", "--all", "--quiet")).toBe("");
    },
    needs,
  );
});

describe("docker exec", () => {
  e2e(
    "user, environment, directory, input, status; what can't be started @v2",
    async () => {
      using box = docker().detached(["--env", "OF=box"], ...FOREVER);
      const line = "id -u; id -g; pwd; echo $A $OF";
      const options = ["--user", "1000:1000", "--env", "A=b", "--workdir", "/tmp"];
      expect(docker().docker("exec", ...options, box.name, "sh", "-c", line).stdout).toBe(
        "1000\n1000\n/tmp\nb box\n",
      );
      expect(box.exec("sh", "-c", "exit 7").status).toBe(7);
      expect(box.exec("sh", "-c", "kill -9 $$").status).toBe(137);
      // not 127: so does docker 20.10 with runc
      expect(box.exec("nosuch").status).toBe(126);
      expect(box.exec("/etc/passwd").status).toBe(126);
      const piped = docker().dockerWith({ input: "one\n" }, "exec", "--interactive", box.name, "cat");
      expect(piped.stdout).toBe("one\n");
      docker().ok("exec", "--detach", box.name, "sh", "-c", "echo done > /tmp/made; exec sleep 600");
      expect(docker().ok("exec", "--privileged", box.name, "grep", "CapEff", "/proc/self/status")).toMatch(
        /CapEff:\s0000003f/,
      );
      await box.until("it wrote", () => box.exec("cat", "/tmp/made").stdout === "done\n");
      await box.until("it sleeps", () => box.exec("ps").stdout.includes("sleep 600"));
      expect(docker().ok("top", box.name)).toMatch(/UID +PID +PPID[^\n]*\n(.*\n)*.*sleep 600/);
      expect(docker().ok("top", box.name, "-o", "pid,comm")).toMatch(
        /^PID +COMMAND\n(.*\n)*.*sh\n(.*\n)*.*sleep\n/,
      );
    },
    needs,
  );
});

/** A limit as the kernel has it, read inside. */
const LIMIT_FILES = isV2
  ? { memory: "memory.max", pids: "pids.max", quota: "cpu.max" }
  : { memory: "memory/memory.limit_in_bytes", pids: "pids/pids.max", quota: "cpu/cpu.cfs_quota_us" };

describe("docker's limits @v2", () => {
  e2e(
    "are the kernel's; update changes them; stats tells the use",
    () => {
      const options = ["--memory", "64m", "--pids-limit", "50", "--cpus", "0.5", "--memory-swap", "64m"];
      using box = docker().detached(options, ...FOREVER);
      const value = (name: keyof typeof LIMIT_FILES) =>
        box.exec("cat", `/sys/fs/cgroup/${LIMIT_FILES[name]}`).stdout.trim();
      expect(value("memory")).toBe(String(64 << 20));
      expect(value("pids")).toBe("50");
      expect(value("quota").split(" ")[0]).toBe("50000");
      docker().ok("update", "--memory", "32m", "--memory-swap", "48m", box.name);
      docker().ok("update", "--pids-limit", "60", box.name);
      docker().ok("update", "--cpu-shares", "300", box.name);
      docker().ok("update", "--cpus", "0.25", box.name);
      expect(value("memory")).toBe(String(32 << 20));
      expect(value("pids")).toBe("60");
      expect(value("quota").split(" ")[0]).toBe("25000");
      const shares = isV2 ? "cpu.weight" : "cpu/cpu.shares";
      // what docker did not ask for, it sent as 0: nothing of that may be written
      expect(box.exec("cat", `/sys/fs/cgroup/${shares}`).stdout.trim()).toMatch(isV2 ? /^\d\d$/ : /^300$/);
      const stats = docker().ok("stats", "--no-stream", "--format", "{{.MemUsage}} {{.PIDs}}", box.name);
      expect(stats).toMatch(/^[\d.]+[KM]iB \/ 32MiB [12]\n$/);
    },
    needs,
  );

  e2e(
    "an end by lack of memory is reported as such",
    async () => {
      using box = docker().detached(
        ["--memory", "16m", "--memory-swap", "16m"],
        "sh",
        "-c",
        "until [ -e /told ]; do sleep 0.1; done; exec dd if=/dev/zero of=/dev/null bs=64M",
      );
      // containerd watches it by now
      expect(box.exec("touch", "/told").status).toBe(0);
      expect(docker().ok("wait", box.name)).toBe("137\n");
      await box.until("OOMKilled", () => box.inspect("{{.State.OOMKilled}}") === "true");
    },
    needs,
  );

  e2e(
    "pause and unpause; exec, stop and rm of what is paused",
    () => {
      using box = docker().detached([], ...FOREVER);
      docker().ok("pause", box.name);
      expect(box.status).toBe("paused 0");
      expect(box.exec("true").stderr).toContain("paused");
      docker().ok("unpause", box.name);
      expect(box.exec("true").status).toBe(0);
      docker().ok("pause", box.name);
      docker().ok("rm", "--force", box.name);
    },
    needs,
  );
});

describe("docker, on its own", () => {
  e2e(
    "restart policies and health checks",
    async () => {
      using box = docker().detached(["--restart", "on-failure:2"], "sh", "-c", "echo try; exit 3");
      await box.until("given up", () => box.inspect("{{.RestartCount}} {{.State.Status}}") === "2 exited");
      expect(docker().ok("logs", box.name)).toBe("try\ntry\ntry\n");
      using checked = docker().detached(
        ["--health-cmd", "test ! -e /tmp/sick", "--health-interval", "1s", "--health-retries", "1"],
        ...FOREVER,
      );
      const health = () => checked.inspect("{{.State.Health.Status}}");
      await checked.until("healthy", () => health() === "healthy");
      checked.exec("touch", "/tmp/sick");
      await checked.until("unhealthy", () => health() === "unhealthy");
    },
    needs,
  );

  e2e(
    `${AT_ONCE} containers at once`,
    async () => {
      const made = Array.from({ length: AT_ONCE }, (_, index) => `many${index}`);
      const script = `for n in ${made.join(" ")}; do "$@" run --detach --network none --name $n box sleep 600 >/dev/null & done; wait`;
      const words = docker().call();
      const started = docker().machine.runWith(
        { timeout: 4 * TIME_LIMIT },
        "sh",
        "-c",
        script,
        "sh",
        ...words,
      );
      // a client that is done cancels a wait of its own, and sometimes says so
      expect(started.stderr.replaceAll(/^.*error waiting for container: context canceled.*\n/gm, "")).toBe(
        "",
      );
      expect(docker().ok("ps", "--quiet", "--filter", "name=many").trim().split("\n").length).toBe(AT_ONCE);
      const removed = docker().machine.runWith(
        { timeout: 4 * TIME_LIMIT },
        ...docker().call("rm", "--force", ...made),
      );
      expect(removed.stderr).toBe("");
      expect(docker().ok("ps", "--all", "--quiet", "--filter", "name=many")).toBe("");
    },
    needs,
    10 * TIME_LIMIT,
  );

  e2e(
    "build: the classic builder, and BuildKit, which calls runc of PATH",
    () => {
      const { machine } = docker();
      mkdirSync(machine.path("context"));
      writeFileSync(
        machine.path("context/Dockerfile"),
        "FROM box\nRUN echo built > /made && id -u\nRUN false || test -s /made\n",
      );
      const build = (name: string, kit: string) =>
        machine.runWith(
          {
            env: { PATH: process.env.PATH ?? "", HOME: machine.dir, DOCKER_BUILDKIT: kit },
            timeout: 2 * TIME_LIMIT,
          },
          ...docker().call("build", "--network", "none", "--tag", name, machine.path("context")),
        );
      for (const [name, kit] of [
        ["classic", "0"],
        ["kit", "1"],
      ] as const) {
        const built = build(name, kit);
        if (built.status !== 0) throw new Error(`build ${name}: ${built.stdout}${built.stderr}`);
        expect(docker().run(name, "cat", "/made").stdout).toBe("built\n");
      }
      writeFileSync(machine.path("context/Dockerfile"), "FROM box\nRUN exit 9\n");
      for (const kit of ["0", "1"]) {
        const failed = build("failed", kit);
        expect(failed.status).not.toBe(0);
        expect(failed.stdout + failed.stderr).toMatch(/returned a non-zero code: 9|exit code: 9/);
      }
    },
    needs,
  );

  e2e(
    "the runtime's version is shown",
    () => {
      expect(docker().ok("info", "--format", "{{.DefaultRuntime}} {{.RuncCommit.ID}}")).toMatch(
        /^tested \S+\n$/,
      );
    },
    needs,
  );
});

describe("docker's daemon", () => {
  e2e(
    "the end of a container's first process is seen at once",
    async () => {
      using box = docker().detached([], "sh", "-c", "sleep 600 & while :; do sleep 1; done");
      docker().machine.run("kill", "-9", box.inspect("{{.State.Pid}}"));
      await box.until("ended", () => box.status === "exited 137");
    },
    needs,
  );

  e2e(
    "containers live on when it restarts, or is killed",
    async () => {
      using box = docker().detached([], "sh", "-c", "trap 'exit 5' TERM; while :; do sleep 0.1; done");
      using other = docker().detached(["--restart", "always"], ...FOREVER);
      const pid = box.inspect("{{.State.Pid}}");
      await docker().down();
      await docker().up();
      expect(box.inspect("{{.State.Pid}} {{.State.Status}}")).toBe(`${pid} running`);
      expect(box.exec("echo", "there").stdout).toBe("there\n");
      await docker().down("SIGKILL");
      docker().machine.run("kill", "-9", pid);
      await docker().up();
      await box.until("its end is noticed", () => box.status === "exited 137");
      docker().ok("stop", "--time", "1", other.name);
      expect(other.status).toBe("exited 137");
    },
    needs,
  );

  e2e(
    "an image as docker saves it, and a container's files as docker exports them, run without it",
    () => {
      const { machine } = docker();
      const input = `${["FROM box", ...SAVED_IMAGE].join("\n")}\n`;
      const built = docker().dockerWith({ input }, "build", "--network", "none", "--tag", "saved", "-");
      expect([built.status, built.stderr]).toEqual([0, expect.any(String)]);
      docker().ok("save", "--output", machine.path("saved.tar"), "saved");
      const env = [`XDG_CACHE_HOME=${machine.path("cache")}`];
      const run = (...words: string[]) =>
        machine.run("env", ...env, HAKO, "--root", machine.path("hako"), "run", "--rootfs", ...words);
      expect(run(machine.path("saved.tar"))).toMatchObject(HAKO_RUNS_SAVED);
      using box = docker().detached([], ...FOREVER);
      expect(box.exec("sh", "-c", "echo its > /own").status).toBe(0);
      docker().ok("export", "--output", machine.path("exported.tar"), box.name);
      expect(run(machine.path("exported.tar"), "--", "cat", "/own")).toMatchObject({
        status: 0,
        stdout: "its\n",
      });
    },
    needs,
  );

  e2e(
    "nothing is left @v2",
    async () => {
      const { machine } = docker();
      const state = machine.path("data/exec/runtime-runc/moby");
      await until("nothing is left", () => machine.leftovers(state).length === 0);
    },
    needs,
  );
});
