// @cgroup-v2
// Pods: containers that CRI-O, containerd and podman annotate as one sandbox, sharing its namespaces by path.
import { describe, expect } from "bun:test";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { CLIENTS, crio, namespace, podBundle, show, startInPod, startPod } from "./pod";
import { Box, e2e, expectUnchanged, hostSnapshot, names, needsHako, SLEEP, until } from "./support";

function table(text: string): string[][] {
  return text
    .trimEnd()
    .split("\n")
    .map((line) => line.split(/ {2,}/));
}

for (const [client, annotate] of Object.entries(CLIENTS)) {
  e2e(`a pod of ${client}: create, start, list, show, kill, delete in the order that it does it @v2`, async () => {
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
    const alone = box.started();
    const listed = (...words: string[]) => box.ok("sandbox", "list", ...words).stdout;
    expect(
      listed("--format", "{{.ID}} {{.Status}} {{.Containers}} {{.Running}}", "--filter", `container=${one}`),
    ).toBe(`${pod.sandbox} running 3 3\n`);
    expect(listed("-q", "--filter", `id=^${alone}$`, "--filter", "status=running")).toBe(`${alone}\n`);
    expect(listed("-q", "--filter", "status=stopped")).toBe("");
    for (const wrong of [
      ["--filter", "status=up"],
      ["--filter", "bundle=x"],
      ["--format", "{{.Nothing}}"],
    ])
      expect([wrong, box.hako("sandbox", "list", ...wrong).status]).toEqual([wrong, 2]);
    box.ok("delete", "--force", alone);
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

e2e("show prints containers, and what they use in all @v2", () => {
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
