// @cgroup-v2
// Many containers at once, and a create that is killed half-way: the host is the same afterwards.
import { describe, expect } from "bun:test";
import { spawn } from "node:child_process";
import { join } from "node:path";
import { processStatus } from "../../src/linux/process/process";
import { childrenOf } from "./children";
import {
  Box,
  busyboxRootfs,
  e2e,
  expectUnchanged,
  HAKO,
  hostSnapshot,
  needsHako,
  needsProgram,
  type Result,
  until,
} from "./support";

/** HAKO_LOAD: fewer on a machine that is slow. */
const CONTAINERS = Number(process.env.HAKO_LOAD ?? 200);
const AT_ONCE = 8;
const KILLS = 10;

function must(result: Result, what: string): void {
  if (result.status !== 0) throw new Error(`${what}: status ${result.status}: ${result.stderr}`);
}

/** A box with one root file system for all of its bundles. */
function sharedRootfs(box: Box): (args: string[]) => string {
  const rootfs = join(box.dir, "rootfs");
  busyboxRootfs(rootfs);
  return (args) =>
    box.bundle(args, (config) => {
      config.root.path = rootfs;
    });
}

describe("load", () => {
  e2e(`${CONTAINERS} containers, ${AT_ONCE} at a time @v2`, async () => {
    using box = new Box();
    const bundleOf = sharedRootfs(box);
    const before = hostSnapshot(box.root);
    let next = 0;
    const worker = async (): Promise<void> => {
      while (next++ < CONTAINERS) {
        const id = box.id();
        must(await box.later(["create", "--bundle", bundleOf(["true"]), id]), `create ${id}`);
        must(await box.later(["start", id]), `start ${id}`);
        for (const end = Date.now() + 20_000; ; ) {
          const state = await box.later(["state", id]);
          must(state, `state ${id}`);
          if (JSON.parse(state.stdout).status === "stopped") break;
          if (Date.now() > end) throw new Error(`${id} does not stop`);
        }
        must(await box.later(["delete", id]), `delete ${id}`);
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, worker));
    await expectUnchanged(before, box.root);
  });

  e2e("the same id from several at once: one wins", async () => {
    using box = new Box();
    const bundleOf = sharedRootfs(box);
    const before = hostSnapshot(box.root);
    for (let round = 0; round < 5; round++) {
      const id = box.id();
      const bundles = Array.from({ length: 4 }, () => bundleOf(["sleep", "600"]));
      const results = await Promise.all(
        bundles.map((bundle) => box.later(["create", "--bundle", bundle, id])),
      );
      expect(results.filter((result) => result.status === 0).length).toBe(1);
      expect(box.state(id).status).toBe("created");
      box.ok("delete", "--force", id);
    }
    await expectUnchanged(before, box.root);
  }, [needsHako]);

  e2e(`create killed at ${KILLS} moments; delete --force cleans up @v2`, async () => {
    using box = new Box();
    const bundleOf = sharedRootfs(box);
    const before = hostSnapshot(box.root);
    const started = performance.now();
    const first = box.id();
    must(await box.later(["create", "--bundle", bundleOf(["sleep", "600"]), first]), "create");
    const whole = performance.now() - started;
    box.ok("delete", "--force", first);
    for (let moment = 0; moment < KILLS; moment++) {
      const id = box.id();
      await box.later(["create", "--bundle", bundleOf(["sleep", "600"]), id], (whole * moment) / (KILLS - 1));
      const deleted = box.hako("delete", "--force", id);
      expect({ moment, status: deleted.status, stderr: deleted.stderr }).toEqual({
        moment,
        status: 0,
        stderr: "",
      });
      expect(box.hako("list").status).toBe(0);
    }
    await expectUnchanged(before, box.root);
  }, [needsHako]);

  // strace holds each process's first prctl up: PR_SET_PDEATHSIG comes when the command is dead already
  const HELD_UP = ["-f", "-qq", "-e", "trace=prctl", "-e", "inject=prctl:delay_enter=1500000:when=1"];
  for (const [how, children, join] of [
    ["a new process", 1, undefined],
    ["its copy, in a namespace that is joined", 2, { type: "network", path: "/proc/self/ns/net" }],
  ] as const) {
    e2e(`create killed before ${how} could ask to be killed with it`, async () => {
      using box = new Box();
      const before = hostSnapshot(box.root);
      const bundle = box.bundle(["sleep", "600"], ({ linux }) => {
        if (join === undefined) return;
        linux.namespaces = [...linux.namespaces.filter(({ type }) => type !== join.type), join];
      });
      const id = box.id();
      const words = [
        ...HELD_UP,
        "-o",
        box.path("trace"),
        HAKO,
        "--root",
        box.root,
        "create",
        "--bundle",
        bundle,
        id,
      ];
      const strace = spawn("strace", words, { stdio: "ignore" });
      const ended = new Promise((done) => strace.on("exit", done));
      const seen = new Set<number>();
      let command = 0;
      await until("the process is born", () => {
        command = childrenOf(strace.pid ?? 0)[0] ?? 0;
        for (const child of childrenOf(command)) seen.add(child);
        return seen.size === children;
      });
      process.kill(command, "SIGKILL");
      await until("nothing of it is left", () =>
        [...seen].every((pid) => "ZX".includes(processStatus(pid)?.state ?? "X")),
      );
      await ended;
      box.ok("delete", "--force", id);
      await expectUnchanged(before, box.root);
    }, [needsHako, needsProgram("strace")]);
  }

  e2e("run killed: delete --force cleans up", async () => {
    using box = new Box();
    const bundleOf = sharedRootfs(box);
    const before = hostSnapshot(box.root);
    const id = box.id();
    await box.later(["run", "--bundle", bundleOf(["sleep", "600"]), id], 700);
    box.ok("delete", "--force", id);
    await expectUnchanged(before, box.root);
  });
});
