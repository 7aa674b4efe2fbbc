import { errnoNumber } from "../../base/errno";
import { during, HakoError } from "../../base/errors";
import { NOTHING_COUNTED } from "../../cgroup/stats/spent";
import { homeOf } from "../../drivers/namespaces/program/identity";
import { processLimits } from "../../drivers/namespaces/program/prepared-program";
import { environmentOf, findProgram, notExecuted } from "../../drivers/namespaces/program/program-file";
import { stringVector } from "../../linux/call/argument-memory";
import { O, SIG } from "../../linux/call/constants";
import { Fd } from "../../linux/call/fd";
import type { Step } from "../../linux/call/step";
import { syscallOn } from "../../linux/call/syscall";
import { perform } from "../../linux/call/walk";
import { directoryEntries, hasErrno, listNames } from "../../linux/file/file";
import { openAt } from "../../linux/file/path";
import { fileStatusOf } from "../../linux/file/stat";
import { monotonicMs } from "../../linux/kernel/clock";
import { capabilityMask, capabilitySteps, permittedCapabilities } from "../../linux/process/capabilities";
import { noNewPrivilegesStep } from "../../linux/process/credentials";
import { execveStep, repairSteps } from "../../linux/process/execute";
import { filterSteps } from "../../linux/process/filter-steps";
import {
  ifItHasAPlace,
  keepsFiles,
  landlockAbi,
  openedAgain,
  Ruleset,
  scopesSignals,
} from "../../linux/process/landlock";
import {
  becomeSubreaper,
  hasChildren,
  parentDeathStep,
  processStatus,
  reapChild,
  signalProcess,
  startTimeOf,
} from "../../linux/process/process";
import { callerOpenFiles, limitSteps } from "../../linux/process/rlimit";
import { inheritSteps } from "../../linux/steps/child-steps";
import { executeChild } from "../../linux/steps/clone-child";
import type { Process, Seccomp } from "../../oci/config";
import { logWarning } from "../../output/log";
import { compile } from "../../seccomp/compile";
import type { Weaker } from "../../state/record";
import { SignalForwarder, statusOfEnding, waitForProgram } from "../io/foreground";
import type { RunEnd } from "../io/run-end";
import { TIMED_OUT, TimeLimit, type TimeLimitValues } from "../io/time-limit";
import {
  type AllowedPlace,
  allowedPlaces,
  closedDirectories,
  type PlaceEntry,
  type PlaceWishes,
} from "./allowed-places";

/** Loaded on first use. */
const rare = {
  get explainExecution() {
    return require("../../explain/execution") as typeof import("../../explain/execution");
  },
  get parentWatch() {
    return require("../run/parent-watch") as typeof import("../run/parent-watch");
  },
  get lifelineWatch() {
    return require("../io/lifeline-watch") as typeof import("../io/lifeline-watch");
  },
};

/** A command that is confined by Landlock and seccomp alone. */
export interface LandlockedRun {
  process: Process;
  places: PlaceWishes;
  profile: Seccomp;
  /** It has the host's network. */
  network: boolean;
  /** What is told of it, beside what this kernel's Landlock lacks. */
  weaker: readonly Weaker[];
  /** As a container's record would have them. */
  annotations: Record<string, string>;
  preserveFds: number;
  timeLimit: TimeLimitValues | undefined;
  lifeline: Fd | undefined;
  diesWithParent: boolean;
  atEnd: ((end: RunEnd) => void) | undefined;
}

/** Who would get the listener of the filter, which has none. */
const NOBODY = new Fd(0);

/** Runs it to its end, with all that it has started; the exit status. */
export async function runLandlocked(run: LandlockedRun): Promise<number> {
  checkKernel();
  const weaker = [...run.weaker];
  if (!scopesSignals()) {
    weaker.push("signals");
    logWarning(`this kernel's Landlock (ABI ${landlockAbi()}) lets the command signal others of its user`);
  }
  warnOfClosed(run.places);
  using parent = run.diesWithParent ? new rare.parentWatch.ParentWatch() : undefined;
  // what the command leaves is this process's to end
  becomeSubreaper();
  using forward = new SignalForwarder(false, undefined, true);
  const pid = begin(run);
  const started = new Date();
  const clock = monotonicMs();
  try {
    const kill = () => signalDescendants(SIG.KILL);
    parent?.onEnd(kill);
    using _ = run.lifeline && new rare.lifelineWatch.LifelineWatch(run.lifeline, kill);
    using limit =
      run.timeLimit && new TimeLimit(run.timeLimit, { ask: () => signalDescendants(SIG.TERM), kill });
    const waiting = waitForProgram({ pid, startTime: startTimeOf(pid) }, undefined, forward);
    const ending = await (limit === undefined ? waiting : Promise.race([waiting, limit.failed]));
    const wallMs = monotonicMs() - clock;
    const timedOut = limit?.over === true;
    const about = { annotations: run.annotations, weaker, landlock: landlockAbi() };
    run.atEnd?.({ container: undefined, about, spent: NOTHING_COUNTED, ending, timedOut, started, wallMs });
    return timedOut ? TIMED_OUT : statusOfEnding(ending);
  } finally {
    endDescendants();
  }
}

/** Landlock gives rights over whole trees: what lies around a place that is kept out is missing too. */
function warnOfClosed(places: PlaceWishes): void {
  const { unmade, unlisted } = closedDirectories(places);
  const told = (directories: readonly string[], what: string, why: string) => {
    if (directories.length > 0)
      logWarning(`without namespaces ${what} ${directories.join(", ")}: ${why} is below`);
  };
  told(unmade, "nothing is made or removed in", "what is protected or hidden");
  told(unlisted, "nobody lists", "a hidden directory");
}

function checkKernel(): void {
  if (keepsFiles()) return;
  const abi = landlockAbi();
  throw new HakoError({
    code: "unsupported",
    message:
      abi === 0
        ? "--weaker namespaces: there is no Landlock here"
        : `--weaker namespaces: this kernel's Landlock (ABI ${abi}) does not keep files from being truncated`,
    hint: "linux 6.2 or newer with CONFIG_SECURITY_LANDLOCK, landlock in lsm= of its command line, and no outer seccomp filter that hides it",
  });
}

/** Makes the child that becomes the program; its pid. */
function begin({ process, places, profile, network, preserveFds }: LandlockedRun): number {
  const { args = [], cwd, capabilities } = process;
  // a program by a relative path is looked up there
  during(`--workdir ${cwd}`, () => syscallOn(cwd, "chdir", cwd));
  const environment = environmentOf(process, homeOf);
  const name = args[0] ?? "";
  const file = findProgram(name, environment);
  using ruleset = new Ruleset({ network: !network, scoped: true });
  for (const place of allowedPlaces(places, entriesOf)) allowPlace(ruleset, place);
  perform(openedAgain(preserveFds).flatMap((each) => ruleset.allowSteps(each).map(ifItHasAPlace)));
  const have = permittedCapabilities();
  const mask = capabilityMask(capabilities?.permitted ?? [], () => {});
  const masks = { permitted: mask, effective: mask, bounding: mask, inheritable: 0n, ambient: 0n };
  const execve = execveStep(file, stringVector(args), stringVector(environment));
  const steps: Step[] = [
    parentDeathStep(SIG.KILL),
    // without the caller's terminal, whose keys come through hako
    { what: "setsid", call: "setsid", args: [] },
    ...repairSteps(callerOpenFiles()),
    ...inheritSteps(preserveFds, []),
    ...limitSteps(processLimits(process)),
    noNewPrivilegesStep(),
    ...capabilitySteps(masks, have, 0n).steps,
    ruleset.restrictStep,
    ...filterSteps(compile(profile), NOBODY, undefined),
    execve,
  ];
  try {
    return executeChild({ steps, cgroup: undefined });
  } catch (error) {
    if (!(error instanceof HakoError) || error.syscall !== "execve" || error.errno === undefined) throw error;
    const sight = rare.explainExecution.lookAtProgram(file);
    throw notExecuted(name, file, errnoNumber(error.errno), sight);
  }
}

function entriesOf(directory: string): PlaceEntry[] {
  try {
    return directoryEntries(directory).map(({ name, type }) => ({ name, isLink: type === "symlink" }));
  } catch (error) {
    if (hasErrno(error, "EACCES", "ENOENT", "ENOTDIR")) return [];
    throw error;
  }
}

/** What is gone, or may not be looked at, is not allowed. */
function allowPlace(ruleset: Ruleset, { path, access }: AllowedPlace): void {
  using place = openPlace(path);
  if (place === undefined) return;
  const isDirectory = fileStatusOf(place).type === "directory";
  perform(ruleset.allowSteps({ number: place.number, access, isDirectory }));
}

function openPlace(path: string): Fd | undefined {
  try {
    return openAt(undefined, path, O.PATH | O.NOFOLLOW | O.CLOEXEC);
  } catch (error) {
    if (hasErrno(error, "EACCES", "ENOENT", "ENOTDIR", "ELOOP")) return undefined;
    throw error;
  }
}

/** Processes that this one has made, and theirs: as it is their subreaper, none leaves them. */
function descendants(): { pid: number; startTime: number }[] {
  const children = new Map<number, { pid: number; startTime: number }[]>();
  for (const name of listNames("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const pid = Number(name);
    const status = processStatus(pid);
    if (status === undefined) continue;
    const siblings = children.get(status.parent) ?? [];
    siblings.push({ pid, startTime: status.startTime });
    children.set(status.parent, siblings);
  }
  const found = [...(children.get(process.pid) ?? [])];
  for (const { pid } of found) found.push(...(children.get(pid) ?? []));
  return found;
}

function signalDescendants(signal: number): void {
  for (const { pid, startTime } of descendants()) signalProcess(pid, startTime, signal);
}

/** Kills and reaps them, until there are none. */
function endDescendants(): void {
  while (hasChildren()) {
    signalDescendants(SIG.KILL);
    reapChild(-1, true);
  }
}
