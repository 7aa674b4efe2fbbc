// @cgroup-v2
// Pods as Kubernetes runs them, by containerd's CRI plugin: a sandbox, and containers that share it.
import { afterAll, beforeAll, describe, expect } from "bun:test";
import { readFileSync } from "node:fs";
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
import { CriPods, STATE } from "./cri-pods";

const needs: Needs[] = [needsRoot, needsBusybox, needsProgram("containerd"), needsProgram("ctr")];
const ready = needs.every((need) => need === undefined);
const FOREVER = ["sh", "-c", "while :; do sleep 1; done"];

let pods: CriPods;
beforeAll(async () => {
  if (ready) pods = await CriPods.start();
}, 240_000);
afterAll(async () => await pods?.[Symbol.asyncDispose](), 240_000);

/** What containers share is told by these. */
async function namespacesOf(id: string): Promise<Record<string, string>> {
  const names = ["net", "ipc", "uts", "pid", "mnt"];
  const { stdout } = await pods.cri.exec(
    id,
    "sh",
    "-c",
    `for n in ${names.join(" ")}; do readlink /proc/self/ns/$n; done`,
  );
  const links = stdout.trim().split("\n");
  return Object.fromEntries(names.map((name, index) => [name, links[index] ?? ""]));
}

const nothingLeft = (): Promise<void> =>
  until("nothing is left", () => pods.machine.leftovers(STATE).length === 0);

describe("a pod", () => {
  e2e(
    "two containers share its network, IPC and host name, not their processes @v2",
    async () => {
      {
        await using pod = await pods.run({ name: "pod" });
        const first = await pod.start("first", ["sh", "-c", "echo started; exec sleep 1000"], {
          memory: 64 << 20,
        });
        const second = await pod.start("second", FOREVER);
        const [one, two] = [await namespacesOf(first), await namespacesOf(second)];
        expect([one.net, one.ipc, one.uts]).toEqual([two.net, two.ipc, two.uts]);
        expect(one.pid).not.toBe(two.pid);
        expect(one.mnt).not.toBe(two.mnt);
        expect(await pods.cri.exec(first, "hostname")).toEqual({ stdout: "pod\n", stderr: "", status: 0 });
        expect(await pods.cri.exec(second, "sh", "-c", "echo no >&2; exit 3")).toEqual({
          stdout: "",
          stderr: "no\n",
          status: 3,
        });
        expect(readFileSync(pods.machine.path("logs/first.log"), "utf8")).toMatch(/ stdout F started\n$/);
        const limit = isV2 ? "/sys/fs/cgroup/memory.max" : "/sys/fs/cgroup/memory/memory.limit_in_bytes";
        expect((await pods.cri.exec(first, "cat", limit)).stdout).toBe(`${64 << 20}\n`);
        await pods.cri.updateMemory(first, 32 << 20);
        expect((await pods.cri.exec(first, "cat", limit)).stdout).toBe(`${32 << 20}\n`);
        if (IS_HAKO) {
          const sandboxOf = (id: string) =>
            pods.machine.ok(HAKO, "--root", STATE, "mapping", "get", id).trim();
          expect([pod.id, first, second].map(sandboxOf)).toEqual([pod.id, pod.id, pod.id]);
        }
        await pods.cri.stopContainer(second, 1);
        expect(await pods.cri.status(second)).toMatchObject({ state: "exited", exitCode: 137 });
        await pods.cri.removeContainer(second);
        // the name's next attempt in the same sandbox
        const third = await pod.start("second", ["sh", "-c", "exit 9"]);
        for (let tries = 0; (await pods.cri.status(third)).state !== "exited" && tries < 200; tries++)
          await Bun.sleep(50);
        expect(await pods.cri.status(third)).toMatchObject({ state: "exited", exitCode: 9, reason: "Error" });
        await pods.cri.removeContainer(third);
        expect((await pods.cri.status(first)).state).toBe("running");
      }
      await nothingLeft();
    },
    needs,
  );

  e2e(
    "one PID namespace for all: a container's end is its processes' end only",
    async () => {
      {
        await using pod = await pods.run({ name: "together", pid: "pod" });
        const first = await pod.start("first", ["sh", "-c", "sleep 901 & sleep 902 & wait"]);
        const second = await pod.start("second", FOREVER);
        const seen = async () => (await pods.cri.exec(second, "ps")).stdout;
        for (let tries = 0; !/sleep 901/.test(await seen()) && tries < 100; tries++) await Bun.sleep(50);
        expect(await seen()).toContain("sleep 901");
        expect(await seen()).toMatch(/^ +1 root +sleep 100000$/m);
        await pods.cri.stopContainer(first, 0);
        for (let tries = 0; /sleep 90/.test(await seen()) && tries < 100; tries++) await Bun.sleep(50);
        expect(await seen()).not.toMatch(/sleep 90/);
        expect((await pods.cri.status(second)).state).toBe("running");
      }
      await nothingLeft();
    },
    needs,
  );

  e2e(
    "the node's network, and what can't be started",
    async () => {
      {
        await using pod = await pods.run({ name: "node", network: "node" });
        const box = await pod.start("box", FOREVER);
        expect((await namespacesOf(box)).net).toBe(pods.machine.ok("readlink", "/proc/1/ns/net").trim());
        const wrong = await pod
          .create("wrong", ["nosuch"])
          .then((id) => pods.cri.startContainer(id).then(() => "", String), String);
        expect(wrong).toContain('exec: "nosuch": executable file not found in $PATH');
      }
      await nothingLeft();
    },
    needs,
  );
});
