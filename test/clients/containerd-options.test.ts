// @cgroup-v2
// What else ctr asks of containers: rights, devices, limits, namespaces, logs, ends, many at once.
import { afterAll, beforeAll, describe, expect } from "bun:test";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { AT_ONCE, e2e, isV2, type Needs, needsBusybox, needsProgram, needsRoot, until } from "../e2e/support";
import { Containerd, type Task } from "./containerd-daemon";
import { START_LIMIT } from "./machine";

const needs: Needs[] = [needsRoot, needsBusybox, needsProgram("containerd"), needsProgram("ctr")];
const MIB = 1 << 20;
/** One that a container has not by itself, and that may be opened without further rights. */
const device = ["/dev/fuse", "/dev/loop-control", "/dev/hwrng"].find((path) => existsSync(path));

let started: Containerd | undefined;
const use = (): Containerd => {
  if (started === undefined) throw new Error("there is no containerd");
  return started;
};

beforeAll(async () => {
  if (needs.every((need) => need === undefined)) started = await Containerd.start();
}, 240_000);

afterAll(async () => {
  await started?.[Symbol.asyncDispose]();
}, 240_000);

/** What a line of shell says in a container with these options; it must succeed. */
function sh(line: string, ...options: string[]): string {
  const result = use().run(options, "sh", "-c", line);
  expect(result).toMatchObject({ status: 0, stderr: "" });
  return result.stdout.trimEnd();
}

/** `ctr run --rm` beside the test; the end of it is the program's status. */
function attached(id: string, options: string[], line: string): Bun.Subprocess<"ignore", "pipe", "inherit"> {
  const words = use().runCall(["--rm", ...options], id, "sh", "-c", line);
  return Bun.spawn(use().machine.inside(...words), { stdin: "ignore", stdout: "pipe", stderr: "inherit" });
}

const isRunning = (id: string): boolean => new RegExp(`^${id} .*RUNNING`, "m").test(use().ok("task", "ls"));

describe("ctr run, the program's rights", () => {
  e2e(
    "capabilities added and dropped; no new privileges, unless allowed",
    () => {
      const line = "grep -E 'CapEff|NoNewPrivs' /proc/self/status";
      expect(sh(line)).toBe("CapEff:\t00000000a80425fb\nNoNewPrivs:\t1");
      const other = ["--cap-drop", "CAP_CHOWN", "--cap-add", "CAP_SYS_ADMIN", "--allow-new-privs"];
      expect(sh(line, ...other)).toBe("CapEff:\t00000000a82425fa\nNoNewPrivs:\t0");
    },
    needs,
  );

  e2e(
    "a seccomp profile of one's own",
    () => {
      const profile = use().machine.path("profile.json");
      const syscalls = [{ names: ["mkdir", "mkdirat"], action: "SCMP_ACT_ERRNO", errnoRet: 13 }];
      writeFileSync(profile, JSON.stringify({ defaultAction: "SCMP_ACT_ALLOW", syscalls }));
      const line = "grep Seccomp: /proc/self/status; mkdir /tmp/x 2>&1; true";
      expect(sh(line, "--seccomp", "--seccomp-profile", profile)).toBe(
        "Seccomp:\t2\nmkdir: can't create directory '/tmp/x': Permission denied",
      );
    },
    needs,
  );

  e2e("a device @v2", () => {
    const line = `stat -c %a:%F ${device} && head -c 0 ${device} && echo opened`;
    expect(sh(line, "--device", device ?? "")).toMatch(/^\d+:character special file\nopened$/);
    const without = use().run([], "sh", "-c", `test -e ${device}`);
    expect(without.status).toBe(1);
  }, [...needs, device === undefined ? "none of the usual devices is here" : undefined]);

  e2e(
    "ids of a user namespace",
    () => {
      const maps = ["--uidmap", "0:100000:65536", "--gidmap", "0:200000:65536"];
      const seen = sh("cat /proc/self/uid_map /proc/self/gid_map; id -u; stat -c %u /bin/busybox", ...maps);
      expect(seen.replaceAll(/ +/g, " ")).toBe(" 0 100000 65536\n 0 200000 65536\n0\n0");
    },
    needs,
  );
});

describe("ctr run, files", () => {
  e2e(
    "mounts of the host that come later appear in a slave, not in a private one",
    () => {
      const { machine } = use();
      const host = machine.path("data/propagated");
      mkdirSync(machine.path("plain"), { recursive: true });
      machine.ok("mkdir", host);
      machine.ok("mount", "--bind", host, host);
      machine.ok("mount", "--make-shared", host);
      machine.ok("mkdir", `${host}/later`);
      const mount = (propagation: string) => [
        "--mount",
        `type=bind,src=${host},dst=/v,options=rbind:${propagation}`,
      ];
      using slave = use().detached(mount("rslave"), "sleep", "1000");
      using own = use().detached(mount("rprivate"), "sleep", "1000");
      machine.ok("mount", "-t", "tmpfs", "tmpfs", `${host}/later`);
      const sees = (task: Task): boolean =>
        task.exec([], "grep", "-q", " /v/later ", "/proc/self/mountinfo").status === 0;
      expect([sees(slave), sees(own)]).toEqual([true, false]);
      machine.ok("umount", `${host}/later`);
    },
    needs,
  );

  e2e(
    "--log-uri: what a task in the background says is in a file; --pid-file",
    async () => {
      const { machine } = use();
      const log = machine.path("data/task.log");
      const id = use().id();
      const options = ["--detach", "--log-uri", `file://${log}`, "--pid-file", machine.path("task.pid")];
      machine.ok(...use().runCall(options, id, "sh", "-c", "echo said; echo erred >&2; exec sleep 1000"));
      const pid = readFileSync(machine.path("task.pid"), "utf8");
      expect(use().ok("task", "ls")).toMatch(new RegExp(`^${id} +${pid} +RUNNING`, "m"));
      await until("it is there", () => machine.run("cat", log).stdout.split("\n").length === 3, START_LIMIT);
      expect(machine.ok("cat", log).trim().split("\n").sort()).toEqual(["erred", "said"]);
      use().ok("task", "delete", "--force", id);
      use().ok("container", "delete", id);
    },
    needs,
  );
});

describe("ctr run, limits @v2", () => {
  e2e(
    "are the kernel's, in the cgroup that was asked for",
    () => {
      const cgroup = `${use().machine.cgroup}/place`;
      const limits = ["--memory-limit", `${64 * MIB}`, "--cpu-quota", "50000", "--cpu-period", "100000"];
      using task = use().detached(["--cgroup", cgroup, ...limits], "sleep", "1000");
      expect(task.row?.status).toBe("RUNNING");
      const files = isV2
        ? ["memory.max", "cpu.max"].map((name) => `/sys/fs/cgroup${cgroup}/${name}`)
        : [
            `/sys/fs/cgroup/memory${cgroup}/memory.limit_in_bytes`,
            `/sys/fs/cgroup/cpu${cgroup}/cpu.cfs_quota_us`,
          ];
      expect(files.map((file) => readFileSync(file, "utf8").trim())).toEqual([
        `${64 * MIB}`,
        isV2 ? "50000 100000" : "50000",
      ]);
    },
    needs,
  );

  e2e(
    "an end by lack of memory is an event of containerd's",
    async () => {
      const { machine } = use();
      // by its own number: the one that is started from outside is nsenter's
      const line = `echo $$ > "$0"; exec "$@" > "$0.log"`;
      const file = machine.path("data/events");
      const events = Bun.spawn(machine.inside("sh", "-c", line, file, ...use().call("events")));
      const id = use().id();
      // the shim must be listening when it happens
      const eat = "sleep 1; dd if=/dev/zero of=/dev/null bs=64M; sleep 1; exit 9";
      expect(await attached(id, ["--memory-limit", `${16 * MIB}`], eat).exited).toBe(9);
      machine.ok("sh", "-c", `kill $(cat ${file})`);
      await events.exited;
      expect(machine.ok("cat", `${file}.log`)).toContain(`/tasks/oom {"container_id":"${id}"}`);
    },
    needs,
  );
});

describe("ctr run, namespaces", () => {
  e2e(
    "another task's: its processes, network, IPC, host name",
    () => {
      using first = use().detached([], "sleep", "1000");
      const kinds = { pid: "pid", network: "net", ipc: "ipc", uts: "uts" };
      const joined = Object.entries(kinds).flatMap(([type, file]) => [
        "--with-ns",
        `${type}:/proc/${first.row?.pid}/ns/${file}`,
      ]);
      const line = `for n in ${Object.values(kinds).join(" ")}; do readlink /proc/self/ns/$n; done`;
      expect(sh(`${line}; ps -o args | sed -n 2p`, ...joined)).toBe(
        `${first.exec([], "sh", "-c", line).stdout}sleep 1000`,
      );
      expect(first.row?.status).toBe("RUNNING");
    },
    needs,
  );
});

describe("ctr run, ends", () => {
  e2e(
    "TERM, for a program that takes it and one that does not; KILL; and from outside",
    async () => {
      const wait = "while :; do sleep 0.1; done";
      const ends: [string, string[], number][] = [
        [`trap 'exit 5' TERM; ${wait}`, ["SIGTERM"], 5],
        [`trap '' TERM; ${wait}`, ["SIGTERM", "SIGKILL"], 137],
      ];
      for (const [line, signals, status] of ends) {
        const id = use().id();
        const run = attached(id, [], `${line.replace(wait, `echo ready; ${wait}`)}`);
        const reader = run.stdout.getReader();
        expect(Buffer.from((await reader.read()).value ?? []).toString()).toBe("ready\n");
        for (const signal of signals) {
          expect(isRunning(id)).toBe(true);
          use().ok("task", "kill", "--signal", signal, id);
        }
        expect(await run.exited).toBe(status);
      }
      const id = use().id();
      const run = attached(id, ["--pid-file", use().machine.path("killed.pid")], "exec sleep 1000");
      await until(
        "it runs",
        () => existsSync(use().machine.path("killed.pid")) && isRunning(id),
        START_LIMIT,
      );
      use().machine.ok("kill", "-9", readFileSync(use().machine.path("killed.pid"), "utf8"));
      expect(await run.exited).toBe(137);
    },
    needs,
  );

  e2e(
    `${AT_ONCE} at once`,
    async () => {
      const ids = Array.from({ length: AT_ONCE }, () => use().id());
      // ctr loses an end that comes before the task is there
      const runs = ids.map((id, index) =>
        attached(id, [], `sleep ${isV2 ? 20 : 2}; echo ${id}; exit ${index}`),
      );
      expect(await Promise.all(runs.map((run) => run.exited))).toEqual(ids.map((_, index) => index));
      const said = await Promise.all(runs.map((run) => new Response(run.stdout).text()));
      expect(said).toEqual(ids.map((id) => `${id}\n`));
    },
    needs,
  );

  e2e(
    "nothing is left @v2",
    async () => {
      const { machine, namespace } = use();
      const state = `/run/containerd/runc/${namespace}`;
      await until("nothing is left", () => machine.leftovers(state).length === 0, START_LIMIT);
    },
    needs,
  );
});
