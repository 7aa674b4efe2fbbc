// What a user of docker waits for: one dockerd with all runtimes. Most of the time is docker's own. A part of scripts/bench.
import { Docker } from "../test/clients/docker-daemon";
import type { Result } from "../test/e2e/support";
import type { Measure, Row, Runtime, Sample } from "./bench";

/** The name of a runtime for docker, which keeps "runc" for itself. */
const nameOf = (runtime: Runtime): string => `bench-${runtime.name}`;

function timed(call: () => Result): Sample {
  const start = performance.now();
  const result = call();
  const milliseconds = performance.now() - start;
  if (result.status !== 0) throw new Error(result.stderr.trim() || `status ${result.status}`);
  // its memory is the client's
  return { milliseconds, megabytes: Number.NaN };
}

export async function measureDocker(runtimes: Runtime[], measure: Measure, runs: number): Promise<Row[]> {
  const lacking = ["dockerd", "containerd"].find((name) => Bun.which(name) === null);
  if (lacking !== undefined) {
    console.error(`skipped: docker: ${lacking} is not installed`);
    return [];
  }
  const flags = runtimes.flatMap((runtime) => ["--add-runtime", `${nameOf(runtime)}=${runtime.path}`]);
  await using docker = await Docker.start({ flags });
  const run = (runtime: Runtime) => timed(() => docker.run("--runtime", nameOf(runtime), "box", "true"));
  const exec = (runtime: Runtime) => timed(() => docker.docker("exec", nameOf(runtime), "true"));
  const able = runtimes.filter((runtime) => {
    const name = nameOf(runtime);
    const options = ["--detach", "--network", "none", "--runtime", name, "--name", name];
    const started = docker.docker("run", ...options, "box", "sleep", "6000");
    if (started.status !== 0) console.error(`skipped: docker: ${runtime.name}: ${started.stderr.trim()}`);
    return started.status === 0;
  });
  return [...measure("docker run true", able, run, runs), ...measure("docker exec true", able, exec, runs)];
}
