// hako, runc and crun beside each other: times, processor time, page faults, memory. Called by scripts/bench.
import { parseArgs } from "node:util";
import { Bundles } from "./bench-bundle";
import { call, DIR, mountStates, removeDir } from "./bench-call";
import { Commands, LISTED, Running } from "./bench-commands";
import { measureDocker } from "./bench-docker";
import { thisMachine } from "./bench-machine";
import { measure, type Row } from "./bench-measure";
import { Memory } from "./bench-memory";
import { measurePodman } from "./bench-podman";
import { printReport } from "./bench-print";
import { findRuntimes, type Runtime } from "./bench-runtimes";

/** What takes a second each time. */
const FEW = 10;

/** The floor: a compiled Bun program that does nothing. */
async function emptyProgram(): Promise<string> {
  const [source, outfile] = [`${DIR}/empty.ts`, `${DIR}/empty`];
  await Bun.write(source, "process.exit(0);\n");
  const options = { target: "bun", minify: true, bytecode: true } as const;
  const built = await Bun.build({ entrypoints: [source], ...options, compile: { outfile } });
  if (!built.success) throw new AggregateError(built.logs);
  return outfile;
}

/** What `--only` chooses from. */
function groups(runtimes: readonly Runtime[], runs: number): Record<string, () => Promise<Row[]>> {
  const bundles = new Bundles(runtimes);
  const commands = new Commands(bundles);
  const memory = new Memory(bundles);
  const few = Math.min(runs, FEW);
  return {
    floor: async () => {
      const empty = [{ name: "-", path: await emptyProgram() }];
      return measure("floor", empty, runs, ({ path }) => ({ "empty Bun program": call([path]) }));
    },
    run: async () => {
      const { profile } = commands;
      return [
        ...(await measure("version", runtimes, runs, (each) => commands.version(each))),
        ...(await measure("run", runtimes, runs, (each) => commands.run(each))),
        ...(profile === undefined
          ? []
          : await measure("run, profile", runtimes, runs, (each) => commands.runWithProfile(each, profile))),
      ];
    },
    commands: () => measure("lifecycle", runtimes, runs, (each) => commands.lifecycle(each)),
    exec: async () => {
      using running = new Running(bundles, runtimes);
      const idOf = ({ name }: Runtime) => running.ids.get(name)?.[0] ?? "";
      return await measure("exec", runtimes, runs, (each) => commands.exec(each, idOf(each)));
    },
    "at-once": () => measure("at once", runtimes, few, (each) => commands.atOnce(each)),
    list: async () => {
      using _running = new Running(bundles, runtimes, LISTED);
      return await measure("list", runtimes, runs, (each) => commands.list(each));
    },
    memory: async () => {
      using running = new Running(bundles, runtimes);
      const idOf = ({ name }: Runtime) => running.ids.get(name)?.[0] ?? "";
      const of = (what: string, run: Parameters<typeof measure<Runtime>>[3]) =>
        measure(what, runtimes, few, run);
      return [
        ...(await of("created", (each) => memory.created(each))),
        ...(await of("run", (each) => memory.run(each))),
        ...(await of("runs", (each) => memory.runsTogether(each))),
        ...(await of("exec", (each) => memory.exec(each, idOf(each)))),
      ];
    },
    filter: async () => {
      const { profile } = commands;
      const of = (seccomp: object | undefined) =>
        measure("filter", runtimes, few, (each) => commands.systemCalls(each, seccomp));
      return profile === undefined ? [] : [...(await of(undefined)), ...(await of(profile))];
    },
    podman: () => measurePodman(runtimes, runs),
    docker: () => measureDocker(runtimes, runs),
  };
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      runs: { type: "string", default: "30" },
      only: { type: "string" },
      with: { type: "string", multiple: true, default: [] },
      json: { type: "boolean", default: false },
    },
  });
  const runs = Number(values.runs);
  if (!(runs > 0)) throw new Error(`--runs ${values.runs}: not a number above 0`);
  const runtimes = findRuntimes(values.with);
  const all = groups(runtimes, runs);
  const chosen = values.only?.split(",") ?? Object.keys(all);
  const unknown = chosen.find((name) => !Object.hasOwn(all, name));
  if (unknown !== undefined)
    throw new Error(`--only ${unknown}: the groups are ${Object.keys(all).join(", ")}`);
  mountStates();
  const machine = thisMachine();
  const rows: Row[] = [];
  for (const name of chosen) rows.push(...((await all[name]?.()) ?? []));
  if (values.json) console.log(JSON.stringify({ machine, runtimes, rows }, null, 2));
  else printReport(machine, runtimes, rows, runs);
}

try {
  await main();
} catch (error) {
  console.error(`bench: ${(error as Error).message}`);
  process.exitCode = 1;
} finally {
  removeDir();
}
