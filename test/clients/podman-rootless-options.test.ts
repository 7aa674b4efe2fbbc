// @cgroup-v2
// Further options and whole pods under podman of an ordinary user.
import { afterAll, beforeAll, describe, expect } from "bun:test";
import { chownSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { AT_ONCE, type Needs, needsProgram } from "../e2e/support";
import { needsRootless, USER } from "./ordinary-user";
import { clientTest, IMAGE, Store, TELLS_SIZES } from "./support";

let store: Store;
/** podman's own would be pulled. */
const INFRA = ["--infra-image", IMAGE, "--infra-command", "sleep 1000"];

beforeAll(() => {
  if (needsRootless.some((need) => need !== undefined)) return;
  store = new Store({ uid: USER });
}, 240_000);
afterAll(() => store?.[Symbol.dispose](), 240_000);

const podman = (name: string, body: () => void | Promise<void>, more: Needs[] = []): void =>
  clientTest(name, body, [...needsRootless, ...more]);

/** A file that the user can read. */
function fileOf(name: string, content: string): string {
  const path = store.path(name);
  writeFileSync(path, content);
  chownSync(path, USER, USER);
  return path;
}

describe("an ordinary user's program", () => {
  podman("user, groups, umask, no new privileges, sysctls, rlimits", () => {
    const flags = ["--user", "user", "--group-add", "7", "--umask", "0027"];
    const settings = ["--security-opt", "no-new-privileges", "--sysctl", "net.ipv4.ip_forward=1"];
    const limits = ["--ulimit", "core=0:0", "--ulimit", "nofile=100:200"];
    const line = `id -u; id -G; umask; grep NoNewPrivs /proc/self/status; cat /proc/sys/net/ipv4/ip_forward;
      ulimit -c; ulimit -n; ulimit -Hn`;
    expect(store.sh(line, ...flags, ...settings, ...limits).split("\n")).toEqual([
      "1000",
      "1000 7 2000",
      "0027",
      "NoNewPrivs:\t1",
      "1",
      "0",
      "100",
      "200",
    ]);
  });

  podman("a seccomp profile of one's own, and none", () => {
    const profile = fileOf(
      "profile.json",
      JSON.stringify({
        defaultAction: "SCMP_ACT_ALLOW",
        syscalls: [{ names: ["mkdir", "mkdirat"], action: "SCMP_ACT_ERRNO", errnoRet: 13 }],
      }),
    );
    const line = "grep Seccomp: /proc/self/status; mkdir /tmp/x 2>&1; true";
    expect(store.sh(line, "--security-opt", `seccomp=${profile}`)).toBe(
      "Seccomp:\t2\nmkdir: can't create directory '/tmp/x': Permission denied",
    );
    expect(store.sh(line, "--security-opt", "seccomp=unconfined")).toBe("Seccomp:\t0");
  });

  podman("capabilities: added, and those of --privileged", () => {
    const line = "grep CapEff /proc/self/status";
    expect(store.sh(line, "--cap-drop", "all", "--cap-add", "chown")).toBe("CapEff:\t0000000000000001");
    // all that there are: they are the user namespace's, whatever the machine has
    const last = BigInt(readFileSync("/proc/sys/kernel/cap_last_cap", "utf8"));
    const all = ((2n << last) - 1n).toString(16).padStart(16, "0");
    expect(store.sh(line, "--privileged")).toBe(`CapEff:\t${all}`);
  });

  podman("volumes: propagation; tmpfs with a size; every type of --mount", () => {
    mkdirSync(store.path("volume"));
    chownSync(store.path("volume"), USER, USER);
    const propagation = (option: string): string =>
      store.sh(
        "grep ' /v ' /proc/self/mountinfo | cut -d' ' -f 7",
        "-v",
        `${store.path("volume")}:/v:${option}`,
      );
    expect(propagation("rslave")).toMatch(/^(master|-)/);
    expect(propagation("rshared")).toMatch(/^shared/);
    const mounts = ["--tmpfs", "/t:size=1m,mode=750", "--mount", "type=tmpfs,dst=/u,tmpfs-size=2m"];
    expect(store.sh("df -k /t /u | sed 1d | awk '{print $2}'; stat -c %a /t", ...mounts)).toBe(
      "1024\n2048\n750",
    );
    const name = store.name();
    store.sh("echo kept > /n/file", "-v", `${name}:/n`);
    expect(store.sh("cat /n/file", "-v", `${name}:/n:ro`)).toBe("kept");
    store.ok("volume", "rm", name);
  });

  podman("a volume from a read-only mount of the host, which podman asks for with rw", () => {
    const volume = ["-v", `${store.path("readonly")}:/m`];
    const line = "cat /m/file; touch /m/x 2>&1; grep -o ' /m .*relatime' /proc/mounts | cut -d' ' -f4";
    const flags = "ro,nosuid,nodev,relatime";
    const said = "root's\ntouch: /m/x: Read-only file system";
    expect(store.sh(line, ...volume)).toBe(`${said}\n${flags}`);
    for (const option of ["rw", "exec,suid,dev", "rw,Z"]) {
      const [, last] = store.sh(line, "-v", `${volume[1]}:${option}`).split(/\n(?=\S*$)/);
      expect({ option, last }).toEqual({ option, last: flags });
    }
    const mapped = store.sh(line, ...volume, "--userns=keep-id", "--user", "0");
    expect(mapped).toBe(`${said}\n${flags}`);
  });

  podman("--init forwards signals", () => {
    const name = store.detached(["--init"], "sleep", "600");
    expect(store.ok("top", name, "pid", "args")).toMatch(/\n1 +\/run\/podman-init -- sleep 600/);
    store.ok("stop", "-t", "5", name);
    expect(store.inspect(name, "{{.State.ExitCode}}")).toBe("143");
    store.ok("rm", name);
  }, [needsProgram("catatonit")]);
});

describe("an ordinary user's container over its life", () => {
  podman("a restart policy; a health check", async () => {
    const name = store.detached(["--restart", "on-failure:2"], "sh", "-c", "echo x; exit 4");
    await store.waitFor(name, "{{.State.Status}} {{.State.ExitCode}} {{.RestartCount}}", "exited 4 2");
    store.ok("rm", name);
    const checked = store.detached(
      ["--health-cmd", "test ! -e /tmp/ill", "--health-interval", "disable", "--health-retries", "1"],
      "sleep",
      "600",
    );
    expect(store.podman("healthcheck", "run", checked).status).toBe(0);
    store.ok("exec", checked, "touch", "/tmp/ill");
    expect(store.podman("healthcheck", "run", checked).status).toBe(1);
    store.remove(checked);
  });

  podman("killed from outside: podman sees it, and can start it again", async () => {
    const name = store.detached([], "sleep", "600");
    process.kill(Number(store.inspect(name, "{{.State.Pid}}")), "SIGKILL");
    await store.waitFor(name, "{{.State.Status}} {{.State.ExitCode}}", "exited 137");
    store.ok("start", name);
    expect(store.inspect(name, "{{.State.Status}}")).toBe("running");
    store.remove(name);
  });

  podman("exec on a terminal, and its size; its input; detached", async () => {
    const name = store.detached([], "sleep", "600");
    {
      using session = store.terminal("podman", ["exec", "-it", name, "sh", "-c", TELLS_SIZES]);
      await session.read(/\/dev\/pts\/0\r\n/);
      session.resize(99, 55);
      await session.read(/55 99\r\n/);
      session.type("\x03");
      expect(await session.exited()).toBe(130);
    }
    expect(store.run("podman", ["exec", "-i", name, "cat"], { input: "typed" }).stdout).toBe("typed");
    expect(store.ok("exec", "-w", "/tmp", "-e", "A=b", name, "sh", "-c", "pwd; echo $A")).toBe("/tmp\nb");
    expect(store.podman("exec", name, "nosuchprogram").status).toBe(127);
    expect(store.podman("exec", name, "/etc").status).toBe(126);
    store.ok("exec", "-d", name, "sleep", "601");
    expect(store.ok("exec", name, "ps", "-o", "args")).toContain("sleep 601");
    store.remove(name);
  });
});

describe("an ordinary user's containers together", () => {
  podman("a pod: shared namespaces, stop, start, kill", () => {
    const pod = store.name();
    store.ok("pod", "create", "--name", pod, "--share", "pid,ipc,uts,net", ...INFRA);
    const name = store.detached(["--pod", pod], "sleep", "602");
    expect(store.ok("exec", name, "ps", "-o", "args")).toMatch(/sleep 1000\n[\s\S]*sleep 602/);
    const state = (): string => store.ok("pod", "inspect", "--format", "{{.State}}", pod);
    for (const [command, expected] of [
      [["stop", "-t", "0"], "Exited"],
      [["start"], "Running"],
      [["kill"], "Exited"],
    ] as const) {
      store.ok("pod", ...command, pod);
      expect([command[0], state()]).toEqual([command[0], expected]);
    }
    store.remove(pod, "pod");
  });

  podman("play kube: user, capabilities, read-only root; down again", () => {
    const pod = store.name();
    const container = {
      name: "one",
      image: IMAGE,
      imagePullPolicy: "Never",
      command: ["sh", "-c", "id -u; touch /x 2>&1; grep -E 'CapEff|NoNew' /proc/self/status; exec sleep 600"],
      securityContext: {
        runAsUser: 1000,
        readOnlyRootFilesystem: true,
        allowPrivilegeEscalation: false,
        capabilities: { drop: ["ALL"] },
      },
    };
    const kube = {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: pod },
      spec: { containers: [container] },
    };
    const file = fileOf("kube.yaml", JSON.stringify(kube));
    store.ok("play", "kube", "--network", "none", file);
    expect(store.ok("logs", `${pod}-one`).split("\n")).toEqual([
      "1000",
      "touch: /x: Read-only file system",
      "CapEff:\t0000000000000000",
      "NoNewPrivs:\t1",
    ]);
    store.ok("play", "kube", "--down", file);
    expect(store.ok("ps", "-a", "--format", "{{.Names}}")).not.toContain(pod);
  }, [needsProgram("catatonit")]);

  podman(`${AT_ONCE} at once`, async () => {
    const names = Array.from({ length: AT_ONCE }, () => store.name());
    const results = await Promise.all(
      names.map((name) => store.later("podman", ["run", "--rm", "--name", name, IMAGE, "echo", name])),
    );
    expect(results.map(({ stdout }) => stdout.trim())).toEqual(names);
    expect(results.map(({ status }) => status)).toEqual(names.map(() => 0));
  });

  podman("nothing is left", async () => {
    expect(await store.leftBehind()).toEqual([]);
  });
});
