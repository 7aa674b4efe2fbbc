// @systemd
// The clients with systemd as their manager of cgroups: pods are slices, containers scopes.
// Where systemd is not the first process: scripts/with-systemd bun test ./test/clients/systemd.test.ts
import { afterAll, beforeAll, describe, expect } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { execute, isV2, type Needs, needsProgram } from "../e2e/support";
import { CriPods } from "./cri-pods";
import { Docker } from "./docker-daemon";
import { needsRootless } from "./ordinary-user";
import { clientTest, eventually, IMAGE, Store } from "./support";

const needsSystemd: Needs = existsSync("/run/systemd/private")
  ? undefined
  : "no systemd runs here (scripts/with-systemd starts one)";
/** Of the user that scripts/with-systemd makes, with a systemd of its own. */
const USER = Number(process.env.HAKO_SYSTEMD_USER ?? 0);
const needsUserSystemd: Needs =
  USER !== 0 && existsSync(`/run/user/${USER}/bus`) ? undefined : "no user's systemd runs here";
const MIB = 1024 * 1024;
const INFRA = ["--infra-image", IMAGE, "--infra-command", "sleep 1000"];

/** A process's cgroup: that of v2, or of v1's memory. */
function cgroupOf(pid: string): string {
  const text = readFileSync(`/proc/${pid}/cgroup`, "utf8");
  return (isV2 ? /^0::(.*)$/m : /:memory:(.*)$/m).exec(text)?.[1] ?? "";
}

function memoryLimit(cgroup: string): string {
  const path = isV2
    ? `/sys/fs/cgroup${cgroup}/memory.max`
    : `/sys/fs/cgroup/memory${cgroup}/memory.limit_in_bytes`;
  return readFileSync(path, "utf8").trim();
}

/** A property of a unit. */
function show(unit: string, property: string): string {
  return execute("systemctl", ["show", "--value", `--property=${property}`, unit]).stdout.trim();
}

describe("podman with --cgroup-manager=systemd @v2", () => {
  const needs = [needsSystemd, ...["podman", "conmon", "systemctl"].map(needsProgram)];
  let store: Store;
  beforeAll(() => {
    if (needs.every((need) => need === undefined)) store = new Store({ cgroupManager: "systemd" });
  }, 240_000);
  afterAll(() => store?.[Symbol.dispose](), 240_000);

  clientTest(
    "a container's scope: limits, exec, update, stats, pause, an end from outside, stop",
    async () => {
      const name = store.detached(["--memory", "64m", "--pids-limit", "20"], "sleep", "600");
      const pid = store.inspect(name, "{{.State.Pid}}");
      const scope = `libpod-${store.inspect(name, "{{.Id}}")}.scope`;
      expect(cgroupOf(pid)).toEndWith(`/machine.slice/${scope}`);
      expect(memoryLimit(cgroupOf(pid))).toBe(`${64 * MIB}`);
      expect([show(scope, "ActiveState"), show(scope, "TasksMax")]).toEqual(["active", "20"]);
      expect(store.ok("exec", name, "echo", "inside")).toBe("inside");
      store.ok("update", "--memory", "80m", "--memory-swap", "160m", name);
      expect(memoryLimit(cgroupOf(pid))).toBe(`${80 * MIB}`);
      expect(store.ok("stats", "--no-stream", "--format", "{{.PIDs}}", name)).toBe("1");
      store.ok("pause", name);
      expect(store.inspect(name, "{{.State.Status}}")).toBe("paused");
      store.ok("unpause", name);
      process.kill(Number(pid), "SIGKILL");
      await store.waitFor(name, "{{.State.Status}} {{.State.ExitCode}}", "exited 137");
      store.ok("start", name);
      store.ok("stop", "-t", "0", name);
      await eventually("its scope is gone", () => show(scope, "ActiveState") === "inactive");
      store.ok("rm", name);
    },
    needs,
  );

  clientTest(
    "a pod's slice, with the pod's limits",
    async () => {
      const pod = store.name();
      store.ok("pod", "create", "--name", pod, "--memory", "96m", ...INFRA);
      const name = store.detached(["--pod", pod], "sleep", "602");
      const cgroup = cgroupOf(store.inspect(name, "{{.State.Pid}}"));
      const slice = `machine-libpod_pod_${store.ok("pod", "inspect", "--format", "{{.ID}}", pod)}.slice`;
      expect(cgroup).toContain(`/machine.slice/${slice}/libpod-`);
      expect(memoryLimit(cgroup.slice(0, cgroup.lastIndexOf("/")))).toBe(`${96 * MIB}`);
      store.ok("pod", "stop", "-t", "0", pod);
      store.ok("pod", "start", pod);
      store.remove(pod, "pod");
      await eventually("its slice is gone", () => show(slice, "ActiveState") === "inactive");
    },
    needs,
  );
});

describe("podman of an ordinary user, with its systemd @v2", () => {
  const v2: Needs = isV2 ? undefined : "rootless limits take cgroup v2";
  const needs = [needsUserSystemd, v2, needsProgram("systemctl"), ...needsRootless];
  let store: Store;
  beforeAll(() => {
    if (needs.some((need) => need !== undefined)) return;
    store = new Store({ uid: USER, cgroupManager: "systemd", runtimeDirectory: `/run/user/${USER}` });
  }, 240_000);
  afterAll(() => store?.[Symbol.dispose](), 240_000);

  clientTest(
    "limits, exec, update, stats, pause",
    () => {
      const name = store.detached(["--memory", "64m", "--pids-limit", "20"], "sleep", "600");
      const pid = store.inspect(name, "{{.State.Pid}}");
      const cgroup = cgroupOf(pid);
      expect(cgroup).toContain(`/user-${USER}.slice/user@${USER}.service/user.slice/libpod-`);
      expect(memoryLimit(cgroup)).toBe(`${64 * MIB}`);
      expect(readFileSync(`/sys/fs/cgroup${cgroup}/pids.max`, "utf8")).toBe("20\n");
      expect(store.ok("exec", name, "cat", "/sys/fs/cgroup/memory.max")).toBe(`${64 * MIB}`);
      store.ok("update", "--memory", "80m", name);
      expect(memoryLimit(cgroup)).toBe(`${80 * MIB}`);
      expect(store.ok("stats", "--no-stream", "--format", "{{.PIDs}}", name)).toBe("1");
      store.ok("pause", name);
      expect(store.inspect(name, "{{.State.Status}}")).toBe("paused");
      store.ok("unpause", name);
      store.remove(name);
      expect(existsSync(`/sys/fs/cgroup${cgroup}`)).toBe(false);
    },
    needs,
  );
});

describe("docker with native.cgroupdriver=systemd @v2", () => {
  const programs = ["dockerd", "containerd", "unshare", "nsenter", "ip"];
  const needs = [needsSystemd, ...programs.map(needsProgram)];
  let docker: Docker;
  beforeAll(async () => {
    if (needs.every((need) => need === undefined)) docker = await Docker.start({ systemd: true });
  }, 240_000);
  afterAll(async () => await docker?.[Symbol.asyncDispose](), 240_000);

  clientTest(
    "a container's scope: limits, exec, update, pause, stop; gone at the end",
    async () => {
      let scope: string;
      {
        using box = docker.detached(["--memory", "64m", "--pids-limit", "20"], "sleep", "600");
        scope = `docker-${box.inspect("{{.Id}}")}.scope`;
        const cgroup = cgroupOf(box.inspect("{{.State.Pid}}"));
        expect(cgroup).toEndWith(`/system.slice/${scope}`);
        expect(memoryLimit(cgroup)).toBe(`${64 * MIB}`);
        expect([show(scope, "ActiveState"), show(scope, "TasksMax")]).toEqual(["active", "20"]);
        expect(box.exec("echo", "inside").stdout).toBe("inside\n");
        docker.ok("update", "--memory", "80m", "--memory-swap", "160m", box.name);
        expect(memoryLimit(cgroup)).toBe(`${80 * MIB}`);
        docker.ok("pause", box.name);
        expect(box.status).toBe("paused 0");
        docker.ok("unpause", box.name);
        docker.ok("stop", "--time", "0", box.name);
        expect(box.status).toBe("exited 137");
        docker.ok("start", box.name);
        expect(show(scope, "ActiveState")).toBe("active");
      }
      await eventually("its scope is gone", () => show(scope, "ActiveState") === "inactive");
    },
    needs,
  );

  clientTest(
    "an end by lack of memory is reported as such",
    async () => {
      // the shell lives on: on v1 systemd removes an empty scope before containerd has looked at why it was told
      const line =
        "until [ -e /told ]; do sleep 0.1; done; dd if=/dev/zero of=/dev/null bs=64M; sleep 1; exit 9";
      using box = docker.detached(["--memory", "16m", "--memory-swap", "16m"], "sh", "-c", line);
      // containerd watches it by now
      expect(box.exec("touch", "/told").status).toBe(0);
      await box.until("it ends", () => box.status === "exited 9");
      await box.until("OOMKilled", () => box.inspect("{{.State.OOMKilled}}") === "true");
    },
    needs,
  );
});

describe("Kubernetes' pods with SystemdCgroup = true @v2", () => {
  const slice = "hakopods.slice";
  const needs = [needsSystemd, ...["containerd", "ctr", "unshare", "nsenter", "ip"].map(needsProgram)];
  let pods: CriPods;
  beforeAll(async () => {
    if (needs.every((need) => need === undefined)) pods = await CriPods.start({ slice });
  }, 240_000);
  afterAll(async () => await pods?.[Symbol.asyncDispose](), 240_000);

  clientTest(
    "a pod's containers are scopes in the pod's slice: limits, exec, update, stop",
    async () => {
      const { cri } = pods;
      const scopes: string[] = [];
      {
        await using pod = await pods.run({ name: "pod" });
        const first = await pod.start("first", ["sleep", "1000"], { memory: 64 * MIB });
        const second = await pod.start("second", ["sh", "-c", "while :; do sleep 1; done"]);
        scopes.push(...[pod.id, first, second].map((id) => `cri-containerd-${id}.scope`));
        expect(scopes.map((scope) => show(scope, "Slice"))).toEqual([slice, slice, slice]);
        expect(show(scopes[1] ?? "", "MemoryMax")).toBe(isV2 ? `${64 * MIB}` : "infinity");
        const cgroup = `/${slice}/${scopes[1]}`;
        expect(memoryLimit(cgroup)).toBe(`${64 * MIB}`);
        expect(await cri.exec(first, "echo", "inside")).toMatchObject({ stdout: "inside\n", status: 0 });
        await cri.updateMemory(first, 32 * MIB);
        expect(memoryLimit(cgroup)).toBe(`${32 * MIB}`);
        await cri.stopContainer(second, 0);
        expect(await cri.status(second)).toMatchObject({ state: "exited", exitCode: 137 });
      }
      const active = () => scopes.filter((scope) => show(scope, "ActiveState") !== "inactive");
      await eventually("the scopes are gone", () => active().length === 0);
    },
    needs,
  );
});
