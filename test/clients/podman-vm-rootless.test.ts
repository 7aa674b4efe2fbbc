// Containers in machines under podman of an ordinary user.
import { afterAll, beforeAll, expect } from "bun:test";
import { chmodSync, chownSync, mkdirSync, statSync, writeFileSync } from "node:fs";
import { needsMachine, shared } from "../e2e/machines";
import { execute, type Needs, needsProgram, type Result } from "../e2e/support";
import { needsRootless, USER } from "./ordinary-user";
import { clientTest, eventually, IMAGE, RUNTIME, Store } from "./support";

const needs: Needs[] = [needsMachine, ...needsRootless];
/** Ordinary users make taps in network namespaces of their own. */
const needsTun: Needs =
  (statSync("/dev/net/tun", { throwIfNoEntry: false })?.mode ?? 0) & 0o002
    ? undefined
    : "/dev/net/tun is not for everybody";
let store: Store;

beforeAll(() => {
  if (needs.some((need) => need !== undefined)) return;
  store = new Store({ uid: USER });
  mkdirSync(store.path("cache"));
  chownSync(store.path("cache"), USER, USER);
  // the kernel is root's, and the guest the user's own; podman hands few variables on
  chmodSync(shared.dir, 0o755);
  const variables = `XDG_DATA_HOME=${shared.path("data")} XDG_CACHE_HOME=${store.path("cache")}`;
  writeFileSync(
    store.path("hako-vm"),
    `#!/bin/bash\nexport ${variables}\nexec -a hako-vm ${store.path(RUNTIME)} "$@"\n`,
  );
  chmodSync(store.path("hako-vm"), 0o755);
}, 240_000);
afterAll(() => store?.[Symbol.dispose](), 240_000);

function podman(command: string, ...words: string[]): Result {
  const flags = command === "run" ? ["--annotation", "org.hako.rootfs=private"] : [];
  return store.podman("--runtime", store.path("hako-vm"), command, ...flags, ...words);
}

clientTest(
  "rootless podman: a kernel of its own, ids, exec, stop with a handler of TERM, logs",
  async () => {
    const script = 'uname -r; id -u; trap "echo bye; exit 5" TERM; echo ready; while :; do sleep 0.2; done';
    const { stdout, stderr, status } = podman("run", "--detach", IMAGE, "sh", "-c", script);
    expect([status, stderr]).toEqual([0, ""]);
    const id = stdout.trim();
    await eventually("it is ready", () => podman("logs", id).stdout.endsWith("ready\n"));
    const [kernel, user] = podman("logs", id).stdout.split("\n");
    expect(kernel).not.toBe(store.podman("run", "--rm", IMAGE, "uname", "-r").stdout.trim());
    expect(user).toBe("0");
    expect(podman("exec", "--user", "1000", id, "sh", "-c", "id -u; exit 3")).toMatchObject({
      ...{ status: 3, stdout: "1000\n" },
    });
    expect(podman("stop", id).status).toBe(0);
    expect(podman("logs", id).stdout).toEndWith("ready\nbye\n");
    expect(podman("inspect", id, "--format", "{{.State.ExitCode}} {{.State.Status}}").stdout).toBe(
      "5 exited\n",
    );
    expect(podman("rm", id).status).toBe(0);
  },
  needs,
);

clientTest("rootless podman behind slirp4netns: the way out to the host, name servers, a published port", async () => {
  const port = String(20_000 + (process.pid % 10_000));
  const script =
    "ip -o addr show dev tap0; ip route; cat /etc/resolv.conf; mkdir /tmp/www; echo served >/tmp/www/index.html; exec httpd -f -p 8080 -h /tmp/www";
  const flags = [
    "--network",
    "slirp4netns:port_handler=slirp4netns",
    "--publish",
    `127.0.0.1:${port}:8080`,
    "--cap-add",
    "NET_RAW",
  ];
  const { stdout, stderr, status } = podman("run", "--detach", ...flags, IMAGE, "sh", "-c", script);
  expect([status, stderr]).toEqual([0, ""]);
  const id = stdout.trim();
  const got = () => execute("timeout", ["5", "busybox", "wget", "-qO-", `http://127.0.0.1:${port}/`]).stdout;
  await eventually("it answers", () => got() === "served\n");
  const said = podman("logs", id).stdout;
  for (const words of ["inet 10.0.2.100/24", "default via 10.0.2.2 dev tap0", "nameserver 10.0.2.3"])
    expect(said).toContain(words);
  expect(podman("exec", id, "ping", "-c", "1", "-W", "10", "10.0.2.2").stdout).toContain(
    "1 packets received",
  );
  expect(podman("rm", "--force", "--time", "0", id)).toMatchObject({ status: 0, stderr: "" });
  expect(got()).toBe("");
}, [...needs, needsProgram("slirp4netns"), needsTun]);

clientTest("rootless podman pod: its containers are in one machine, with the pod's network and its published port", async () => {
  const pod = store.name();
  const port = String(30_000 + (process.pid % 10_000));
  const infra = ["--infra-image", IMAGE, "--infra-command", "sleep 1000"];
  // rootlessport connects to the port from inside of the namespace
  const network = ["--network", "slirp4netns", "--publish", `127.0.0.1:${port}:8080`];
  const made = podman("pod", "create", "--name", pod, "--hostname", "of-the-pod", ...network, ...infra);
  expect(made).toMatchObject({ status: 0 });
  const names = [0, 1].map((number) => {
    const name = store.name();
    const script = `mkdir /tmp/www; echo served >/tmp/www/index.html; exec httpd -f -p 808${number} -h /tmp/www`;
    const words = ["--detach", "--pod", pod, "--name", name, IMAGE, "sh", "-c", script];
    expect(podman("run", ...words)).toMatchObject({ status: 0, stderr: "" });
    return name;
  });
  const got = () => execute("timeout", ["5", "busybox", "wget", "-qO-", `http://127.0.0.1:${port}/`]).stdout;
  await eventually("it answers", () => got() === "served\n");
  const script = "uname -r; hostname; ip -o -4 addr show dev tap0; readlink /proc/self/ns/net";
  const shown = names.map((name) => podman("exec", name, "sh", "-c", script));
  expect(shown[0]).toEqual(shown[1] as Result);
  expect(shown[0]?.stdout).toMatch(/\nof-the-pod\n.* tap0 +inet 10\.0\.2\.100\/24 /);
  expect(shown[0]?.stdout).not.toStartWith(store.podman("run", "--rm", IMAGE, "uname", "-r").stdout);
  expect(podman("pod", "rm", "--force", "-t", "0", pod)).toMatchObject({ status: 0 });
}, [...needs, needsProgram("slirp4netns"), needsTun]);
