// Containers in machines under docker.
import { afterAll, beforeAll, expect } from "bun:test";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { needsMachine, shared } from "../e2e/machines";
import { e2e, type Needs, needsBusybox, needsProgram, TIME_LIMIT, until } from "../e2e/support";
import { onTerminal } from "../e2e/terminal";
import { Docker } from "./docker-daemon";
import { hakoInMachines } from "./in-machines";

const needs: Needs[] = [needsMachine, needsBusybox, needsProgram("dockerd"), needsProgram("containerd")];
const LONG = 6 * TIME_LIMIT;

let started: Docker | undefined;
const docker = (): Docker => {
  if (started === undefined) throw new Error("there is no dockerd");
  return started;
};

beforeAll(async () => {
  if (needs.some((need) => need !== undefined)) return;
  started = await Docker.start({ flags: ["--add-runtime", `hako-vm=${hakoInMachines(shared.dir)}`] });
}, 240_000);
afterAll(async () => {
  await started?.[Symbol.asyncDispose]();
}, 240_000);

/** The words of `docker run` in a machine. */
function flags(...more: string[]): string[] {
  return ["run", "--runtime", "hako-vm", "--network", "none", ...more];
}

e2e(
  "docker run: a kernel of its own, streams, status; a volume, a terminal",
  () => {
    const volume = docker().machine.path("volume");
    mkdirSync(volume);
    writeFileSync(`${volume}/in`, "from the host\n");
    const script = "uname -r; cat; cat /v/in; echo back > /v/out; echo wrong >&2; exit 42";
    const words = flags("--rm", "--interactive", "--volume", `${volume}:/v`, "box", "sh", "-c", script);
    const result = docker().dockerWith({ input: "in\n" }, ...words);
    expect(result).toMatchObject({ status: 42, stderr: "wrong\n" });
    const [kernel, ...rest] = result.stdout.trim().split("\n");
    expect(kernel).not.toBe(readFileSync("/proc/sys/kernel/osrelease", "utf8").trim());
    expect(rest).toEqual(["in", "from the host"]);
    expect(readFileSync(`${volume}/out`, "utf8")).toBe("back\n");
    expect(docker().docker(...flags("--rm", "box", "nosuch")).status).toBe(127);
    const sized =
      'echo ready; until size=$(stty size 2>/dev/null) && [ "$size" = "44 111" ]; do sleep 0.1; done; echo "$size"; read -r a; echo "got $a"; exit 4';
    const typed = onTerminal(
      [{ line: "ready", size: [111, 44] }, { line: "44 111", type: "word\n" }, { line: "got word" }],
      docker().words(...flags("--name", "terminal", "-it", "box", "sh", "-c", sized)),
    );
    expect(typed.status).toBe(4);
    expect(docker().ok("logs", "terminal")).toBe("ready\r\n44 111\r\nword\r\ngot word\r\n");
    docker().ok("rm", "terminal");
  },
  [...needs, needsProgram("python3")],
  LONG,
);

e2e(
  "docker exec, top, stats, logs, update, pause, kill, stop of one container",
  async () => {
    const trap = "trap 'echo bye; exit 5' TERM; echo up; while :; do sleep 0.1; done";
    const id = docker()
      .ok(...flags("--detach", "--memory", "64m", "box", "sh", "-c", trap))
      .trim();
    const exec = docker().dockerWith(
      { input: "one\n" },
      "exec",
      "--interactive",
      id,
      "sh",
      "-c",
      "cat; exit 7",
    );
    expect(exec).toMatchObject({ status: 7, stdout: "one\n" });
    // what stands for it on the host
    expect(docker().ok("top", id)).toContain("hako-stand-in");
    expect(docker().ok("logs", id)).toBe("up\n");
    // the machine's, on the host
    const used = docker().ok("stats", "--no-stream", "--format", "{{.MemUsage}} {{.PIDs}}", id);
    expect(used).toMatch(/^[1-9][\d.]*MiB \/ \S+ ([2-9]|\d\d)\n$/);
    docker().ok("pause", id);
    expect(docker().ok("inspect", "--format", "{{.State.Status}}", id)).toBe("paused\n");
    docker().ok("unpause", id);
    const typed = onTerminal(
      [{ line: "ready", size: [99, 33] }, { line: "33 99", type: "word\n" }, { line: "got word" }],
      docker().words(
        ...["exec", "-it", id, "sh", "-c"],
        'echo ready; until size=$(stty size 2>/dev/null) && [ "$size" = "33 99" ]; do sleep 0.1; done; echo "$size"; read -r a; echo "got $a"; exit 3',
      ),
    );
    expect(typed.status).toBe(3);
    const limit = "cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/hako/*/memory.max 2>/dev/null; true";
    docker().ok("update", "--memory", "48m", "--memory-swap", "48m", id);
    expect(docker().ok("exec", id, "sh", "-c", limit)).toBe(`${48 << 20}\n`);
    docker().ok("stop", "--time", "30", id);
    expect(docker().ok("logs", id)).toBe("up\nbye\n");
    expect(docker().ok("inspect", "--format", "{{.State.Status}} {{.State.ExitCode}}", id)).toBe(
      "exited 5\n",
    );
    docker().ok("rm", id);
    expect(
      docker()
        .machine.leftovers("/nowhere")
        .filter((line) => line.includes("qemu")),
    ).toEqual([]);
  },
  [...needs, needsProgram("python3")],
  LONG,
);

e2e(
  "docker's bridge, and a network of the user's: what a hook fills is the guest's, with its address, the way out, a published port",
  async () => {
    const script =
      "busybox ip -o addr show dev eth0; busybox ip route; mkdir /tmp/www; echo served >/tmp/www/index.html; exec busybox httpd -f -p 80 -h /tmp/www";
    const { machine } = docker();
    const port = "18080";
    docker().ok("network", "create", "apps");
    for (const network of ["bridge", "apps"]) {
      const words = ["--detach", "--network", network, "--publish", `127.0.0.1:${port}:80`];
      const id = docker()
        .ok("run", "--runtime", "hako-vm", ...words, "box", "sh", "-c", script)
        .trim();
      const said = (name: string) =>
        docker()
          .ok("inspect", "--format", `{{(index .NetworkSettings.Networks "${network}").${name}}}`, id)
          .trim();
      const [address, gateway] = [said("IPAddress"), said("Gateway")];
      const got = (at: string) =>
        machine.run("timeout", "5", "busybox", "wget", "-qO-", `http://${at}/`).stdout;
      await until("it answers", () => got(address) === "served\n", LONG);
      expect(got(`127.0.0.1:${port}`)).toBe("served\n");
      for (const line of [`inet ${address}/`, `default via ${gateway} dev eth0`])
        expect(docker().ok("logs", id)).toContain(line);
      docker().ok("rm", "--force", id);
      expect(got(address)).toBe("");
    }
    docker().ok("network", "rm", "apps");
  },
  needs,
  LONG,
);
