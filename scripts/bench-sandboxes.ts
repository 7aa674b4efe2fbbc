// hako run --rootfs / beside other sandboxes for one command, as root and as an ordinary user. Called by scripts/bench-sandboxes.
import { chmodSync, chownSync, copyFileSync, mkdirSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { call, callAll, DIR, mountStates, removeDir, STATES } from "./bench-call";
import { thisMachine } from "./bench-machine";
import { measure, type Row } from "./bench-measure";
import { measureMemory } from "./bench-sandbox-memory";
import { addressOfHost, measureRequests, RATES, requestServer } from "./bench-sandbox-network";

const USER = 12_345;
const AT_ONCE = 20;
/** How often at most is done what takes seconds each time. */
const FEW = 5;

/** A way to run a command. */
export interface Sandbox {
  name: string;
  /** The command that runs `words` in it; with an address, where that one may be reached. */
  run(words: readonly string[], reach?: string): string[];
}

interface Who {
  name: string;
  prefix: readonly string[];
  /** Where commands are run. */
  project: string;
}

/** root and an ordinary user, with homes and state directories of their own: some sandboxes leave files there. */
function people(): Who[] {
  return [
    { name: "root", ids: [], uid: 0 },
    {
      name: "user",
      ids: ["setpriv", "--reuid", `${USER}`, "--regid", `${USER}`, "--clear-groups"],
      uid: USER,
    },
  ].map(({ name, ids, uid }) => {
    const home = join(DIR, `home-${name}`);
    const [project, states] = [join(home, "project"), join(STATES, name)];
    for (const directory of [home, project, states]) {
      mkdirSync(directory);
      chownSync(directory, uid, uid);
    }
    return { name, prefix: [...ids, "env", `HOME=${home}`, `XDG_RUNTIME_DIR=${states}`], project };
  });
}

function sandboxes({ name, prefix }: Who, srt: string | undefined, cgroups: boolean): Sandbox[] {
  const manager = cgroups ? [] : ["--cgroup-manager", "disabled"];
  const hako = [join(DIR, "hako"), "--root", join(STATES, name, "hako"), ...manager, "run"];
  const network = (reach: string | undefined) => (reach === undefined ? [] : ["--network", `allow:${reach}`]);
  const of = (sandbox: string, run: Sandbox["run"]): Sandbox => ({
    name: sandbox,
    run: (words, reach) => [...prefix, ...run(words, reach)],
  });
  const settings = (reach = "none.invalid") => {
    const [host = ""] = reach.split(":");
    const file = join(DIR, `srt-${host}.json`);
    const filesystem = { denyRead: [], allowWrite: ["."], denyWrite: [] };
    writeFileSync(
      file,
      JSON.stringify({ network: { allowedDomains: [host], deniedDomains: [] }, filesystem }),
    );
    return file;
  };
  return [
    of("nothing", (words) => [...words]),
    ...(Bun.which("bwrap") === null
      ? []
      : [
          of("bwrap", (words) => [
            "bwrap",
            "--ro-bind",
            "/",
            "/",
            "--unshare-all",
            "--proc",
            "/proc",
            "--dev",
            "/dev",
            ...words,
          ]),
        ]),
    of("hako", (words, reach) => [...hako, "--rootfs", "/", ...network(reach), "--", ...words]),
    of("hako, agent", (words, reach) => [...hako, "--policy", "agent", ...network(reach), "--", ...words]),
    ...(srt === undefined
      ? []
      : [of("srt", (words, reach) => [srt, "--settings", settings(reach), ...words])]),
  ];
}

/** A place that may be reached, for sandboxes that nobody uses it in. */
const RULE = "192.0.2.1:80";

/** bwrap has the host's network or none. */
function filtering(all: readonly Sandbox[]): Sandbox[] {
  return all.filter(({ name }) => name !== "bwrap");
}

/** What `--only` chooses from: rows of one person's sandboxes. */
const GROUPS: Readonly<
  Record<string, (all: readonly Sandbox[], who: string, runs: number) => Promise<Row[]>>
> = {
  time: (all, who, runs) =>
    measure("time", all, runs, ({ run }) => ({ [`true, ${who}`]: call(run(["true"])) })),
  "at-once": (all, who, runs) =>
    measure("at once", all, Math.min(runs, FEW), async ({ run }) => ({
      [`${AT_ONCE} at once, ${who}`]: await callAll(Array.from({ length: AT_ONCE }, () => run(["true"]))),
    })),
  memory: async (all, who, runs) => [
    ...(await measure("memory", all, Math.min(runs, FEW), async ({ run }) => ({
      [`sleep, ${who}`]: await measureMemory(run),
    }))),
    ...(await measure("memory", filtering(all), Math.min(runs, FEW), async ({ run }) => ({
      [`sleep, a rule, ${who}`]: await measureMemory((words) => run(words, RULE)),
    }))),
  ],
  network: async (all, who, runs) => {
    const address = addressOfHost();
    if (address === undefined) {
      console.error("skipped: network: this machine has no address but loopback's");
      return [];
    }
    using server = requestServer(address);
    return await measure("network", filtering(all), Math.min(runs, FEW), async (each) => ({
      [`network, ${who}`]: await measureRequests(each, server.place),
    }));
  },
};

/** Columns of the table: what is measured, in which unit, with so many digits. */
const COLUMNS: readonly [string, string, number][] = [
  ["wall", "ms", 1],
  ["cpu", "CPU ms", 1],
  ["processes", "processes", 0],
  ["private", "private KiB", 0],
  ...RATES,
];

function table(rows: readonly Row[]): string {
  const used = COLUMNS.filter(([key]) => rows.some(({ values }) => values[key] !== undefined));
  const cells = [
    ["", "", ...used.map(([, title]) => title)],
    ...rows.map(({ task, runtime, values }) => [
      task,
      runtime,
      ...used.map(([key, , digits]) => values[key]?.median.toFixed(digits) ?? ""),
    ]),
  ];
  const widths = cells[0]?.map((_, at) => Math.max(...cells.map((line) => line[at]?.length ?? 0))) ?? [];
  const lines = cells.map(
    (line) => `| ${line.map((cell, at) => cell.padEnd(widths[at] ?? 0)).join(" | ")} |`,
  );
  return [lines[0], `| ${widths.map((width) => "-".repeat(width)).join(" | ")} |`, ...lines.slice(1)].join(
    "\n",
  );
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      runs: { type: "string", default: "30" },
      only: { type: "string", default: Object.keys(GROUPS).join(",") },
      srt: { type: "string" },
      "no-cgroups": { type: "boolean", default: false },
      json: { type: "boolean", default: false },
    },
  });
  const runs = Number(values.runs);
  if (!(runs > 0)) throw new Error(`--runs ${values.runs}: not a number above 0`);
  const chosen = values.only.split(",");
  const unknown = chosen.find((name) => !Object.hasOwn(GROUPS, name));
  if (unknown !== undefined)
    throw new Error(`--only ${unknown}: the groups are ${Object.keys(GROUPS).join(", ")}`);
  mountStates();
  for (const directory of [DIR, STATES]) chmodSync(directory, 0o755);
  copyFileSync(resolve(process.env.HAKO ?? "dist/hako"), join(DIR, "hako"));
  chmodSync(join(DIR, "hako"), 0o755);
  const rows: Row[] = [];
  for (const who of people()) {
    const all = sandboxes(who, values.srt && resolve(values.srt), !values["no-cgroups"]);
    process.chdir(who.project);
    for (const name of chosen) rows.push(...((await GROUPS[name]?.(all, who.name, runs)) ?? []));
  }
  const machine = thisMachine();
  if (values.json) console.log(JSON.stringify({ machine, rows }, null, 2));
  else
    console.log(
      `${machine.processors} x ${machine.cpu}; Linux ${machine.kernel}; medians of ${runs}\n\n${table(rows)}`,
    );
}

try {
  await main();
} catch (error) {
  console.error(`bench-sandboxes: ${(error as Error).message}`);
  process.exitCode = 1;
} finally {
  process.chdir("/");
  removeDir();
}
