// @cgroup-v2
// Several containers: namespaces of another one, pods, kube files, copies, restarts, many at once.
import { afterAll, beforeAll, describe, expect } from "bun:test";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { AT_ONCE, isV2, type Needs, needsCriu, needsProgram } from "../e2e/support";
import { clientTest, eventually, IMAGE, Store } from "./support";

const needs: Needs[] = [needsProgram("podman"), needsProgram("conmon")];
let store: Store;
/** podman's own would be pulled. */
const INFRA = ["--infra-image", IMAGE, "--infra-command", "sleep 1000"];

beforeAll(() => {
  if (needs.every((need) => need === undefined)) store = new Store();
}, 240_000);
afterAll(() => store?.[Symbol.dispose](), 240_000);

const podman = (name: string, body: () => void | Promise<void>, more: Needs[] = []): void =>
  clientTest(name, body, [...needs, ...more]);

describe("several containers", () => {
  podman("the namespaces of another one; it goes on when the joiner is stopped", () => {
    const first = store.detached(["--hostname", "first"], "sleep", "600");
    const joined = ["pid", "ipc", "uts", "network"].flatMap((kind) => [`--${kind}`, `container:${first}`]);
    expect(store.sh("hostname; ps -o args | sed -n 2p", ...joined)).toBe("first\nsleep 600");
    const second = store.detached(joined, "sleep", "601");
    expect(store.ok("exec", first, "ps", "-o", "args")).toContain("sleep 601");
    store.ok("stop", "-t", "2", second);
    expect(store.ok("exec", first, "ps", "-o", "args")).not.toContain("sleep 601");
    store.ok("start", second);
    store.remove(second);
    store.remove(first);
  });

  podman("a pod: shared namespaces, its cgroup's limits, stop, start, pause, kill @v2", () => {
    const pod = store.name();
    store.ok("pod", "create", "--name", pod, "--share", "pid,ipc,uts,net", "--memory", "96m", ...INFRA);
    const name = store.detached(["--pod", pod], "sleep", "602");
    expect(store.ok("exec", name, "ps", "-o", "args")).toMatch(/sleep 1000\n[\s\S]*sleep 602/);
    const state = (): string => store.ok("pod", "inspect", "--format", "{{.State}}", pod);
    expect(state()).toBe("Running");
    const path = readFileSync(`/proc/${store.inspect(name, "{{.State.Pid}}")}/cgroup`, "utf8");
    const parent = (isV2 ? /^0::(.*)\/.*$/m : /:memory:(.*)\/.*$/m).exec(path)?.[1];
    const file = isV2
      ? `/sys/fs/cgroup${parent}/memory.max`
      : `/sys/fs/cgroup/memory${parent}/memory.limit_in_bytes`;
    expect(readFileSync(file, "utf8").trim()).toBe(`${96 << 20}`);
    for (const [command, expected] of [
      [["stop", "-t", "0"], "Exited"],
      [["start"], "Running"],
      [["pause"], "Paused"],
      [["unpause"], "Running"],
      [["kill"], "Exited"],
    ] as const) {
      store.ok("pod", ...command, pod);
      expect([command[0], state()]).toEqual([command[0], expected]);
    }
    store.remove(pod, "pod");
  });

  podman("play kube: user, capabilities, read-only root, limits, a shared volume; down again", () => {
    const pod = store.name();
    const security = {
      runAsUser: 1000,
      readOnlyRootFilesystem: true,
      allowPrivilegeEscalation: false,
      capabilities: { drop: ["ALL"] },
    };
    const container = (name: string, command: string) => ({
      name,
      image: IMAGE,
      imagePullPolicy: "Never",
      command: ["sh", "-c", command],
      env: [{ name: "A", value: "b" }],
      resources: { limits: { memory: "64Mi", cpu: "500m" } },
      securityContext: security,
    });
    const spec = {
      containers: [container("one", "echo kube; exec sleep 600"), container("two", "exec sleep 600")],
    };
    const file = store.path("kube.yaml");
    writeFileSync(file, JSON.stringify({ apiVersion: "v1", kind: "Pod", metadata: { name: pod }, spec }));
    // podman builds its pause image from catatonit
    store.ok("play", "kube", "--network", "none", file);
    expect(store.ok("logs", `${pod}-one`)).toBe("kube");
    const limit = isV2 ? "memory.max" : "memory/memory.limit_in_bytes";
    const line = `id -u; touch /x 2>&1; echo $A; grep -E "CapEff|NoNew" /proc/self/status; cat /sys/fs/cgroup/${limit}`;
    expect(store.ok("exec", `${pod}-two`, "sh", "-c", line).split("\n")).toEqual([
      "1000",
      "touch: /x: Read-only file system",
      "b",
      "CapEff:\t0000000000000000",
      "NoNewPrivs:\t1",
      `${64 << 20}`,
    ]);
    store.ok("play", "kube", "--down", file);
    expect(store.ok("ps", "-a", "--format", "{{.Names}}")).not.toContain(pod);
  }, [needsProgram("catatonit")]);

  podman(`${AT_ONCE} at once`, async () => {
    const names = Array.from({ length: AT_ONCE }, () => store.name());
    const results = await Promise.all(
      names.map((name) => store.later("podman", ["run", "--rm", "--name", name, IMAGE, "echo", name])),
    );
    // a failure with what podman says of it
    expect(
      results.filter(({ status, stdout }, index) => status !== 0 || stdout.trim() !== names[index]),
    ).toEqual([]);
  });
});

describe("one container over its life", () => {
  podman("restart policies: on-failure so many times", async () => {
    const name = store.detached(["--restart", "on-failure:2"], "sh", "-c", "echo x; exit 4");
    await store.waitFor(name, "{{.State.Status}} {{.State.ExitCode}} {{.RestartCount}}", "exited 4 2");
    expect(store.ok("logs", name)).toBe("x\nx\nx");
    store.ok("rm", name);
  });

  podman("signals to its program; kill and stop of what has ended", async () => {
    const line =
      "trap 'echo usr1' USR1; trap 'echo hup; exit 0' HUP; echo ready; while :; do sleep 0.1; done";
    const name = store.detached([], "sh", "-c", line);
    await eventually("it is ready", () => store.ok("logs", name) === "ready");
    store.ok("kill", "--signal", "USR1", name);
    await eventually("it got USR1", () => store.ok("logs", name) === "ready\nusr1");
    store.ok("kill", "--signal", "HUP", name);
    expect(store.ok("wait", name)).toBe("0");
    expect(store.podman("kill", name).status).toBe(125);
    expect(store.podman("stop", name).status).toBe(0);
    store.ok("rm", name);
  });

  podman("create, init, start --attach, attach; logs as k8s-file", async () => {
    const name = store.name();
    const told = store.path("told");
    mkdirSync(told);
    writeFileSync(join(told, "go"), "");
    store.ok(
      "create",
      "--name",
      name,
      "--log-driver",
      "k8s-file",
      "-v",
      `${told}:/told`,
      IMAGE,
      "sh",
      "-c",
      "until [ -e /told/go ]; do sleep 0.1; done; rm /told/go; sleep 0.5; echo out; echo err >&2; exit 6",
    );
    store.ok("init", name);
    expect(store.inspect(name, "{{.State.Status}}")).toBe("initialized");
    expect(store.podman("start", "--attach", name)).toMatchObject({ status: 6, stdout: "out\n" });
    store.ok("start", name);
    const attached = store.later("podman", ["attach", name]);
    // nothing tells that it is attached
    await Bun.sleep(isV2 ? 5000 : 3000);
    writeFileSync(join(told, "go"), "");
    expect((await attached).stdout).toContain("out\n");
    expect(store.podman("logs", name).stdout).toBe("out\nout\n");
    store.remove(name);
  });

  podman("cp, diff, export, commit, mount", () => {
    const name = store.detached([], "sleep", "600");
    writeFileSync(store.path("copied"), "from outside\n");
    store.ok("cp", store.path("copied"), `${name}:/tmp/copied`);
    expect(store.ok("exec", name, "cat", "/tmp/copied")).toBe("from outside");
    store.ok("exec", name, "sh", "-c", "echo made > /made; rm /etc/group");
    store.ok("cp", `${name}:/made`, store.path("made"));
    expect(readFileSync(store.path("made"), "utf8")).toBe("made\n");
    expect(store.ok("diff", name).split("\n")).toEqual(expect.arrayContaining(["A /made", "D /etc/group"]));
    expect(readFileSync(`${store.ok("mount", name)}/made`, "utf8")).toBe("made\n");
    store.ok("export", "-o", store.path("export.tar"), name);
    expect(store.run("tar", ["-tf", store.path("export.tar")]).stdout).toContain("made\n");
    const image = `localhost/${store.name()}`;
    store.ok("commit", "-q", name, image);
    expect(store.ok("run", "--rm", image, "cat", "/made")).toBe("made");
    store.remove(name);
    store.ok("rmi", image);
  });

  podman("a time limit; container prune", () => {
    const name = store.name();
    // conmon kills it and tells no exit code
    expect(store.podman("run", "--name", name, "--timeout", "1", IMAGE, "sleep", "600").status).toBe(255);
    expect(store.ok("container", "prune", "--force")).toHaveLength(64);
  });

  podman("checkpoint and restore @v2", async () => {
    const name = store.detached([], "sleep", "600");
    const done = store.podman("container", "checkpoint", name);
    expect(done).toMatchObject({ status: 0 });
    expect(store.inspect(name, "{{.State.Checkpointed}}")).toBe("true");
    store.ok("container", "restore", name);
    expect(store.inspect(name, "{{.State.Status}}")).toBe("running");
    store.remove(name);
  }, [needsCriu()]);

  podman("nothing is left @v2", async () => {
    expect(await store.leftBehind()).toEqual([]);
  });
});
