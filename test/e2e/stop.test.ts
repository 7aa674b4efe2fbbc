// @cgroup-v2
// hako stop, with the meaning of docker stop.
import { describe, expect } from "bun:test";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { crio, startInPod, startPod } from "./pod";
import { Box, type BundleConfig, e2e, needsHako, SLEEP, until } from "./support";

const STOP_SIGNAL = "org.opencontainers.image.stopSignal";

/** Writes which signal it got, and ends. */
function hearing(signal: string): string[] {
  const line = `trap 'echo ${signal} > /out/heard; exit' ${signal}; : > /out/ready; while :; do sleep 0.05; done`;
  return ["sh", "-c", line];
}

/** A container with /out, and the signal that it has heard. */
async function started(box: Box, args: string[], mutate: (config: BundleConfig) => void = () => {}) {
  const out = box.path(box.id());
  mkdirSync(out);
  const id = box.started(args, (config) => {
    config.mounts.push({ destination: "/out", type: "bind", source: out, options: ["bind"] });
    mutate(config);
  });
  await until("it listens", () => args === SLEEP || existsSync(`${out}/ready`));
  return {
    id,
    heard: () => (existsSync(`${out}/heard`) ? readFileSync(`${out}/heard`, "utf8").trim() : undefined),
  };
}

function seconds(action: () => void): number {
  const began = performance.now();
  action();
  return (performance.now() - began) / 1000;
}

describe("stop", () => {
  e2e("asks by TERM, waits, and leaves the container, stopped @v2", async () => {
    using box = new Box();
    const { id, heard } = await started(box, hearing("TERM"));
    expect(box.ok("stop", id)).toMatchObject({ stdout: `${id}\n`, stderr: "" });
    expect([heard(), box.state(id).status]).toEqual(["TERM", "stopped"]);
    expect(box.ok("stop", id).stdout).toBe(`${id}\n`);
    box.ok("delete", id);
  }, [needsHako]);

  e2e("kills what has not ended in time @v2", () => {
    using box = new Box();
    const [one, two] = [box.started(), box.started()];
    const took = seconds(() => expect(box.ok("stop", "--time", "1", one).stdout).toBe(`${one}\n`));
    expect(took).toBeGreaterThan(1);
    expect(box.state(one).status).toBe("stopped");
    expect(seconds(() => box.ok("stop", "-t", "0", two))).toBeLessThan(5);
    expect(box.state(two).status).toBe("stopped");
  }, [needsHako]);

  e2e("the signal is the image's, or the flag's", async () => {
    using box = new Box();
    const wants = (signal: string) => (config: BundleConfig) => {
      config.annotations = { [STOP_SIGNAL]: signal };
    };
    const image = await started(box, hearing("QUIT"), wants("SIGQUIT"));
    box.ok("stop", image.id);
    expect(image.heard()).toBe("QUIT");
    const flag = await started(box, hearing("USR1"), wants("no signal"));
    const refused = box.hako("stop", flag.id);
    expect(refused.stderr).toContain(
      `container "${flag.id}": annotation ${STOP_SIGNAL}: unknown signal "no signal"`,
    );
    expect([refused.stdout, box.state(flag.id).status]).toEqual(["", "running"]);
    box.ok("stop", "-s", "USR1", flag.id);
    expect(flag.heard()).toBe("USR1");
  }, [needsHako]);

  e2e("a paused container hears it; one that was not started is killed at once @v2", async () => {
    using box = new Box();
    const paused = await started(box, hearing("TERM"));
    box.ok("pause", paused.id);
    box.ok("stop", paused.id);
    expect([paused.heard(), box.state(paused.id).status]).toEqual(["TERM", "stopped"]);
    for (const pause of [false, true]) {
      const created = box.id();
      box.ok("create", "--bundle", box.bundle(SLEEP), created);
      if (pause) box.ok("pause", created);
      expect(seconds(() => box.ok("stop", created))).toBeLessThan(8);
      expect(box.state(created).status).toBe("stopped");
    }
  }, [needsHako]);

  e2e("no process is left without a pid namespace either @v2", async () => {
    using box = new Box();
    const line = "sleep 600 & trap 'exit' TERM; : > /out/ready; while :; do sleep 0.05; done";
    const { id } = await started(box, ["sh", "-c", line], ({ linux }) => {
      linux.namespaces = linux.namespaces.filter(({ type }) => type !== "pid");
    });
    const pids: number[] = JSON.parse(box.ok("ps", "--format", "json", id).stdout);
    expect(pids.length).toBeGreaterThan(1);
    box.ok("stop", id);
    await until("all are gone", () => pids.every((pid) => !existsSync(`/proc/${pid}/root/bin`)));
  }, [needsHako]);

  e2e("with a sandbox container all of its pod, the others first and together", async () => {
    using box = new Box();
    const pod = startPod(box, crio);
    const out = box.path("out");
    mkdirSync(out);
    // in its pid namespace: its end is theirs
    const ids = ["one", "two"].map((name) =>
      startInPod(box, crio, pod, ["pid"], (config) => {
        config.process.args = [
          "sh",
          "-c",
          `trap 'sleep 1; : > /out/${name}; exit' TERM; : > /out/${name}-ready; while :; do sleep 0.05; done`,
        ];
        config.mounts.push({ destination: "/out", type: "bind", source: out, options: ["bind"] });
      }),
    );
    await until("they listen", () => ["one", "two"].every((name) => existsSync(`${out}/${name}-ready`)));
    expect(box.ok("stop", "--time", "3", pod.sandbox).stdout).toBe(`${pod.sandbox}\n`);
    for (const name of ["one", "two"]) expect([name, existsSync(`${out}/${name}`)]).toEqual([name, true]);
    for (const id of [pod.sandbox, ...ids]) expect(box.state(id).status).toBe("stopped");
  }, [needsHako]);

  e2e("of several each gets its turn; what is wrong is told", async () => {
    using box = new Box();
    const { id } = await started(box, hearing("TERM"));
    const some = box.hako("stop", "nobody", id);
    expect([some.status, some.stdout]).toEqual([1, `${id}\n`]);
    expect(some.stderr).toContain('container "nobody" does not exist');
    for (const time of ["-2", "1s", "abc"]) expect(box.hako("stop", "--time", time, id).status).toBe(2);
    expect(box.hako("stop", "--signal", "nothing", id).status).toBe(2);
  }, [needsHako]);

  e2e("ends a run in the foreground, which deletes its container", async () => {
    using box = new Box();
    const id = box.id();
    const run = box.later(["run", "--bundle", box.bundle(SLEEP), id]);
    await until("it runs", () => box.hako("state", id).stdout.includes('"running"'));
    expect(box.ok("stop", "--time", "0", id).stdout).toBe(`${id}\n`);
    expect((await run).status).toBe(137);
    expect(box.hako("state", id).status).toBe(1);
  }, [needsHako]);

  e2e("is in no list of commands, and has its help", () => {
    using box = new Box();
    expect(box.ok("stop", "--help").stdout).toContain("usage: hako stop [FLAGS] CONTAINER [CONTAINER...]");
    expect(box.ok("--help").stdout).not.toMatch(/^ {2}stop /m);
  }, [needsHako]);
});
