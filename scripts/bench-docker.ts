// What a user of docker waits for: one dockerd with all runtimes. Most of the time is docker's own. A part of scripts/bench.
import { Docker } from "../test/clients/docker-daemon";
import type { Result } from "../test/e2e/support";
import { measure, type Row, type Values } from "./bench-measure";
import type { Runtime } from "./bench-runtimes";

/** The name of a runtime for docker, which keeps "runc" for itself. */
const nameOf = (runtime: Runtime): string => `bench-${runtime.name}`;

function timed(call: () => Result): Values {
  const start = performance.now();
  const result = call();
  const wall = performance.now() - start;
  if (result.status !== 0) throw new Error(result.stderr.trim() || `status ${result.status}`);
  return { wall };
}

export async function measureDocker(runtimes: readonly Runtime[], runs: number): Promise<Row[]> {
  const lacking = ["dockerd", "containerd"].find((name) => Bun.which(name) === null);
  if (lacking !== undefined) {
    console.error(`skipped: docker: ${lacking} is not installed`);
    return [];
  }
  const flags = runtimes.flatMap((runtime) => ["--add-runtime", `${nameOf(runtime)}=${runtime.path}`]);
  await using docker = await Docker.start({ flags });
  const able = runtimes.filter((runtime) => {
    const name = nameOf(runtime);
    const options = ["--detach", "--network", "none", "--runtime", name, "--name", name];
    const started = docker.docker("run", ...options, "box", "sleep", "6000");
    if (started.status !== 0) console.error(`skipped: docker: ${runtime.name}: ${started.stderr.trim()}`);
    return started.status === 0;
  });
  return await measure("docker", able, runs, (runtime) => ({
    "docker run": timed(() => docker.run("--runtime", nameOf(runtime), "box", "true")),
    "docker exec": timed(() => docker.docker("exec", nameOf(runtime), "true")),
  }));
}
