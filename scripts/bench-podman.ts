// What a user of podman waits for; most of it is podman's own time. A part of scripts/bench.
import { IMAGE, Store } from "../test/clients/support";
import { call, type Sample } from "./bench-call";
import { measure, type Row } from "./bench-measure";
import type { Runtime } from "./bench-runtimes";

export async function measurePodman(runtimes: readonly Runtime[], runs: number): Promise<Row[]> {
  const lacking = ["podman", "conmon"].find((name) => Bun.which(name) === null);
  if (lacking !== undefined) {
    console.error(`skipped: podman: ${lacking} is not installed`);
    return [];
  }
  using store = new Store();
  const podman = ({ path }: Runtime, ...args: string[]): Sample =>
    call(["podman", "--runtime", path, ...args], store.env);
  const able = runtimes.filter((runtime) => {
    try {
      podman(runtime, "run", "-d", "--name", runtime.name, IMAGE, "sleep", "6000");
      return true;
    } catch (error) {
      console.error(`skipped: podman: ${runtime.name}: ${(error as Error).message}`);
      return false;
    }
  });
  // conmon, and the runtime below it, are nobody's children: only the time counts
  const timed = ({ wall }: Sample) => ({ wall });
  return await measure("podman", able, runs, (runtime) => ({
    "podman run": timed(podman(runtime, "run", "--rm", IMAGE, "true")),
    "podman exec": timed(podman(runtime, "exec", runtime.name, "true")),
  }));
}
