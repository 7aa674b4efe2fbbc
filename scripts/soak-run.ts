// Containers of every kind of life, several at a time; some of hako's commands are killed on their way. Called by soak.ts, in
// cgroups of its own. The same seed chooses the same lives and the same moments; what else the machine does is another matter.
import { parseArgs } from "node:util";
import { chanceOf, oneOf, quantile } from "./soak-chance";
import { SoakHost } from "./soak-host";
import { Killed, Life, times } from "./soak-life";
import { LIVES } from "./soak-lives";
import { SOAK_OPTIONS } from "./soak-options";

const { values } = parseArgs({ options: SOAK_OPTIONS });
const CONTAINERS = Number(values.containers);
const WORKERS = Number(values.workers);
const KILLS = Number(values.kills) / 100;
const SEED = Number(values.seed);
/** After that no more are begun; so it is after a signal. */
let deadline = Date.now() + Number(values.minutes) * 60_000;
for (const signal of ["SIGINT", "SIGTERM"])
  process.on(signal, () => {
    deadline = 0;
  });
const PROGRESS_MS = 30_000;

using host = new SoakHost(values.rootless, !values.rootless || values.delegated);
const failures: string[] = [];
const lived = new Map<string, number>();

async function live(number: number): Promise<void> {
  const chance = chanceOf(SEED * 1_000_003 + number);
  const [kind, body] = oneOf(Object.entries(LIVES), chance) ?? ["none", () => Promise.resolve()];
  const life = new Life(host, chance, KILLS);
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
    const { shared, seccomp, noNewPrivileges, manyIds } = life.kind;
    const how = Object.entries({ shared, seccomp, noNewPrivileges, manyIds }).filter(([, is]) => is);
    const words = how.map(([name]) => `, ${name}`).join("");
    failures.push(`${kind} (container ${number}${words}): ${(error as Error).message}`);
    console.error(failures.at(-1));
  }
}

const started = performance.now();
let next = 0;
const progress = setInterval(() => console.error(`${next} of ${CONTAINERS}`), PROGRESS_MS);
await Promise.all(
  Array.from({ length: WORKERS }, async () => {
    while (next < CONTAINERS && Date.now() < deadline) await live(next++);
  }),
);
clearInterval(progress);
try {
  await host.expectNothingLeft();
} catch (error) {
  failures.push((error as Error).message);
}

const seconds = (performance.now() - started) / 1000;
const whose = !values.rootless ? "root's" : values.delegated ? "a user's with cgroups" : "a user's";
console.log(`${next} containers of ${whose}, ${WORKERS} at a time, seed ${SEED}, ${seconds.toFixed(0)} s`);
for (const [kind, count] of [...lived].sort())
  console.log(`  ${kind.padEnd(24)}${String(count).padStart(6)}`);
const heads = ["runs", "killed", "below it", "median ms", "99 % ms", "max ms"];
console.log(`${"command".padEnd(16)}${heads.map((word) => word.padStart(11)).join("")}`);
for (const [command, { runs, killed, killedBelow, milliseconds }] of [...times].sort()) {
  const cells = [
    runs,
    killed,
    killedBelow,
    ...[0.5, 0.99, 1].map((part) => quantile(milliseconds, part).toFixed(0)),
  ];
  console.log(`${command.padEnd(16)}${cells.map((cell) => String(cell).padStart(11)).join("")}`);
}
console.log(`${failures.length} failures`);
for (const failure of failures) console.log(failure);
process.exitCode = failures.length === 0 ? 0 : 1;
