// Containers in machines under podman.
import { afterAll, beforeAll, expect } from "bun:test";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { needsMachine } from "../e2e/machines";
import { execute, type Needs, needsProgram, type Result } from "../e2e/support";
import { onTerminal } from "../e2e/terminal";
import { hakoInMachines } from "./in-machines";
import { clientTest, eventually, IMAGE, Store } from "./support";

/** Makes podman's networks. */
const needsNetworks: Needs = [
  "/usr/lib/cni/bridge",
  "/usr/libexec/cni/bridge",
  "/usr/lib/podman/netavark",
].some((path) => existsSync(path))
  ? undefined
  : "neither CNI's plugins nor netavark are installed";
const needs: Needs[] = [needsMachine, needsProgram("podman"), needsProgram("conmon")];
let store: Store;
let runtime = "";

beforeAll(() => {
  if (needs.some((need) => need !== undefined)) return;
  store = new Store();
  runtime = hakoInMachines(store.dir);
}, 240_000);
afterAll(() => store?.[Symbol.dispose](), 240_000);

function podman(command: string, ...words: string[]): Result {
  return store.podman("--runtime", runtime, command, ...words);
}

clientTest(
  "podman run: a kernel of its own, exit status, what is written to both outputs",
  () => {
    const result = podman("run", "--rm", IMAGE, "sh", "-c", "uname -r; echo wrong >&2; exit 42");
    expect(result).toMatchObject({ status: 42, stderr: "wrong\n" });
    expect(result.stdout).not.toBe(store.podman("run", "--rm", IMAGE, "uname", "-r").stdout);
    const ending = podman("run", "--rm", "--annotation", "org.hako.rootfs=private", IMAGE, "no-such-program");
    expect(ending.status).toBe(127);
  },
  needs,
);

clientTest(
  "podman stop: a program that handles TERM ends by itself; logs have what it said",
  async () => {
    const script = 'trap "echo bye; exit 5" TERM; echo ready; while :; do sleep 0.2; done';
    const id = podman("run", "--detach", IMAGE, "sh", "-c", script).stdout.trim();
    await eventually("it is ready", () => podman("logs", id).stdout === "ready\n");
    expect(podman("stop", id).status).toBe(0);
    expect(podman("logs", id).stdout).toBe("ready\nbye\n");
    expect(podman("inspect", id, "--format", "{{.State.ExitCode}} {{.State.Status}}").stdout).toBe(
      "5 exited\n",
    );
    expect(podman("rm", id).status).toBe(0);
  },
  needs,
);

clientTest(
  "podman cp, diff, commit and volumes: what a container writes is the host's, and what podman writes is the container's",
  async () => {
    const volume = store.path("volume");
    mkdirSync(volume);
    writeFileSync(store.path("given"), "given");
    const script = `echo made >/made; echo of-volume >/volume/made; echo of-named >/named/made; rm /bin/yes
      cat /run/secrets/word; ls -ld /tmp/in-memory; echo ready; while :; do sleep 0.2; done`;
    writeFileSync(store.path("word"), "secret ");
    expect(podman("secret", "create", "word", store.path("word")).status).toBe(0);
    const flags = ["-v", `${volume}:/volume`, "-v", "named:/named", "--secret", "word", "--tmpfs", "/tmp"];
    const id = podman("run", "--detach", ...flags, IMAGE, "sh", "-c", script).stdout.trim();
    await eventually("it is ready", () => podman("logs", id).stdout === "secret ready\n");
    expect(readFileSync(join(volume, "made"), "utf8")).toBe("of-volume\n");
    expect(podman("cp", store.path("given"), `${id}:/etc/given`)).toMatchObject({ status: 0, stderr: "" });
    expect(podman("exec", id, "cat", "/etc/given")).toMatchObject({ stdout: "given", stderr: "" });
    expect(podman("cp", `${id}:/made`, store.path("taken"))).toMatchObject({ status: 0, stderr: "" });
    expect(readFileSync(store.path("taken"), "utf8")).toBe("made\n");
    const changed = podman("diff", id).stdout.split("\n");
    for (const line of ["A /made", "A /etc/given", "D /bin/yes"]) expect(changed).toContain(line);
    const image = "localhost/hako-vm-committed";
    expect(podman("commit", id, image).status).toBe(0);
    expect(podman("rm", "--force", "--time", "0", id).status).toBe(0);
    const committed = store.podman("run", "--rm", "-v", "named:/named", image, "cat", "/made", "/named/made");
    expect(committed.stdout).toBe("made\nof-named\n");
  },
  needs,
);

clientTest("podman's bridge: addresses, the way out, name servers, a published port, and exec", async () => {
  const port = String(20_000 + (process.pid % 10_000));
  const script =
    "ip -o addr show dev eth0; ip route; cat /etc/resolv.conf; mkdir /tmp/www; echo served >/tmp/www/index.html; exec httpd -f -p 80 -h /tmp/www";
  const flags = [
    "--network",
    "bridge",
    "--publish",
    `127.0.0.1:${port}:80`,
    "--dns",
    "192.0.2.53",
    "--cap-add",
    "NET_RAW",
  ];
  const id = podman("run", "--detach", ...flags, IMAGE, "sh", "-c", script).stdout.trim();
  const got = () => execute("timeout", ["5", "busybox", "wget", "-qO-", `http://127.0.0.1:${port}/`]).stdout;
  await eventually("it answers", () => got() === "served\n");
  const address = podman("inspect", id, "--format", "{{.NetworkSettings.IPAddress}}").stdout.trim();
  const gateway = podman("inspect", id, "--format", "{{.NetworkSettings.Gateway}}").stdout.trim();
  const said = podman("logs", id).stdout;
  for (const words of [`inet ${address}/`, `default via ${gateway} dev eth0`, "nameserver 192.0.2.53"])
    expect(said).toContain(words);
  expect(podman("exec", id, "ping", "-c", "1", "-W", "10", gateway)).toMatchObject({
    status: 0,
    stdout: expect.stringContaining("1 packets received"),
  });
  expect(podman("rm", "--force", "--time", "0", id).status).toBe(0);
  expect(got()).toBe("");
}, [...needs, needsNetworks, needsProgram("iptables")]);

clientTest("podman pod: its containers are in one machine, which ends and comes again with the pod", async () => {
  const pod = store.name();
  const infra = ["--infra-image", IMAGE, "--infra-command", "sleep 1000"];
  const shares = ["--share", "pid,ipc,uts,net", "--network", "bridge", "--hostname", "of-the-pod"];
  expect(podman("pod", "create", "--name", pod, ...shares, ...infra)).toMatchObject({ status: 0 });
  const names = [1, 2].map((number) => {
    const name = store.name();
    const words = ["--detach", "--pod", pod, "--name", name, IMAGE, "sleep", `60${number}`];
    expect(podman("run", ...words)).toMatchObject({ status: 0, stderr: "" });
    return name;
  });
  const [first = "", second = ""] = names;
  const seen = podman("exec", first, "ps", "-o", "args").stdout;
  for (const word of ["sleep 1000", "sleep 601", "sleep 602"]) expect(seen).toContain(word);
  expect(podman("exec", second, "hostname").stdout).toBe("of-the-pod\n");
  // all have the pod's network
  for (const name of names)
    expect(podman("exec", name, "ip", "-o", "-4", "addr").stdout).toMatch(/ eth0 +inet [\d.]+\//);
  expect(podman("exec", first, "uname", "-r").stdout).not.toBe(
    store.podman("run", "--rm", IMAGE, "uname", "-r").stdout,
  );
  const state = (): string => podman("pod", "inspect", "--format", "{{.State}}", pod).stdout.trim();
  expect(podman("pause", first).status).toBe(0);
  expect(podman("exec", second, "echo", "there").stdout).toBe("there\n");
  expect(podman("unpause", first).status).toBe(0);
  expect(podman("stop", "-t", "0", first).status).toBe(0);
  expect(podman("exec", second, "echo", "there").stdout).toBe("there\n");
  for (const [command, expected] of [
    [["stop", "-t", "0"], "Exited"],
    [["start"], "Running"],
  ] as const) {
    // podman stops all at once, and the pod's sandbox container ends the others: they may have ended when they are killed
    const done = podman("pod", ...command, pod);
    const told = done.stderr.split("\n").filter((line) => !line.endsWith(": container not running: stopped"));
    expect({ ...done, stderr: told.join("\n") }).toMatchObject({ status: 0, stderr: "" });
    expect([command[0], state()]).toEqual([command[0], expected]);
  }
  expect(podman("exec", first, "ps", "-o", "args").stdout).toContain("sleep 602");
  expect(podman("pod", "rm", "--force", "-t", "0", pod).status).toBe(0);
}, [...needs, needsNetworks, needsProgram("iptables")]);

clientTest("podman exec, a terminal with its sizes, stats, top, pause, kill", async () => {
  const id = podman(
    "run",
    "--detach",
    "--memory",
    "64m",
    IMAGE,
    "sh",
    "-c",
    "while :; do sleep 0.2; done",
  ).stdout.trim();
  const exec = store.run("podman", ["--runtime", runtime, "exec", "-i", id, "sh", "-c", "cat; exit 7"], {
    input: "in\n",
  });
  expect(exec).toMatchObject({ status: 7, stdout: "in\n" });
  const script = `echo ready; until [ "$(stty size)" = "33 99" ]; do sleep 0.1; done; echo resized; read -r a; echo "got $a"; exit 3`;
  const typed = onTerminal(
    [{ line: "ready", size: [99, 33] }, { line: "resized", type: "word\n" }, { line: "got word" }],
    [
      ...["env", ...Object.entries(store.env).map(([name, value]) => `${name}=${value}`)],
      ...store.words("podman", ["--runtime", runtime, "exec", "-it", id, "sh", "-c", script]),
    ],
  );
  expect(typed).toMatchObject({ status: 3, shown: expect.stringContaining("got word") });
  // podman asks the container's own ps, as it can't see the processes
  expect(podman("top", id, "-o", "pid,args").stdout).toContain("sleep 0.2");
  expect(podman("stats", "--no-stream", "--format", "{{.ID}}", id).stdout.trim()).toBe(id.slice(0, 12));
  expect(podman("pause", id).status).toBe(0);
  expect(podman("unpause", id).status).toBe(0);
  expect(podman("kill", id).status).toBe(0);
  expect(podman("wait", id).stdout).toBe("137\n");
  expect(podman("rm", id).status).toBe(0);
}, [...needs, needsProgram("python3")]);
