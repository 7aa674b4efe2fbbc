// Containers of every kind of life, several at a time; some of hako's commands are killed on their way. Called by
// scripts/soak. The same seed chooses the same lives and the same moments; what else the machine does is another matter.
import { join } from "node:path";
import { parseArgs } from "node:util";
import { expectNothingLeft } from "../test/e2e/left";
import { Box, busyboxRootfs, type Result } from "../test/e2e/support";

const { values } = parseArgs({
  options: {
    containers: { type: "string", default: "1000" },
    workers: { type: "string", default: "4" },
    kills: { type: "string", default: "10" },
    seed: { type: "string", default: "1" },
    minutes: { type: "string", default: "600" },
  },
});
const CONTAINERS = Number(values.containers);
const WORKERS = Number(values.workers);
const KILLS = Number(values.kills) / 100;
const SEED = Number(values.seed);
/** After that no more are begun. */
const DEADLINE = Date.now() + Number(values.minutes) * 60_000;
/** A command that takes longer hangs. */
const HANGS = 180_000;
const STOPS_MS = 60_000;
const PROGRESS_MS = 30_000;

/** Mulberry32: numbers from 0 up to 1. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

class Failure extends Error {}

function told({ status, stderr, stdout }: Result): string {
  return `status ${status}: ${stderr.trim() || `no error; ${JSON.stringify(stdout.slice(0, 500))} on standard output`}`;
}

/** The command was killed, as was the plan: the container's life ends here. */
class Killed extends Error {}

interface Times {
  runs: number;
  killed: number;
  milliseconds: number[];
}

const times = new Map<string, Times>();

function timesOf(command: string): Times {
  const found = times.get(command) ?? { runs: 0, killed: 0, milliseconds: [] };
  times.set(command, found);
  return found;
}

function quantile(numbers: readonly number[], part: number): number {
  return numbers.toSorted((a, b) => a - b)[Math.floor(part * (numbers.length - 1))] ?? 0;
}

using box = new Box();
const rootfs = join(box.dir, "rootfs");
busyboxRootfs(rootfs);

/** Bundles by their program; `shared`: in the host's pid namespace. */
const bundles = new Map<string, string>();
function bundleOf(args: string[], shared: boolean): string {
  const key = `${shared} ${args.join(" ")}`;
  const found =
    bundles.get(key) ??
    box.bundle(args, (config) => {
      config.root.path = rootfs;
      // the cgroup then has the container's name
      delete config.linux.cgroupsPath;
      if (shared) config.linux.namespaces = config.linux.namespaces.filter(({ type }) => type !== "pid");
    });
  bundles.set(key, found);
  return found;
}

/** One container's life: its commands, of which some are killed. */
class Life {
  readonly id = box.id();
  readonly shared: boolean;

  constructor(readonly chance: () => number) {
    this.shared = chance() < 0.2;
  }

  bundle(...args: string[]): string {
    return bundleOf(args, this.shared);
  }

  async #call(words: string[], mayBeKilled: boolean): Promise<Result> {
    const [command = ""] = words;
    const known = timesOf(command);
    const [dice, moment] = [this.chance(), this.chance()];
    const killed = mayBeKilled && dice < KILLS && known.milliseconds.length > 3;
    const usual = quantile(known.milliseconds.slice(-50), 0.5);
    const started = performance.now();
    const result = await box.later(words, killed ? moment * usual * 1.2 : HANGS);
    known.runs++;
    if (result.signal === null) known.milliseconds.push(performance.now() - started);
    else if (killed) known.killed++;
    else throw new Failure(`${words.join(" ")}: ${result.signal} after ${performance.now() - started} ms`);
    if (result.signal !== null) throw new Killed();
    return result;
  }

  /** A command that may fail. */
  any(words: string[]): Promise<Result> {
    return this.#call(words, true);
  }

  /** A command that must end with this status. */
  async hako(words: string[], expected = 0): Promise<Result> {
    const result = await this.any(words);
    if (result.status === expected) return result;
    throw new Failure(`${words.join(" ")}: ${told(result)}`);
  }

  async state(): Promise<string> {
    return JSON.parse((await this.hako(["state", this.id])).stdout).status;
  }

  async expectState(...expected: string[]): Promise<void> {
    const status = await this.state();
    if (!expected.includes(status))
      throw new Failure(`${this.id} is ${status}, expected ${expected.join(" or ")}`);
  }

  async waitForEnd(): Promise<void> {
    for (const end = Date.now() + STOPS_MS; (await this.state()) !== "stopped"; await Bun.sleep(20)) {
      if (Date.now() > end) throw new Failure(`${this.id} does not stop`);
    }
  }

  detached(...args: string[]): Promise<Result> {
    return this.hako(["run", "--detach", "--bundle", this.bundle(...args), this.id]);
  }

  /** Whatever became of it: others can see it, and delete --force removes it, if that is killed the next one does. */
  async end(): Promise<void> {
    const check = async (words: string[], accepts: (result: Result) => boolean): Promise<void> => {
      const result = await this.#call(words, false);
      if (!accepts(result)) throw new Failure(`afterwards: ${words.join(" ")}: ${told(result)}`);
    };
    // of a create that was killed at once, another's perhaps
    const remains =
      /^(hako: warning: container "\S+" has no record: hako delete --force \S+ removes what is left of it\n)*$/;
    await check(["list"], ({ status, stderr }) => status === 0 && remains.test(stderr));
    await check(
      ["state", this.id],
      ({ status, stderr }) => status === 0 || stderr.includes("does not exist"),
    );
    for (;;) {
      try {
        const words = ["delete", "--force", this.id];
        const results = await Promise.all(
          Array.from({ length: this.chance() < 0.2 ? 2 : 1 }, () => this.#call(words, true)),
        );
        const bad = results.find(({ status, stderr }) => status !== 0 || stderr !== "");
        if (bad !== undefined) throw new Failure(`${words.join(" ")}: ${told(bad)}`);
        break;
      } catch (error) {
        if (!(error instanceof Killed)) throw error;
      }
    }
    await check(
      ["state", this.id],
      ({ status, stderr }) => status === 1 && stderr.includes("does not exist"),
    );
  }
}

const SLEEP = ["sleep", "600"];

const LIVES: Record<string, (life: Life) => Promise<unknown>> = {
  run: (life) => life.hako(["run", "--bundle", life.bundle("sh", "-c", "exit 7"), life.id], 7),
  lifecycle: async (life) => {
    await life.hako(["create", "--bundle", life.bundle(...SLEEP), life.id]);
    await life.expectState("created");
    await life.hako(["start", life.id]);
    await life.expectState("running");
    await life.hako(["kill", life.id, "KILL"]);
    await life.waitForEnd();
    await life.hako(["delete", life.id]);
  },
  exec: async (life) => {
    await life.detached(...SLEEP);
    await life.hako(["exec", life.id, "true"]);
    await life.hako(["exec", life.id, "sh", "-c", "exit 9"], 9);
    await life.hako(["exec", "--detach", life.id, ...SLEEP]);
    await life.expectState("running");
  },
  pause: async (life) => {
    await life.detached(...SLEEP);
    await life.hako(["pause", life.id]);
    await life.expectState("paused");
    if (life.chance() < 0.3) return;
    await life.hako(["resume", life.id]);
    await life.expectState("running");
  },
  update: async (life) => {
    await life.detached(...SLEEP);
    await life.hako(["update", "--pids-limit", "50", "--memory", "64M", life.id]);
    await life.hako(["events", "--stats", life.id]);
    await life.expectState("running");
  },
  "create during delete": async (life) => {
    await life.detached(...SLEEP);
    const [, made] = await Promise.all([
      life.hako(["delete", "--force", life.id]),
      life.any(["create", "--bundle", life.bundle(...SLEEP), life.id]),
    ]);
    // either it came too early, or there is a whole container, or delete took that one too
    if (made.status !== 0 && !/exists|deleted|in use|busy/.test(made.stderr)) throw new Failure(told(made));
  },
};

const failures: string[] = [];
const lived = new Map<string, number>();

async function live(number: number): Promise<void> {
  const chance = random(SEED * 1_000_003 + number);
  const kinds = Object.entries(LIVES);
  const [kind, body] = kinds[Math.floor(chance() * kinds.length)] ?? ["none", () => Promise.resolve()];
  const life = new Life(chance);
  try {
    try {
      await body(life);
    } catch (error) {
      if (!(error instanceof Killed)) throw error;
    } finally {
      await life.end();
    }
    lived.set(kind, (lived.get(kind) ?? 0) + 1);
  } catch (error) {
    failures.push(
      `${kind} (container ${number}${life.shared ? ", the host's pid namespace" : ""}): ${(error as Error).message}`,
    );
    console.error(failures.at(-1));
  }
}

const started = performance.now();
let next = 0;
const progress = setInterval(() => console.error(`${next} of ${CONTAINERS}`), PROGRESS_MS);
await Promise.all(
  Array.from({ length: WORKERS }, async () => {
    while (next < CONTAINERS && Date.now() < DEADLINE) await live(next++);
  }),
);
clearInterval(progress);
try {
  await expectNothingLeft([box.dir, box.names], box.root);
} catch (error) {
  failures.push((error as Error).message);
}

const seconds = (performance.now() - started) / 1000;
console.log(`${next} containers, ${WORKERS} at a time, seed ${SEED}, ${seconds.toFixed(0)} s`);
for (const [kind, count] of [...lived].sort())
  console.log(`  ${kind.padEnd(24)}${String(count).padStart(6)}`);
console.log(
  `${"command".padEnd(12)}${["runs", "killed", "median ms", "99 % ms", "max ms"].map((word) => word.padStart(11)).join("")}`,
);
for (const [command, { runs, killed, milliseconds }] of [...times].sort()) {
  const cells = [runs, killed, ...[0.5, 0.99, 1].map((part) => quantile(milliseconds, part).toFixed(0))];
  console.log(`${command.padEnd(12)}${cells.map((cell) => String(cell).padStart(11)).join("")}`);
}
console.log(`${failures.length} failures`);
for (const failure of failures) console.log(failure);
process.exitCode = failures.length === 0 ? 0 : 1;
