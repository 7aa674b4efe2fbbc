// @cgroup-v2
// The runtime under podman of an ordinary user, with subordinate ids.
import { afterAll, beforeAll, describe, expect } from "bun:test";
import { chownSync, existsSync, mkdirSync, statSync, writeFileSync } from "node:fs";
import { isV2, type Needs, needsProgram } from "../e2e/support";
import { needsRootless, USER } from "./ordinary-user";
import { clientTest, eventually, IMAGE, Store, TELLS_SIZES } from "./support";

const SUBORDINATE = 400_000;
let store: Store;

function needsTun(): Needs {
  if (!existsSync("/dev/net/tun")) return "no /dev/net/tun";
  return (statSync("/dev/net/tun").mode & 0o006) === 0o006 ? undefined : "/dev/net/tun is root's alone";
}

beforeAll(() => {
  if (needsRootless.some((need) => need !== undefined)) return;
  store = new Store({ uid: USER });
  mkdirSync(store.path("volume"));
  writeFileSync(store.path("volume/file"), "mine\n");
  mkdirSync(store.path("given"));
  for (const path of ["volume", "given"]) chownSync(store.path(path), USER, USER);
}, 240_000);
afterAll(() => store?.[Symbol.dispose](), 240_000);

const podman = (name: string, body: () => void | Promise<void>, more: Needs[] = []): void =>
  clientTest(name, body, [...needsRootless, ...more]);

describe("podman of an ordinary user", () => {
  podman("run, exit codes, ids, input @v2", () => {
    const result = store.podman("run", "--rm", IMAGE, "sh", "-c", "id -u; cat /proc/self/uid_map; exit 7");
    expect([result.status, result.stdout.replaceAll(/ +/g, " ")]).toEqual([
      7,
      `0\n 0 ${USER} 1\n 1 ${SUBORDINATE} 65536\n`,
    ]);
    expect(store.podman("run", "--rm", IMAGE, "nosuchprogram").status).toBe(127);
    expect(store.podman("run", "--rm", IMAGE, "/etc").status).toBe(126);
    const piped = store.run("podman", ["run", "--rm", "-i", IMAGE, "wc", "-l"], { input: "one\ntwo\n" });
    expect(piped).toMatchObject({ status: 0, stdout: "2\n" });
  });

  podman("a terminal: its size, a new size, an interrupt from the keyboard", async () => {
    using session = store.terminal("podman", ["run", "--rm", "-it", IMAGE, "sh", "-c", TELLS_SIZES], {
      rows: 31,
      cols: 71,
    });
    await session.read(/\/dev\/pts\/0\r\n(.*\r\n)*31 71\r\n/);
    session.resize(101, 44);
    await session.read(/44 101\r\n/);
    session.type("\x03");
    expect(await session.exited()).toBe(130);
  });

  podman("volumes: what root makes there is the user's", () => {
    expect(store.sh("cat /v/file; touch /v/made", "-v", `${store.path("volume")}:/v`)).toBe("mine");
    expect(statSync(store.path("volume/made")).uid).toBe(USER);
    store.sh("touch /v/other", "-v", `${store.path("given")}:/v:U`, "--user", "1000");
    expect(statSync(store.path("given/other")).uid).toBe(SUBORDINATE + 999);
    expect(
      store.podman("run", "--rm", "-v", `${store.path("volume")}:/v:ro`, IMAGE, "touch", "/v/x").status,
    ).toBe(1);
  });

  podman("in the background: exec, logs, top, stop, start, restart, kill, rm", async () => {
    const name = store.detached(
      [],
      "sh",
      "-c",
      "trap 'exit 5' TERM; echo ready; while :; do sleep 0.1; done",
    );
    await eventually("it is ready", () => store.ok("logs", name) === "ready");
    expect(store.podman("exec", "-u", "1000", name, "sh", "-c", "id -u; exit 3")).toMatchObject({
      status: 3,
      stdout: "1000\n",
    });
    using session = store.terminal("podman", ["exec", "-it", name, "tty"]);
    await session.read(/\/dev\/pts\/0\r\n/);
    expect(await session.exited()).toBe(0);
    expect(store.ok("top", name, "user", "huser", "pid")).toMatch(new RegExp(`root +${USER} +1`));
    store.ok("stop", name);
    expect(store.inspect(name, "{{.State.Status}} {{.State.ExitCode}}")).toBe("exited 5");
    store.ok("start", name);
    store.ok("restart", name);
    store.ok("kill", name);
    expect(store.ok("wait", name)).toBe("137");
    store.ok("rm", name);
  });

  podman("--userns: keep-id, nomap, a map of one's own", () => {
    const ids = (...flags: string[]): string => store.sh("id -u; id -g", ...flags).replaceAll("\n", " ");
    expect(ids("--userns", "keep-id")).toBe(`${USER} ${USER}`);
    expect(store.sh("touch /v/kept", "--userns", "keep-id", "-v", `${store.path("volume")}:/v`)).toBe("");
    expect(statSync(store.path("volume/kept")).uid).toBe(USER);
    expect(store.sh("cat /proc/self/uid_map", "--uidmap", "0:1:1000").replaceAll(/ +/g, " ")).toBe(
      " 0 1 1000",
    );
  });

  podman("a read-only root, tmpfs, capabilities, seccomp, devices by bind mounts", () => {
    const line =
      "touch /x; touch /tmp/x /t/x; grep -E 'CapEff|Seccomp:' /proc/self/status; ls -l /dev/null | cut -c1";
    const result = store.podman(
      "run",
      "--rm",
      "--read-only",
      "--tmpfs",
      "/t",
      "--cap-drop",
      "all",
      IMAGE,
      "sh",
      "-c",
      line,
    );
    expect(result.stdout).toBe("CapEff:\t0000000000000000\nSeccomp:\t2\nc\n");
    expect(result.stderr).toContain("Read-only file system");
    expect(store.sh("echo x > /dev/zero; stat -c %t:%T /dev/zero", "--device", "/dev/zero")).toBe("1:5");
    expect(
      store.sh("grep Seccomp: /proc/self/status; mount -t tmpfs x /tmp && echo mounted", "--privileged"),
    ).toBe("Seccomp:\t0\nmounted");
  });

  podman("the namespaces of another container and of the host", () => {
    const first = store.detached(["--hostname", "first"], "sleep", "600");
    const joined = ["pid", "ipc", "uts", "network"].flatMap((kind) => [`--${kind}`, `container:${first}`]);
    expect(store.sh("hostname; ps -o args | sed -n 2p", ...joined)).toBe("first\nsleep 600");
    store.remove(first);
    expect(
      store.podman("run", "--rm", "--network", "host", "--pid", "host", "--uts", "host", IMAGE, "true")
        .status,
    ).toBe(0);
  });

  podman("limits: on v1 podman leaves them out; on v2 the runtime says that they need delegation @v2", () => {
    const result = store.podman("run", "--rm", "--memory", "64m", IMAGE, "echo", "ran");
    if (!isV2) expect(result).toMatchObject({ status: 0, stdout: "ran\n" });
    else expect(result).toMatchObject({ status: 126, stderr: expect.stringMatching(/memory|no limits/) });
  });

  podman("a network of its own, through slirp4netns @v2", () => {
    expect(store.sh("ip -o addr show tap0 | grep -c inet", "--network", "slirp4netns")).not.toBe("0");
  }, [needsProgram("slirp4netns"), needsTun()]);

  podman("nothing is left @v2", async () => {
    expect(await store.leftBehind()).toEqual([]);
  });
});
