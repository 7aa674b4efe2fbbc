// Containers in machines under podman of an ordinary user.
import { afterAll, beforeAll, expect } from "bun:test";
import { chmodSync, chownSync, mkdirSync, writeFileSync } from "node:fs";
import { needsMachine, shared } from "../e2e/machines";
import type { Needs, Result } from "../e2e/support";
import { needsRootless, USER } from "./ordinary-user";
import { clientTest, eventually, IMAGE, RUNTIME, Store } from "./support";

const needs: Needs[] = [needsMachine, ...needsRootless];
let store: Store;

beforeAll(() => {
  if (needs.some((need) => need !== undefined)) return;
  store = new Store({ uid: USER });
  mkdirSync(store.path("cache"));
  chownSync(store.path("cache"), USER, USER);
  // the kernel is root's, and the guest the user's own; podman hands few variables on
  chmodSync(shared.dir, 0o755);
  const variables = `XDG_DATA_HOME=${shared.path("data")} XDG_CACHE_HOME=${store.path("cache")}`;
  writeFileSync(store.path("hako-vm"), `#!/bin/sh\nexport ${variables}\nexec ${store.path(RUNTIME)} "$@"\n`);
  chmodSync(store.path("hako-vm"), 0o755);
}, 240_000);
afterAll(() => store?.[Symbol.dispose](), 240_000);

function podman(command: string, ...words: string[]): Result {
  const flags =
    command === "run"
      ? ["--annotation", "org.hako.driver=vm", "--annotation", "org.hako.rootfs=private"]
      : [];
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
