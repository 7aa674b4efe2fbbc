// One command of the soak test: it may be killed on its way, or a process below it, and it may hang. A part of scripts/soak.
import { spawn } from "node:child_process";
import { closeSync, openSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { childrenOf } from "../test/e2e/children";
import type { Result } from "../test/e2e/support";
import { type Chance, oneOf } from "./soak-chance";

/** A command that takes longer hangs. */
const HANGS_MS = 180_000;
/** Of the kills, those that hit a process below the command (the container's, one that acts for it, hako below a terminal's). */
const BELOW = 0.3;
/** Those that hit the command and all below it, as a service manager's last signal. */
const ALL = 0.1;

export class Hang extends Error {}

export interface Outcome extends Result {
  milliseconds: number;
  /** What was killed, if anything was. */
  killed: "the command" | "a process below it" | undefined;
}

let outputs = 0;

function read(file: string): string {
  try {
    return readFileSync(file, "utf8").replaceAll("\0", " ").trim();
  } catch {
    return ""; // it has ended
  }
}

function processesBelow(pid: number): number[] {
  return childrenOf(pid).flatMap((child) => [child, ...processesBelow(child)]);
}

/** What a process waits for: its own words, the system call and where in the kernel each of its threads is. */
export function whereIs(pid: number): string {
  const call = read(`/proc/${pid}/syscall`);
  const stack = read(`/proc/${pid}/stack`).replaceAll(/\n?\[<0>\] /g, " ");
  return `${pid} (${read(`/proc/${pid}/cmdline`).slice(0, 200)}): call ${call}; stack${stack}`;
}

function killProcess(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // it has ended
  }
}

export interface Plan {
  /** After so many milliseconds a process is killed; if absent, none is. */
  killAfter: number | undefined;
  chance: Chance;
}

/** Runs `words` to their end. Throws Hang if that doesn't come; the command is then killed. */
export async function command(
  dir: string,
  words: string[],
  env: Record<string, string>,
  plan: Plan,
): Promise<Outcome> {
  const base = join(dir, `output-${outputs++}`);
  // files, not pipes: a created container keeps them open
  const [out, err] = [openSync(`${base}.out`, "w"), openSync(`${base}.err`, "w")];
  const [program = "", ...args] = words;
  const started = performance.now();
  const child = spawn(program, args, { stdio: ["ignore", out, err], cwd: "/", env });
  for (const fd of [out, err]) closeSync(fd);
  let killed: Outcome["killed"];
  let hang: string | undefined;
  const kill = (): void => {
    const dice = plan.chance();
    const all = processesBelow(child.pid ?? 0);
    const below = dice < BELOW ? oneOf(all, plan.chance) : undefined;
    killed = below === undefined ? "the command" : "a process below it";
    if (below !== undefined) killProcess(below);
    else {
      child.kill("SIGKILL");
      if (dice > 1 - ALL) for (const pid of all) killProcess(pid);
    }
  };
  const killer = plan.killAfter === undefined ? undefined : setTimeout(kill, plan.killAfter);
  const watch = setTimeout(() => {
    hang = [child.pid ?? 0, ...processesBelow(child.pid ?? 0)].map(whereIs).join("\n    ");
    child.kill("SIGKILL");
  }, HANGS_MS);
  const [status, signal] = await new Promise<[number | null, string | null]>((done) =>
    child.on("exit", (...end) => done(end)),
  );
  const milliseconds = performance.now() - started;
  for (const timer of [killer, watch]) clearTimeout(timer);
  const [stdout, stderr] = ["out", "err"].map((end) => readFileSync(`${base}.${end}`, "utf8"));
  for (const end of ["out", "err"]) rmSync(`${base}.${end}`, { force: true });
  if (hang !== undefined) {
    const after = killed === undefined ? "" : `; ${killed} had been killed`;
    throw new Hang(`hangs: ${words.join(" ")}${after}\n    ${hang}`);
  }
  return { status, signal, stdout: stdout ?? "", stderr: stderr ?? "", milliseconds, killed };
}
