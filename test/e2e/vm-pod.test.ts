// Containers of one sandbox, which share a machine: the driver "vm".
import { afterAll, expect } from "bun:test";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { environment, leftIn, needsMachine, setUp, shared } from "./machines";
import {
  Box,
  type BundleConfig,
  e2e,
  execute,
  executeLater,
  HAKO,
  names,
  needsBusybox,
  type Result,
  TIME_LIMIT,
  until,
} from "./support";

const needs = [needsMachine, needsBusybox];
const cache = shared.path("cache");
const env = environment(cache);
const box = new Box();
afterAll(() => box[Symbol.dispose]());

/** Machines boot in seconds. */
const LONG = 6 * TIME_LIMIT;
const POD = `pod-${process.pid}`;
const CPU = "/sys/fs/cgroup/cpu";

function hako(...words: string[]): Result {
  return execute(HAKO, ["--root", box.root, ...words], { env, timeout: 2 * TIME_LIMIT });
}

/** A container of the pod, as podman makes it. */
function inPod(
  type: "sandbox" | "container",
  script: string,
  change: (config: BundleConfig) => void = () => {},
): string {
  return box.bundle(["sh", "-c", script], (config) => {
    config.root.readonly = true;
    config.annotations = {
      "org.hako.driver": "vm",
      "io.container.manager": "libpod",
      "io.kubernetes.cri-o.ContainerType": type,
      "io.kubernetes.cri-o.SandboxID": POD,
    };
    change(config);
  });
}

function joining(config: BundleConfig, pid: number): void {
  const files = { ipc: "ipc", uts: "uts", network: "net", pid: "pid" };
  delete config.hostname;
  config.linux.namespaces = [
    ...config.linux.namespaces.filter(({ type }) => !(type in files)),
    ...Object.entries(files).map(([type, file]) => ({ type, path: `/proc/${pid}/ns/${file}` })),
  ];
}

function run(bundle: string, id: string): Result {
  return hako("run", "--detach", "--bundle", bundle, id);
}

interface MachineJson {
  qemu: { pid: number };
  cpus: number;
  cgroupsOf: string;
  containers: Record<string, unknown>;
}

function machine(): MachineJson {
  return JSON.parse(readFileSync(join(box.root, "@machines", POD, "machine.json"), "utf8")) as MachineJson;
}

/** A file of the cgroup of v1 that has the machine's processors. */
function ofProcessors(file: string): string {
  const { qemu } = machine();
  const cgroup = /^\d+:(?:cpu|cpu,cpuacct):(.*)$/m.exec(
    readFileSync(`/proc/${qemu.pid}/cgroup`, "utf8"),
  )?.[1];
  return readFileSync(`${CPU}${cgroup}/vcpu/${file}`, "utf8").trim();
}

function cgroupOf(id: string): string {
  const { paths } = JSON.parse(hako("cgroup", "show", "--format", "json", id).stdout) as {
    paths: Record<string, string>;
  };
  return Object.values(paths)[0] ?? "";
}

function pidOf(id: string): number {
  return (JSON.parse(hako("state", id).stdout) as { pid: number }).pid;
}

function status(id: string): string {
  return (JSON.parse(hako("state", id).stdout) as { status: string }).status;
}

function inside(id: string, ...command: string[]): string {
  const { status, stdout, stderr } = hako("exec", id, ...command);
  expect([status, stderr]).toEqual([0, ""]);
  return stdout.trim();
}

const namespaces = (id: string) =>
  ["ipc", "uts", "net", "pid"].map((name) => inside(id, "readlink", `/proc/self/ns/${name}`));

e2e(
  "a machine for all containers of a sandbox: made by one, shared by the others, ended with the last",
  async () => {
    setUp(cache);
    const [first, second, third] = [box.id(), box.id(), box.id()];
    const quota = (quota: number, period: number) => (config: BundleConfig) => {
      config.linux.resources = { ...config.linux.resources, cpu: { quota, period } };
    };
    // both at once: one of them makes the machine
    const made = await Promise.all(
      [
        [inPod("sandbox", "sleep 1000"), first],
        [inPod("container", "sleep 1000", quota(5000, 10_000)), second],
      ].map(([bundle = "", id = ""]) =>
        executeLater(HAKO, ["--root", box.root, "run", "--detach", "--bundle", bundle, id], undefined, env),
      ),
    );
    expect(made.map(({ status, stderr }) => [status, stderr])).toEqual([
      [0, ""],
      [0, ""],
    ]);
    expect(readdirSync(join(box.root, "@machines"))).toEqual([POD]);
    expect(Object.keys(machine().containers).sort()).toEqual([first, second].sort());
    expect(namespaces(first).filter((name) => namespaces(second).includes(name))).toEqual([]);

    // what it joins on the host are namespaces of a stand-in: in the machine those of the container that this stands for
    const memory = box.path("memory");
    execute("mkdir", ["-p", memory]);
    const shm = (config: BundleConfig) => {
      config.mounts = [
        ...(config.mounts ?? []).filter(({ destination }) => destination !== "/dev/shm"),
        { destination: "/dev/shm", type: "bind", source: memory, options: ["bind"] },
      ];
    };
    const bundle = inPod("container", "echo shared >/dev/shm/file; sleep 1000", (config) => {
      joining(config, pidOf(first));
      shm(config);
      config.linux.resources = { memory: { limit: 64 << 20 }, cpu: { quota: 60_000, period: 40_000 } };
    });
    expect(run(bundle, third)).toMatchObject({ status: 0, stderr: "" });
    expect(namespaces(third)).toEqual(namespaces(first));
    expect(names(memory)).toEqual([]);
    const fourth = box.id();
    expect(
      run(
        inPod("container", "sleep 1000", (config) => {
          joining(config, pidOf(third));
          shm(config);
        }),
        fourth,
      ),
    ).toMatchObject({ status: 0, stderr: "" });
    expect(inside(fourth, "cat", "/dev/shm/file")).toBe("shared");
    const strange = inPod("container", "true", (config) => joining(config, process.pid));
    expect(run(strange, box.id()).stderr).toMatch(
      /the (ipc|uts|network|pid) namespace \/proc\/\d+\/ns\/\w+: the driver "vm" can't do this/,
    );

    // limits and figures are each one's
    const stats = JSON.parse(hako("events", "--stats", third).stdout) as {
      data: { memory: { usage: { limit: number } } };
    };
    expect(stats.data.memory.usage.limit).toBe(64 << 20);
    expect(inside(first, "cat", `/sys/fs/cgroup/hako/${third}/cpu.max`)).toBe("60000 40000");
    const cpus = Math.min(navigator.hardwareConcurrency, 2);
    expect([machine().cpus, Number(inside(first, "nproc"))]).toEqual([cpus, cpus]);
    // the fourth has no limit: together they have none. The first one only waits
    if (existsSync(CPU)) {
      expect(() => ofProcessors("tasks")).not.toThrow();
      expect(ofProcessors("cpu.cfs_quota_us")).toBe("-1");
      expect(hako("update", "--cpu-quota", "2500", "--cpu-period", "10000", fourth).status).toBe(0);
      // by the period of the first one that has a limit
      expect([ofProcessors("cpu.cfs_quota_us"), ofProcessors("cpu.cfs_period_us")]).toEqual([
        String(5000 + 15_000 + 2500),
        "10000",
      ]);
      expect(ofProcessors("tasks").split("\n").length).toBeGreaterThanOrEqual(cpus);
    }

    // one at a time is frozen
    expect(hako("pause", third).status).toBe(0);
    expect([status(third), status(second)]).toEqual(["paused", "running"]);
    expect(inside(second, "echo", "there")).toBe("there");
    expect(hako("resume", third).status).toBe(0);
    expect(status(third)).toBe("running");

    const listed = JSON.parse(hako("sandbox", "list", "--format", "json").stdout) as {
      id: string;
      containers: { status: string }[];
    }[];
    expect(listed.map(({ id, containers }) => [id, containers.length])).toEqual([[POD, 4]]);

    // an id that is free can be another container's
    hako("kill", second, "KILL");
    expect(hako("wait", second).stdout).toBe("137\n");
    expect(hako("delete", second).status).toBe(0);
    expect(run(inPod("container", "sleep 1001"), second).status).toBe(0);
    expect(inside(second, "cat", "/proc/1/cmdline")).toBe("sleep\x001001\0");

    // QEMU is in the cgroups of one of them, and stays when that one goes; those in its pid namespace end with it
    const { qemu } = machine();
    expect(hako("delete", "--force", first)).toMatchObject({ status: 0, stderr: "" });
    await until("those of its pid namespace have ended", () =>
      [third, fourth].every((id) => status(id) === "stopped"),
    );
    expect(inside(second, "echo", "there")).toBe("there");
    const { cgroupsOf } = machine();
    expect(cgroupsOf).not.toBe(first);
    expect(readFileSync(`/proc/${qemu.pid}/cgroup`, "utf8")).toContain(`/${basename(cgroupOf(cgroupsOf))}\n`);
    for (const id of [third, fourth]) expect(hako("delete", id)).toMatchObject({ status: 0, stderr: "" });
    expect(status(second)).toBe("running");

    // the end of QEMU is that of all
    const fifth = box.id();
    expect(run(inPod("container", "sleep 1000"), fifth).status).toBe(0);
    process.kill(qemu.pid, "SIGKILL");
    for (const id of [second, fifth]) expect(hako("wait", id).stdout).toBe("137\n");
    expect(hako("delete", second).status).toBe(0);
    expect(hako("delete", fifth).status).toBe(0);
    expect(leftIn(box.root)).toEqual([]);
  },
  needs,
  LONG,
);
