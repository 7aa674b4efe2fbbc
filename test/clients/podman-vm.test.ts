// Containers in machines under podman.
import { afterAll, beforeAll, expect } from "bun:test";
import { chmodSync, writeFileSync } from "node:fs";
import { environment, needsMachine, setUp, shared } from "../e2e/machines";
import { HAKO, type Needs, needsProgram, type Result } from "../e2e/support";
import { clientTest, eventually, IMAGE, Store } from "./support";

const needs: Needs[] = [needsMachine, needsProgram("podman"), needsProgram("conmon")];
let store: Store;

beforeAll(() => {
  if (needs.some((need) => need !== undefined)) return;
  store = new Store();
  setUp(shared.path("cache"));
  // podman hands few variables on
  const variables = Object.entries(environment(shared.path("cache"))).map(
    ([name, value]) => `${name}='${value}'`,
  );
  writeFileSync(store.path("hako-vm"), `#!/bin/sh\nexport ${variables.join(" ")}\nexec ${HAKO} "$@"\n`);
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
  "podman run: a kernel of its own, exit status, what is written to both outputs",
  () => {
    const result = podman("run", "--rm", IMAGE, "sh", "-c", "uname -r; echo wrong >&2; exit 42");
    expect(result).toMatchObject({ status: 42, stderr: "wrong\n" });
    expect(result.stdout).not.toBe(store.podman("run", "--rm", IMAGE, "uname", "-r").stdout);
    expect(podman("run", "--rm", IMAGE, "no-such-program").status).toBe(127);
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
