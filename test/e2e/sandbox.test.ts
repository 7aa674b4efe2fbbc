// @cgroup-v2
// Pods: containers that CRI-O, containerd and podman annotate as one sandbox, sharing its namespaces by path.
import { describe, expect } from "bun:test";
import { closeSync, mkdirSync, openSync, readFileSync, readlinkSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  Box,
  type BundleConfig,
  e2e,
  expectUnchanged,
  hostSnapshot,
  names,
  needsHako,
  until,
} from "./support";

const SLEEP = ["sleep", "600"];
type Type = "sandbox" | "container";

/** How a client says it, as seen in the config.json that it writes. */
const CLIENTS: Record<string, (type: Type, sandbox: string) => Record<string, string>> = {
  "CRI-O": (type, sandbox) => ({
    "io.kubernetes.cri-o.ContainerType": type,
    "io.kubernetes.cri-o.SandboxID": sandbox,
    "io.kubernetes.pod.name": "web",
  }),
  containerd: (type, sandbox) => ({
    "io.kubernetes.cri.container-type": type,
    "io.kubernetes.cri.sandbox-id": sandbox,
    "io.kubernetes.cri.sandbox-name": "web",
  }),
  kata: (type, sandbox) => ({
    "io.katacontainers.pkg.oci.container_type": `pod_${type}`,
    "io.katacontainers.pkg.oci.sandbox_id": sandbox,
  }),
};
type Annotate = (typeof CLIENTS)[string];
const crio = CLIENTS["CRI-O"] as Annotate;

const SHARED = ["network", "ipc", "uts"];
const PROC_NAMES: Record<string, string> = { network: "net", ipc: "ipc", uts: "uts", pid: "pid" };

/** Joins the namespaces of a process, as clients write it. */
function joining(pid: number, types: readonly string[] = SHARED) {
  return ({ linux }: BundleConfig) => {
    linux.namespaces = linux.namespaces.map(({ type }) =>
      types.includes(type) ? { type, path: `/proc/${pid}/ns/${PROC_NAMES[type]}` } : { type },
    );
  };
}

interface Pod {
  sandbox: string;
  pid: number;
}

/** A pod's sandbox container, running. */
function startPod(box: Box, annotate: Annotate): Pod {
  const sandbox = box.id();
  box.ok("create", "--bundle", podBundle(box, annotate("sandbox", sandbox)), sandbox);
  box.ok("start", sandbox);
  return { sandbox, pid: box.state(sandbox).pid };
}

function podBundle(box: Box, annotations: Record<string, string>, mutate = (_: BundleConfig) => {}): string {
  return box.bundle(SLEEP, (config) => {
    config.annotations = annotations;
    mutate(config);
  });
}

/** A container in a pod, running, beside the sandbox's. */
function startInPod(box: Box, annotate: Annotate, pod: Pod, types?: readonly string[]): string {
  const id = box.id();
  const bundle = podBundle(box, annotate("container", pod.sandbox), (config) => {
    if (types !== undefined && !types.includes("uts")) delete config.hostname;
    joining(pod.pid, types)(config);
  });
  box.ok("create", "--bundle", bundle, id);
  box.ok("start", id);
  return id;
}

interface Shown {
  id: string;
  status: string;
  containers: { id: string; type?: string; status: string; pid: number; cgroup?: string }[];
  use: { memory: number; cpu: number; processes: number };
}

function show(box: Box, sandbox: string): Shown {
  return JSON.parse(box.ok("sandbox", "show", sandbox, "--format", "json").stdout);
}

function table(text: string): string[][] {
  return text
    .trimEnd()
    .split("\n")
    .map((line) => line.split(/ {2,}/));
}

function namespace(pid: number, name: string): string {
  return readlinkSync(`/proc/${pid}/ns/${name}`);
}

for (const [client, annotate] of Object.entries(CLIENTS)) {
  e2e(`a pod of ${client}: create, start, list, show, kill, delete in the order that it does it`, async () => {
    using box = new Box();
    const before = hostSnapshot(box.root);
    const pod = startPod(box, annotate);
    const [one, two] = [startInPod(box, annotate, pod), startInPod(box, annotate, pod)];
    for (const id of [one, two]) {
      expect(box.ok("mapping", "get", id).stdout).toBe(`${pod.sandbox}\n`);
      const { pid } = box.state(id);
      for (const name of ["net", "ipc", "uts"]) expect(namespace(pid, name)).toBe(namespace(pod.pid, name));
      expect(namespace(pid, "mnt")).not.toBe(namespace(pod.pid, "mnt"));
    }
    expect(box.ok("sandbox", "list", "-q").stdout).toBe(`${pod.sandbox}\n`);
    expect(table(box.ok("sandbox", "list").stdout)).toEqual([
      ["SANDBOX", "STATUS", "CONTAINERS", "RUNNING"],
      [pod.sandbox, "running", "3", "3"],
    ]);
    const shown = show(box, pod.sandbox);
    expect(shown).toMatchObject({ id: pod.sandbox, status: "running" });
    expect(shown.containers.map(({ id, type, status }) => [id, type, status])).toEqual([
      [pod.sandbox, "sandbox", "running"],
      [one, "container", "running"],
      [two, "container", "running"],
    ]);
    expect(shown.containers[1]?.pid).toBe(box.state(one).pid);
    // each container: the others first, then the sandbox's own
    for (const id of [one, two, pod.sandbox]) {
      box.ok("kill", id, "KILL");
      await box.waitFor(id, "stopped");
      expect(box.ok("delete", id).stderr).toBe("");
      expect(box.hako("delete", "--force", id)).toMatchObject({ status: 0, stderr: "" });
    }
    expect(box.ok("sandbox", "list", "--format", "json").stdout).toBe("[]\n");
    expect(box.hako("sandbox", "show", pod.sandbox).stderr).toContain("does not exist");
    await expectUnchanged(before, box.root);
  }, [needsHako]);
}

e2e("show prints containers, and what they use in all", () => {
  using box = new Box();
  const pod = startPod(box, crio);
  const one = startInPod(box, crio, pod);
  const cgroup = readFileSync(`/proc/${box.state(one).pid}/cgroup`, "utf8").match(/\/hako-e2e-\S+/)?.[0];
  const [containers = "", use = ""] = box.ok("sandbox", "show", pod.sandbox).stdout.split("\n\n");
  expect(table(containers)[0]).toEqual(["CONTAINER", "TYPE", "STATUS", "PID", "CGROUP"]);
  expect(table(containers)[2]).toEqual([
    one,
    "container",
    "running",
    String(box.state(one).pid),
    cgroup ?? "",
  ]);
  const rows = new Map(table(use).map(([name, value]) => [name, value]));
  expect(rows.get("processes")).toBe("2");
  expect(rows.get("memory")).toMatch(/^[\d.]+ [KM]iB$/);
  expect(rows.get("cpu time")).toMatch(/^\d+\.\d\d s$/);
  const { use: exact } = show(box, pod.sandbox);
  expect(exact.processes).toBe(2);
  expect(exact.memory).toBeGreaterThan(0);
  expect(exact.cpu).toBeGreaterThan(0);
}, [needsHako]);

e2e("a container without annotations is a sandbox of its own", () => {
  using box = new Box();
  const id = box.id();
  box.ok("create", "--bundle", box.bundle(SLEEP), id);
  expect(show(box, id)).toMatchObject({
    status: "created",
    containers: [{ id, type: "sandbox", status: "created" }],
  });
}, [needsHako]);

describe("kill", () => {
  e2e("one container of a pod: the others run on, also without the sandbox's own", async () => {
    using box = new Box();
    const pod = startPod(box, crio);
    const [one, two] = [startInPod(box, crio, pod), startInPod(box, crio, pod)];
    box.ok("kill", one, "KILL");
    await box.waitFor(one, "stopped");
    expect(box.state(pod.sandbox).status).toBe("running");
    box.ok("kill", pod.sandbox, "KILL");
    await box.waitFor(pod.sandbox, "stopped");
    expect(box.state(two).status).toBe("running");
    expect(box.ok("exec", two, "hostname").stdout).toBe("box\n");
    expect(show(box, pod.sandbox)).toMatchObject({ status: "running" });
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
    // in any order
    for (const id of [ids[1] ?? "", pod.sandbox, ids[0] ?? ""]) box.ok("delete", id);
    await expectUnchanged(before, box.root);
  }, [needsHako]);
});

describe("delete", () => {
  e2e("the sandbox before its containers: they keep its namespaces, and it is said", async () => {
    using box = new Box();
    const before = hostSnapshot(box.root);
    const pod = startPod(box, crio);
    const one = startInPod(box, crio, pod);
    const net = namespace(box.state(one).pid, "net");
    expect(box.hako("delete", pod.sandbox).stderr).toContain("is not stopped");
    const result = box.ok("delete", "--force", pod.sandbox);
    expect(result.stderr).toContain(
      `sandbox "${pod.sandbox}" is without its sandbox container now; still in it: "${one}"`,
    );
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
    expect(names(box.dir)).not.toContain("log.json");
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

describe("annotations", () => {
  e2e("wrong ones are refused, and nothing is left", async () => {
    using box = new Box();
    const before = hostSnapshot(box.root);
    const type = "io.kubernetes.cri-o.ContainerType";
    const sandbox = "io.kubernetes.cri-o.SandboxID";
    const rows: [Record<string, string>, string][] = [
      [
        { [type]: "I-am-not-a-valid-container-type" },
        'unknown container type "I-am-not-a-valid-container-type"',
      ],
      [{ [type]: "你好，世界", [sandbox]: "pod" }, "你好，世界"],
      [{ [type]: "container" }, `config /annotations/${sandbox}: missing`],
      [{ [type]: "container", [sandbox]: "" }, `config /annotations/${sandbox}: missing`],
      [{ [type]: "container", [sandbox]: "../../etc" }, 'invalid sandbox id "../../etc"'],
      [{ [type]: "sandbox", [sandbox]: "a/b" }, 'invalid sandbox id "a/b"'],
      [{ "io.kubernetes.cri.container-type": "container" }, "io.kubernetes.cri.sandbox-id: missing"],
    ];
    for (const [annotations, text] of rows) {
      const bundle = podBundle(box, annotations);
      const result = box.hako("create", "--bundle", bundle, box.id());
      expect([text, result.status]).toEqual([text, 1]);
      expect(result.stderr).toContain(text);
      expect(box.hako("validate", "--bundle", bundle).status).toBe(1);
    }
    await expectUnchanged(before, box.root);
  }, [needsHako]);

  e2e("a sandbox that has no container of its own: CRI-O leaves it out", () => {
    using box = new Box();
    const id = box.id();
    box.ok("create", "--bundle", podBundle(box, crio("container", "pod-without")), id);
    expect(show(box, "pod-without")).toMatchObject({
      status: "created",
      containers: [{ id, type: "container", status: "created" }],
    });
    box.ok("delete", id);
    expect(box.hako("sandbox", "show", "pod-without").status).toBe(1);
  }, [needsHako]);

  e2e("a sandbox whose id is not its first container's: podman's pods", () => {
    using box = new Box();
    const id = box.id();
    box.ok("create", "--bundle", podBundle(box, crio("sandbox", "a-pod")), id);
    expect(show(box, "a-pod").containers).toMatchObject([{ id, type: "sandbox" }]);
  }, [needsHako]);
});

describe("what is broken", () => {
  e2e("is a warning, and the rest is shown", async () => {
    using box = new Box();
    const pod = startPod(box, crio);
    const one = startInPod(box, crio, pod);
    const file = join(box.root, one, "state.json");
    const record = readFileSync(file, "utf8");
    writeFileSync(file, "{");
    mkdirSync(join(box.root, "containers-mapping", "odd", "a"), { recursive: true });
    mkdirSync(join(box.root, "containers-mapping", "odd", "b"));
    box.ok("mapping", "add", "byhand", pod.sandbox);
    const result = box.ok("sandbox", "list", "--format", "json");
    expect(result.stderr).toContain(`${file} is broken`);
    expect(result.stderr).toContain("too many files (2)");
    expect(JSON.parse(result.stdout)).toMatchObject([
      {
        id: pod.sandbox,
        status: "running",
        containers: [
          { id: "byhand", status: "unknown", pid: 0 },
          { id: pod.sandbox, type: "sandbox", status: "running" },
          { id: one, status: "unknown", pid: 0 },
        ],
      },
    ]);
    writeFileSync(file, record);
    rmSync(join(box.root, "containers-mapping", "odd"), { recursive: true });
    box.ok("mapping", "delete", "byhand");
    await until("all is well", () => show(box, pod.sandbox).containers.length === 2);
  }, [needsHako]);

  e2e("no state directory: no sandboxes; wrong ids", () => {
    using box = new Box();
    expect(box.ok("sandbox", "list", "--format", "json").stdout).toBe("[]\n");
    const missing = box.hako("sandbox", "show", "none");
    expect(missing).toMatchObject({ status: 1, stdout: "" });
    expect(missing.stderr).toContain('sandbox "none" does not exist');
    expect(box.hako("sandbox", "show", "../x").status).toBe(2);
    expect(box.hako("sandbox", "show").status).toBe(2);
    expect(box.hako("sandbox").status).toBe(2);
    expect(names(box.root)).toEqual([]);
  }, [needsHako]);
});
