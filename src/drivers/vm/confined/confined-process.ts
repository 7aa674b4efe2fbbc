import { stringVector } from "../../../linux/call/argument-memory";
import { O, POLL, PR, SIG } from "../../../linux/call/constants";
import type { Fd } from "../../../linux/call/fd";
import type { Step } from "../../../linux/call/step";
import { stepError } from "../../../linux/call/walk";
import { readAtMost, statusAt } from "../../../linux/file/file";
import { openAt } from "../../../linux/file/path";
import { Pipe } from "../../../linux/file/pipe";
import { writeAllWaiting } from "../../../linux/file/stream";
import {
  allCapabilities,
  capabilitySteps,
  effectiveCapabilities,
  SYS_ADMIN,
} from "../../../linux/process/capabilities";
import { noNewPrivilegesStep } from "../../../linux/process/credentials";
import { execveStep, repairSteps } from "../../../linux/process/execute";
import { filterSteps } from "../../../linux/process/filter-steps";
import { NAMESPACE_FLAGS } from "../../../linux/process/namespace";
import { parentDeathStep, reapChild } from "../../../linux/process/process";
import { callerOpenFiles, limitSteps } from "../../../linux/process/rlimit";
import { closeStep, inheritSteps, ownerSteps, replaceStep } from "../../../linux/steps/child-steps";
import { cloneChild, Reports } from "../../../linux/steps/clone-child";
import { writeIdMaps } from "../../namespaces/birth/namespaces";
import { confinedFilter } from "./confined-filter";
import { type ConfinedIds, confinedIds } from "./confined-ids";
import { CONFINED_NAMESPACES, type ConfinedRoot, rootSteps } from "./confined-root";

/** In the secure bits: the kernel takes no capabilities when ids change (capabilities(7)). */
const NO_SETUID_FIXUP = 1 << 2;

/** A program of the host's that a guest may take over. */
export interface ConfinedProgram {
  path: string;
  words: readonly string[];
  root: ConfinedRoot;
  /** What it writes to. */
  output: Fd;
  /** Descriptors that it has beside its standard streams, by the same numbers as in this process. */
  descriptors: readonly Fd[];
  /** Its capabilities. */
  rights: bigint;
  /** Whether it has them as whichever user it becomes. */
  keepsRights?: boolean;
  /** Whether it ends with this process, however that ends. */
  endsWithMaker: boolean;
}

/**
 * Starts a program as a process with namespaces and an id of its own, a root directory of what it needs, no network, and no rights but those
 * that it is given, which end with its user namespace. It goes on when this process has ended, unless told. Returns its pid when it has been executed.
 */
export function startConfined(program: ConfinedProgram): number {
  using input = openAt(undefined, "/dev/null", O.RDONLY);
  // the process says at the one that it can be given its ids, and waits for them at the other; and that this one has ended is seen there
  using born = new Pipe("pipe from a confined process");
  using go = new Pipe("pipe to a confined process");
  const ids = confinedIds(groupOf(program.root.devices));
  const steps = stepsOf(program, ids, { input, born, go });
  using reports = new Reports(steps);
  const flags = CONFINED_NAMESPACES | (mayMount() ? 0 : NAMESPACE_FLAGS.user);
  const pid = cloneChild({ flags, cgroup: undefined, steps, waitsForNothing: false }, reports);
  try {
    born.write.close();
    if (readAtMost(born.read, 1).length === 1) {
      writeIdMaps(pid, "of a confined process", ids.maps);
      writeAllWaiting(go.write, new Uint8Array(1));
    }
    const failed = reports.last();
    if (failed !== undefined) throw stepError(steps, failed);
    return pid;
  } catch (error) {
    go.write.close();
    reapChild(pid, true);
    throw error;
  }
}

/**
 * Whether this process may mount by its own rights. Then what is mounted belongs to its user namespace, over which a confined process has no right
 * at all; and a procfs can be mounted where files of the one that is there are masked, as in a container.
 */
function mayMount(): boolean {
  return (effectiveCapabilities() & SYS_ADMIN) !== 0n;
}

/** The group that may use a device which others may not. */
function groupOf(devices: readonly string[]): number | undefined {
  const ofGroup = devices
    .map((path) => statusAt(path))
    .find((status) => status !== undefined && (status.mode & 0o066) === 0o060);
  return ofGroup?.gid;
}

/** Descriptors that a confined process needs while it is made. */
interface Making {
  input: Fd;
  born: Pipe;
  go: Pipe;
}

function stepsOf(
  { path, words, root, output, descriptors, rights, keepsRights = false, endsWithMaker }: ConfinedProgram,
  { uid, gid }: ConfinedIds,
  { input, born, go }: Making,
): Step[] {
  const masks = { permitted: rights, effective: rights, inheritable: rights, ambient: rights, bounding: 0n };
  const maps: Step[] = [
    { what: "tell of a user namespace", call: "write", args: [born.write.number, new Uint8Array(1), 1] },
    {
      what: "wait for id maps",
      call: "read",
      args: [go.read.number, new Uint8Array(1), 1],
      success: { atLeast: 1 },
    },
  ];
  const unshare: Step = { what: "unshare (user)", call: "unshare", args: [NAMESPACE_FLAGS.user] };
  return [
    closeStep(go.write),
    ...(mayMount() ? [...rootSteps(root), unshare, ...maps] : [...maps, ...rootSteps(root)]),
    { what: "setsid", call: "setsid", args: [] },
    replaceStep("standard input", 0, input),
    replaceStep("standard output", 1, output),
    replaceStep("standard error", 2, output),
    ...inheritSteps(0, descriptors),
    ...repairSteps(callerOpenFiles()),
    // the guest's memory is not for a file of the host's
    ...limitSteps([{ name: "RLIMIT_CORE", what: "prlimit (core)", soft: 0n, hard: 0n }]),
    ...(keepsRights
      ? [
          {
            what: "PR_SET_SECUREBITS",
            call: "prctl",
            args: [PR.SET_SECUREBITS, NO_SETUID_FIXUP, 0, 0, 0],
          } as const,
        ]
      : []),
    { what: "PR_SET_KEEPCAPS", call: "prctl", args: [PR.SET_KEEPCAPS, 1, 0, 0, 0] },
    ...ownerSteps(false, { uid, gid }),
    noNewPrivilegesStep(),
    ...capabilitySteps(masks, allCapabilities(), 0n).steps,
    ...(endsWithMaker ? [parentDeathStep(SIG.KILL), isThereStep(go.read)] : []),
    ...filterSteps(confinedFilter(), input, undefined),
    execveStep(path, stringVector([path, ...words]), stringVector([])),
  ];
}

/** Whether this process, which alone has the other end of the pipe, has not ended: in another pid namespace nobody can ask for it. */
function isThereStep(end: Fd): Step {
  const entry = new Int32Array([end.number, POLL.IN]);
  const [none, size] = [new BigInt64Array(2), 8];
  return {
    what: "whether hako is still there",
    call: "ppoll",
    args: [entry, 1, none, 0, size],
    success: { exactly: 0 },
  };
}
