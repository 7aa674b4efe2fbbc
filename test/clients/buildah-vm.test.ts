// Steps of a build in machines, under buildah.
import { afterAll, beforeAll, expect } from "bun:test";
import { readFileSync } from "node:fs";
import { needsMachine } from "../e2e/machines";
import { type Needs, needsProgram } from "../e2e/support";
import { hakoInMachines } from "./in-machines";
import { clientTest, IMAGE, Store } from "./support";

const needs: Needs[] = [needsMachine, needsProgram("buildah"), needsProgram("podman")];
let store: Store;
let isolation: string[] = [];

beforeAll(() => {
  if (needs.some((need) => need !== undefined)) return;
  store = new Store();
  isolation = ["--isolation", "oci", "--runtime", hakoInMachines(store.dir), "--network", "none"];
}, 240_000);
afterAll(() => store?.[Symbol.dispose](), 240_000);

function ok(...args: string[]): string {
  const result = store.run("buildah", args);
  if (result.status !== 0) throw new Error(`buildah ${args.join(" ")}: ${result.stdout}${result.stderr}`);
  return result.stdout.trim();
}

clientTest(
  "buildah run: its kernel, its status; what it wrote is in the image",
  () => {
    const container = ok("from", IMAGE);
    const kernel = ok("run", ...isolation, container, "sh", "-c", "echo made > /made; uname -r");
    expect(kernel).toMatch(/^\d+\./);
    expect(kernel).not.toBe(readFileSync("/proc/sys/kernel/osrelease", "utf8").trim());
    expect(store.run("buildah", ["run", ...isolation, container, "sh", "-c", "exit 9"]).status).toBe(9);
    ok("config", "--cmd", "cat /made", container);
    ok("commit", "-q", container, "localhost/hako-clients-vm");
    ok("rm", container);
    expect(store.ok("run", "--rm", "localhost/hako-clients-vm")).toBe("made");
  },
  needs,
);
