// @cgroup-v2
// Pods as Kubernetes runs them, by containerd's CRI plugin: a sandbox, and containers that share it.
import { afterAll, beforeAll, describe, expect } from "bun:test";
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import {
  e2e,
  HAKO,
  IS_HAKO,
  isV2,
  type Needs,
  needsBusybox,
  needsProgram,
  needsRoot,
  until,
} from "../e2e/support";
import { Containerd, IMAGE } from "./containerd-daemon";
import { Cri, type PodContainerOptions, type PodOptions } from "./cri-client";

const needs: Needs[] = [needsRoot, needsBusybox, needsProgram("containerd"), needsProgram("ctr")];
const ready = needs.every((need) => need === undefined);
const FOREVER = ["sh", "-c", "while :; do sleep 1; done"];
const STATE = "/run/containerd/runc/k8s.io";

let containerd: Containerd | undefined;
let cri: Cri;
const use = (): Containerd => {
  if (containerd === undefined) throw new Error("there is no containerd");
  return containerd;
};

/** A network plugin that leaves every pod without one. */
const PLUGIN = `#!/bin/sh
cat >/dev/null
[ "$CNI_COMMAND" != DEL ] || exit 0
echo '{"cniVersion":"0.4.0","interfaces":[{"name":"'$CNI_IFNAME'","sandbox":"'$CNI_NETNS'"}],"ips":[{"version":"4","address":"10.1.2.3/24","interface":0}]}'
`;

/** Without the right to lower OOM scores, which an ordinary virtual machine's root may lack. */
const configuration = (plugins: string, networks: string): string => `
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "${IMAGE}"
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "${plugins}"
conf_dir = "${networks}"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
BinaryName = "${HAKO}"
`;

beforeAll(async () => {
  if (!ready) return;
  containerd = await Containerd.start((machine) => {
    for (const name of ["plugins", "networks", "logs"]) mkdirSync(machine.path(name));
    for (const name of ["none", "loopback"]) {
      writeFileSync(machine.path(`plugins/${name}`), PLUGIN);
      chmodSync(machine.path(`plugins/${name}`), 0o755);
    }
    const network = { cniVersion: "0.4.0", name: "none", plugins: [{ type: "none" }] };
    writeFileSync(machine.path("networks/1-none.conflist"), JSON.stringify(network));
    return configuration(machine.path("plugins"), machine.path("networks"));
  });
  cri = new Cri(containerd.daemon.address);
}, 240_000);

afterAll(async () => {
  cri?.[Symbol.dispose]();
  await containerd?.[Symbol.asyncDispose]();
}, 240_000);

/** A pod that is gone after `await using`. */
class Pod implements AsyncDisposable {
  private constructor(
    private readonly options: PodOptions,
    readonly id: string,
  ) {}

  static async run(options: Pick<PodOptions, "name" | "pid" | "network">): Promise<Pod> {
    const { machine } = use();
    const all = { cgroupParent: machine.cgroup, logDirectory: machine.path("logs"), ...options };
    return new Pod(all, await cri.runPod(all));
  }

  create(name: string, command: string[], options: Partial<PodContainerOptions> = {}): Promise<string> {
    return cri.createContainer(this.id, this.options, { name, image: IMAGE, command, ...options });
  }

  async start(name: string, command: string[], options: Partial<PodContainerOptions> = {}): Promise<string> {
    const id = await this.create(name, command, options);
    await cri.startContainer(id);
    return id;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await cri.removePod(this.id);
  }
}

/** What containers share is told by these. */
async function namespacesOf(id: string): Promise<Record<string, string>> {
  const names = ["net", "ipc", "uts", "pid", "mnt"];
  const { stdout } = await cri.exec(
    id,
    "sh",
    "-c",
    `for n in ${names.join(" ")}; do readlink /proc/self/ns/$n; done`,
  );
  const links = stdout.trim().split("\n");
  return Object.fromEntries(names.map((name, index) => [name, links[index] ?? ""]));
}

const nothingLeft = (): Promise<void> =>
  until("nothing is left", () => use().machine.leftovers(STATE).length === 0);

describe("a pod", () => {
  e2e(
    "two containers share its network, IPC and host name, not their processes",
    async () => {
      {
        await using pod = await Pod.run({ name: "pod" });
        const first = await pod.start("first", ["sh", "-c", "echo started; exec sleep 1000"], {
          memory: 64 << 20,
        });
        const second = await pod.start("second", FOREVER);
        const [one, two] = [await namespacesOf(first), await namespacesOf(second)];
        expect([one.net, one.ipc, one.uts]).toEqual([two.net, two.ipc, two.uts]);
        expect(one.pid).not.toBe(two.pid);
        expect(one.mnt).not.toBe(two.mnt);
        expect(await cri.exec(first, "hostname")).toEqual({ stdout: "pod\n", stderr: "", status: 0 });
        expect(await cri.exec(second, "sh", "-c", "echo no >&2; exit 3")).toEqual({
          stdout: "",
          stderr: "no\n",
          status: 3,
        });
        expect(readFileSync(use().machine.path("logs/first.log"), "utf8")).toMatch(/ stdout F started\n$/);
        const limit = isV2 ? "/sys/fs/cgroup/memory.max" : "/sys/fs/cgroup/memory/memory.limit_in_bytes";
        expect((await cri.exec(first, "cat", limit)).stdout).toBe(`${64 << 20}\n`);
        await cri.updateMemory(first, 32 << 20);
        expect((await cri.exec(first, "cat", limit)).stdout).toBe(`${32 << 20}\n`);
        if (IS_HAKO) {
          const sandboxOf = (id: string) =>
            use().machine.ok(HAKO, "--root", STATE, "mapping", "get", id).trim();
          expect([pod.id, first, second].map(sandboxOf)).toEqual([pod.id, pod.id, pod.id]);
        }
        await cri.stopContainer(second, 1);
        expect(await cri.status(second)).toMatchObject({ state: "exited", exitCode: 137 });
        await cri.removeContainer(second);
        // the name's next attempt in the same sandbox
        const third = await pod.start("second", ["sh", "-c", "exit 9"]);
        for (let tries = 0; (await cri.status(third)).state !== "exited" && tries < 200; tries++)
          await Bun.sleep(50);
        expect(await cri.status(third)).toMatchObject({ state: "exited", exitCode: 9, reason: "Error" });
        await cri.removeContainer(third);
        expect((await cri.status(first)).state).toBe("running");
      }
      await nothingLeft();
    },
    needs,
  );

  e2e(
    "one PID namespace for all: a container's end is its processes' end only",
    async () => {
      {
        await using pod = await Pod.run({ name: "together", pid: "pod" });
        const first = await pod.start("first", ["sh", "-c", "sleep 901 & sleep 902 & wait"]);
        const second = await pod.start("second", FOREVER);
        const seen = async () => (await cri.exec(second, "ps")).stdout;
        expect(await seen()).toContain("sleep 901");
        expect(await seen()).toMatch(/^ +1 root +sleep 100000$/m);
        await cri.stopContainer(first, 0);
        for (let tries = 0; /sleep 90/.test(await seen()) && tries < 100; tries++) await Bun.sleep(50);
        expect(await seen()).not.toMatch(/sleep 90/);
        expect((await cri.status(second)).state).toBe("running");
      }
      await nothingLeft();
    },
    needs,
  );

  e2e(
    "the node's network, and what can't be started",
    async () => {
      {
        await using pod = await Pod.run({ name: "node", network: "node" });
        const box = await pod.start("box", FOREVER);
        expect((await namespacesOf(box)).net).toBe(use().machine.ok("readlink", "/proc/1/ns/net").trim());
        const wrong = await pod
          .create("wrong", ["nosuch"])
          .then((id) => cri.startContainer(id).then(() => "", String), String);
        expect(wrong).toContain('exec: "nosuch": executable file not found in $PATH');
      }
      await nothingLeft();
    },
    needs,
  );
});
