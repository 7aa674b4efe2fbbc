// Pods as Kubernetes runs them, by containerd's CRI plugin, each in a machine.
import { afterAll, beforeAll, expect } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { needsMachine, shared } from "../e2e/machines";
import { e2e, HAKO, type Needs, needsBusybox, needsProgram, TIME_LIMIT, until } from "../e2e/support";
import { CriPods, STATE } from "./cri-pods";
import { hakoInMachines } from "./in-machines";

const PLUGINS = ["/usr/lib/cni", "/usr/libexec/cni", "/opt/cni/bin"].find((path) =>
  existsSync(`${path}/bridge`),
);
const needsPlugins: Needs = PLUGINS === undefined ? "CNI's plugins are not installed" : undefined;
const needs: Needs[] = [
  ...[needsMachine, needsBusybox, needsProgram("containerd"), needsProgram("ctr"), needsPlugins],
];
const LONG = 6 * TIME_LIMIT;
const SERVES = "mkdir /tmp/www; hostname >/tmp/www/index.html; echo serves; exec httpd -f -p 80 -h /tmp/www";

let started: CriPods | undefined;
const use = (): CriPods => {
  if (started === undefined) throw new Error("there is no containerd");
  return started;
};

beforeAll(async () => {
  if (needs.some((need) => need !== undefined) || PLUGINS === undefined) return;
  started = await CriPods.start({ runtime: hakoInMachines(shared.dir), bridge: PLUGINS });
}, 240_000);
afterAll(async () => await started?.[Symbol.asyncDispose](), 240_000);

e2e(
  "a pod is one machine: its network, IPC and host name are shared, each container has its limits, log and end",
  async () => {
    const { cri, machine } = use();
    const machines = () =>
      machine
        .ok("ps", "-e", "-o", "args")
        .split("\n")
        .filter((line) => /qemu-system/.test(line));
    {
      await using pod = await use().run({ name: "pod" });
      const first = await pod.start("first", ["sh", "-c", SERVES], { memory: 64 << 20 });
      const second = await pod.start("second", ["sh", "-c", "while :; do sleep 0.2; done"]);
      expect(machines().length).toBe(1);
      const run = async (id: string, line: string) => await cri.exec(id, "sh", "-c", line);
      const shown = "uname -r; hostname; for n in net ipc uts; do readlink /proc/self/ns/$n; done";
      const [one, two] = [await run(first, shown), await run(second, shown)];
      expect(one).toEqual(two);
      const [kernel, name] = one.stdout.split("\n");
      expect(kernel).not.toBe(readFileSync("/proc/sys/kernel/osrelease", "utf8").trim());
      expect(name).toBe("pod");
      expect(await run(second, "echo no >&2; exit 3")).toEqual({ stdout: "", stderr: "no\n", status: 3 });
      const limit = "cat /sys/fs/cgroup$(sed -n s/^0:://p /proc/self/cgroup)/memory.max";
      expect((await run(first, limit)).stdout).toBe(`${64 << 20}\n`);
      await cri.updateMemory(first, 48 << 20);
      expect((await run(first, limit)).stdout).toBe(`${48 << 20}\n`);
      // the log is what its program has said, and the pod's address leads to it
      const log = () => readFileSync(machine.path("logs/first.log"), "utf8");
      await until("it serves", () => / stdout F serves\n$/.test(log()), LONG);
      const address = await cri.podAddress(pod.id);
      const served = machine.run("timeout", "20", "busybox", "wget", "-qO-", `http://${address}/`);
      expect(served).toMatchObject({ status: 0, stdout: "pod\n" });
      expect((await run(second, "wget -qO- http://127.0.0.1/")).stdout).toBe("pod\n");
      const sandboxOf = (id: string) => machine.ok(HAKO, "--root", STATE, "mapping", "get", id).trim();
      expect([pod.id, first, second].map(sandboxOf)).toEqual([pod.id, pod.id, pod.id]);
      await cri.stopContainer(second, 1);
      expect(await cri.status(second)).toMatchObject({ state: "exited", exitCode: 137 });
      await cri.removeContainer(second);
      // the name's next attempt in the same sandbox
      const third = await pod.start("second", ["sh", "-c", "exit 9"]);
      for (const end = Date.now() + LONG; (await cri.status(third)).state !== "exited" && Date.now() < end; )
        await Bun.sleep(50);
      expect(await cri.status(third)).toMatchObject({ state: "exited", exitCode: 9, reason: "Error" });
      expect((await cri.status(first)).state).toBe("running");
    }
    await until("nothing is left", () => machine.leftovers(STATE).length === 0, LONG);
    expect(machines()).toEqual([]);
  },
  needs,
  LONG,
);
