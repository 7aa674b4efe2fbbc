// What TERM, KILL and delete of a pod's containers do to the others.
import { describe, expect } from "bun:test";
import { closeSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  CLIENTS,
  crio,
  joining,
  namespace,
  podBundle,
  podman,
  SHARED,
  show,
  startInPod,
  startPod,
} from "./pod";
import { Box, type BundleConfig, e2e, expectUnchanged, hostSnapshot, needsHako, until } from "./support";

/** Whether a process has a handler for a signal. */
function handles(pid: number, signal: number): boolean {
  const caught = /^SigCgt:\t([0-9a-f]+)$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? "0";
  return ((BigInt(`0x${caught}`) >> BigInt(signal - 1)) & 1n) === 1n;
}

/** Ends by TERM with 0; a first process ignores what it has no handler for. */
const ENDS_BY_TERM = ["sh", "-c", "trap 'exit 0' TERM; echo ready; while :; do sleep 0.05; done"];

describe("kill", () => {
  e2e("one container of a pod: the others run on", async () => {
    using box = new Box();
    const pod = startPod(box, crio);
    const [one, two] = [startInPod(box, crio, pod), startInPod(box, crio, pod)];
    box.ok("kill", one, "KILL");
    await box.waitFor(one, "stopped");
    expect([pod.sandbox, two].map((id) => box.state(id).status)).toEqual(["running", "running"]);
    expect(box.ok("exec", two, "hostname").stdout).toBe("box\n");
    expect(show(box, pod.sandbox)).toMatchObject({ status: "running" });
  }, [needsHako]);

  for (const [client, annotate] of Object.entries(CLIENTS)) {
    e2e(`the sandbox container of ${client}: KILL is the end of all of its sandbox`, async () => {
      using box = new Box();
      const pod = startPod(box, annotate);
      const other = startPod(box, annotate);
      const [one, two] = [startInPod(box, annotate, pod), startInPod(box, annotate, pod)];
      const far = startInPod(box, annotate, other);
      box.ok("kill", one, "KILL");
      await box.waitFor(one, "stopped");
      box.ok("pause", two);
      box.ok("kill", pod.sandbox, "KILL");
      for (const id of [pod.sandbox, two]) await box.waitFor(id, "stopped");
      expect([other.sandbox, far].map((id) => box.state(id).status)).toEqual(["running", "running"]);
      const again = box.hako("kill", pod.sandbox, "KILL");
      expect(again).toMatchObject({ status: 1 });
      expect(again.stderr).toContain(`container "${pod.sandbox}": container not running: stopped`);
    }, [needsHako]);
  }

  e2e("the sandbox container: TERM goes to all of its sandbox, other signals don't", async () => {
    using box = new Box();
    const program = (config: BundleConfig) => {
      config.process.args = ENDS_BY_TERM;
    };
    const pod = startPod(box, crio, program);
    const ids = [pod.sandbox, startInPod(box, crio, pod, SHARED, program), startInPod(box, crio, pod)];
    await until("both have their handler", () =>
      ids.slice(0, 2).every((id) => handles(box.state(id).pid, 15)),
    );
    box.ok("kill", pod.sandbox, "WINCH");
    box.ok("kill", pod.sandbox, "TERM");
    for (const id of ids.slice(0, 2)) await box.waitFor(id, "stopped");
    // it has no handler, and time to end: who asked decides about KILL
    expect(box.state(ids[2] ?? "").status).toBe("running");
  }, [needsHako]);

  e2e("podman's sandbox container: it alone, as podman stops each container itself", async () => {
    using box = new Box();
    const pod = startPod(box, podman);
    const one = startInPod(box, podman, pod);
    box.ok("kill", pod.sandbox, "KILL");
    await box.waitFor(pod.sandbox, "stopped");
    expect(box.state(one).status).toBe("running");
  }, [needsHako]);

  e2e("a container whose record is broken is told, and the others get the signal", async () => {
    using box = new Box();
    const pod = startPod(box, crio);
    const [one, two] = [startInPod(box, crio, pod), startInPod(box, crio, pod)];
    const file = join(box.root, one, "state.json");
    const record = readFileSync(file, "utf8");
    writeFileSync(file, "{");
    const result = box.hako("kill", pod.sandbox, "KILL");
    expect(result.status).toBe(1);
    expect(result.stderr).toContain(`sandbox "${pod.sandbox}": `);
    expect(result.stderr).toContain(`${file} is broken`);
    for (const id of [pod.sandbox, two]) await box.waitFor(id, "stopped");
    writeFileSync(file, record);
    expect(box.state(one).status).toBe("running");
  }, [needsHako]);

  e2e("a sandbox whose pid namespace they share: all end with it", async () => {
    using box = new Box();
    const before = hostSnapshot(box.root);
    const pod = startPod(box, crio);
    const ids = [1, 2].map(() => startInPod(box, crio, pod, [...SHARED, "pid"]));
    expect(show(box, pod.sandbox).use.processes).toBe(3);
    box.ok("kill", pod.sandbox, "KILL");
    for (const id of [pod.sandbox, ...ids]) await box.waitFor(id, "stopped");
    expect(show(box, pod.sandbox).status).toBe("stopped");
    // the one that is left goes with the sandbox
    for (const id of [ids[1] ?? "", pod.sandbox]) box.ok("delete", id);
    expect(box.hako("delete", ids[0] ?? "").stderr).toContain("does not exist");
    await expectUnchanged(before, box.root);
  }, [needsHako]);
});

describe("delete", () => {
  e2e("the sandbox container: all of its sandbox goes, and it is said", async () => {
    using box = new Box();
    const before = hostSnapshot(box.root);
    const pod = startPod(box, crio);
    const other = startPod(box, crio);
    const log = box.path("poststop");
    const one = startInPod(box, crio, pod, SHARED, (config) => {
      config.hooks = { poststop: [{ path: "/bin/sh", args: ["sh", "-c", `cat >${log}`] }] };
    });
    const ids = [one, startInPod(box, crio, pod), box.id()].sort();
    const created = ids.find((id) => !box.hako("state", id).stdout.includes(id)) ?? "";
    box.ok("create", "--bundle", podBundle(box, crio("container", pod.sandbox)), created);
    const refused = box.hako("delete", pod.sandbox);
    expect(refused.status).toBe(1);
    expect(refused.stderr).toContain("is not stopped");
    expect(show(box, pod.sandbox).containers.length).toBe(4);
    const result = box.ok("delete", "--force", pod.sandbox);
    expect(result.stderr).toContain(
      `deleted with sandbox container "${pod.sandbox}": ${ids.map((id) => `"${id}"`).join(", ")}`,
    );
    expect(JSON.parse(readFileSync(log, "utf8"))).toMatchObject({ id: one, status: "stopped" });
    expect(box.hako("sandbox", "show", pod.sandbox).status).toBe(1);
    // a client that deletes each of them afterwards
    for (const id of ids) expect(box.ok("delete", "--force", id).stderr).toBe("");
    expect(box.state(other.sandbox).status).toBe("running");
    box.ok("delete", "--force", other.sandbox);
    await expectUnchanged(before, box.root);
  }, [needsHako]);

  e2e("a sandbox container that has ended by itself, without force: what still runs in its sandbox is ended", async () => {
    using box = new Box();
    const before = hostSnapshot(box.root);
    const pod = startPod(box, crio);
    startInPod(box, crio, pod);
    process.kill(pod.pid, "SIGKILL");
    await box.waitFor(pod.sandbox, "stopped");
    box.ok("delete", pod.sandbox);
    expect(box.ok("sandbox", "list", "-q").stdout).toBe("");
    await expectUnchanged(before, box.root);
  }, [needsHako]);

  e2e("two sandbox containers of one sandbox at once: none waits for the other", async () => {
    using box = new Box();
    const before = hostSnapshot(box.root);
    const pod = startPod(box, crio);
    const second = box.id();
    box.ok("run", "--detach", "--bundle", podBundle(box, crio("sandbox", pod.sandbox)), second);
    startInPod(box, crio, pod);
    const ends = [pod.sandbox, second].map((id) => box.later(["delete", "--force", id]));
    expect((await Promise.all(ends)).map(({ status }) => status)).toEqual([0, 0]);
    expect(box.ok("sandbox", "list", "-q").stdout).toBe("");
    await expectUnchanged(before, box.root);
  }, [needsHako]);

  e2e("the sandbox container of a `run` in the foreground: its end is the sandbox's", async () => {
    using box = new Box();
    const sandbox = box.id();
    const bundle = podBundle(box, crio("sandbox", sandbox), (config) => {
      config.process.args = ENDS_BY_TERM;
    });
    const run = box.later(["run", "--bundle", bundle, sandbox]);
    await until("it has its handler", () => {
      const { stdout } = box.hako("state", sandbox);
      const { status, pid } = JSON.parse(stdout || "{}");
      return status === "running" && handles(pid, 15);
    });
    startInPod(box, crio, { sandbox, pid: box.state(sandbox).pid });
    process.kill(box.state(sandbox).pid, "SIGTERM");
    expect((await run).status).toBe(0);
    expect(box.ok("sandbox", "list", "-q").stdout).toBe("");
  }, [needsHako]);

  e2e("podman's sandbox container: the others keep its namespaces", async () => {
    using box = new Box();
    const before = hostSnapshot(box.root);
    const pod = startPod(box, podman);
    const one = startInPod(box, podman, pod);
    const net = namespace(box.state(one).pid, "net");
    expect(box.ok("delete", "--force", pod.sandbox).stderr).toBe("");
    expect(box.state(one).status).toBe("running");
    expect(namespace(box.state(one).pid, "net")).toBe(net);
    expect(box.ok("exec", one, "hostname").stdout).toBe("box\n");
    expect(show(box, pod.sandbox).containers).toMatchObject([
      { id: one, type: "container", status: "running" },
    ]);
    box.ok("delete", "--force", one);
    expect(box.hako("sandbox", "show", pod.sandbox).status).toBe(1);
    await expectUnchanged(before, box.root);
  }, [needsHako]);

  e2e("with a JSON log nothing is said where clients read errors", () => {
    using box = new Box();
    const pod = startPod(box, crio);
    startInPod(box, crio, pod);
    const log = box.path("log.json");
    box.ok("--log", log, "--log-format", "json", "delete", "--force", pod.sandbox);
    expect(readFileSync(log, "utf8")).toBe("");
  }, [needsHako]);

  e2e("its own namespaces' end: nobody can join them any more", async () => {
    using box = new Box();
    const pod = startPod(box, crio);
    const fd = openSync(`/proc/${pod.pid}/ns/pid`, "r");
    try {
      box.ok("delete", "--force", pod.sandbox);
      const bundle = podBundle(box, crio("container", pod.sandbox), joining(pod.pid));
      const late = box.hako("create", "--bundle", bundle, box.id());
      expect(late.status).toBe(1);
      expect(late.stderr).toMatch(
        /config \/linux\/namespaces\/\d\/path: failed to open .*the pod's sandbox perhaps, has ended/,
      );
      // who held a descriptor of the pid namespace finds nobody in it
      const held = podBundle(box, crio("container", pod.sandbox), ({ linux }) => {
        linux.namespaces = linux.namespaces.map(({ type }) =>
          type === "pid" ? { type, path: "/proc/self/fd/3" } : { type },
        );
      });
      const dead = box.hakoWith({ extraFds: [fd] }, "create", "--bundle", held, box.id());
      expect(dead.status).toBe(1);
      expect(dead.stderr).toContain("clone3: cannot allocate memory (the first process of the pid namespace");
    } finally {
      closeSync(fd);
    }
  }, [needsHako]);
});
