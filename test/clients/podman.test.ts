// @cgroup-v2
// The runtime under podman: what every user of podman does with it.
import { afterAll, beforeAll, describe, expect } from "bun:test";
import { e2e, type Needs, needsProgram } from "../e2e/support";
import { IMAGE, Store } from "./support";

const needs: Needs[] = [needsProgram("podman"), needsProgram("conmon")];
let store: Store;

beforeAll(() => {
  if (needs.every((need) => need === undefined)) store = new Store();
}, 240_000);
afterAll(() => store?.[Symbol.dispose](), 240_000);

const podman = (name: string, body: () => void | Promise<void>, more: Needs[] = []): void =>
  e2e(name, body, [...needs, ...more]);

describe("podman", () => {
  podman("run, and the program's exit code", () => {
    expect(store.podman("run", "--rm", IMAGE, "echo", "hello")).toMatchObject({
      status: 0,
      stdout: "hello\n",
    });
    expect(store.podman("run", "--rm", IMAGE, "sh", "-c", "exit 42").status).toBe(42);
  });

  podman("a terminal, and its size", async () => {
    using session = store.terminal(
      "podman",
      [
        "run",
        "--rm",
        "-it",
        IMAGE,
        "sh",
        "-c",
        "stty size; trap 'stty size' WINCH; while :; do sleep 0.2; done",
      ],
      { rows: 33, cols: 77 },
    );
    await session.read(/33 77\r\n/);
    session.resize(101, 44);
    await session.read(/44 101\r\n/);
    session.type("\x03");
    expect(await session.exited()).toBe(130);
  });

  podman("nothing is left", async () => {
    expect(await store.leftBehind()).toEqual([]);
  });
});
