import type { Step } from "../call/step";
import { syscallOn } from "../call/syscall";
import { bitMask } from "./number-list";

/** SCHED_* (sched(7)). */
export const POLICIES = {
  SCHED_OTHER: 0,
  SCHED_FIFO: 1,
  SCHED_RR: 2,
  SCHED_BATCH: 3,
  SCHED_ISO: 4,
  SCHED_IDLE: 5,
  SCHED_DEADLINE: 6,
} as const;

/** SCHED_FLAG_* (sched_setattr(2)). */
export const SCHEDULER_FLAGS = {
  SCHED_FLAG_RESET_ON_FORK: 0x01,
  SCHED_FLAG_RECLAIM: 0x02,
  SCHED_FLAG_DL_OVERRUN: 0x04,
  SCHED_FLAG_KEEP_POLICY: 0x08,
  SCHED_FLAG_KEEP_PARAMS: 0x10,
  SCHED_FLAG_UTIL_CLAMP_MIN: 0x20,
  SCHED_FLAG_UTIL_CLAMP_MAX: 0x40,
} as const;

/** IOPRIO_CLASS_* (ioprio_set(2)). */
export const IO_CLASSES = { IOPRIO_CLASS_RT: 1, IOPRIO_CLASS_BE: 2, IOPRIO_CLASS_IDLE: 3 } as const;

const ATTRIBUTES_SIZE = 56;
const IOPRIO_WHO_PROCESS = 1;
const IOPRIO_CLASS_SHIFT = 13;

/** How a thread is scheduled; times in nanoseconds. */
export interface SchedulerAttributes {
  policy: keyof typeof POLICIES;
  nice: number;
  priority: number;
  flags: readonly (keyof typeof SCHEDULER_FLAGS)[];
  runtime: bigint;
  deadline: bigint;
  period: bigint;
}

/** Sets how a thread is scheduled (struct sched_attr); 0 is this one. */
export function setScheduler(pid: number, attributes: SchedulerAttributes): void {
  const bytes = new Uint8Array(ATTRIBUTES_SIZE);
  const view = new DataView(bytes.buffer);
  const flags = attributes.flags.reduce((sum, name) => sum | SCHEDULER_FLAGS[name], 0);
  view.setUint32(0, ATTRIBUTES_SIZE, true);
  view.setUint32(4, POLICIES[attributes.policy], true);
  view.setBigUint64(8, BigInt(flags), true);
  view.setInt32(16, attributes.nice, true);
  view.setUint32(20, attributes.priority, true);
  view.setBigUint64(24, attributes.runtime, true);
  view.setBigUint64(32, attributes.deadline, true);
  view.setBigUint64(40, attributes.period, true);
  syscallOn(attributes.policy, "sched_setattr", pid, bytes, 0);
}

/** Sets the IO priority of whoever makes this system call, 0 (most) to 7. */
export function ioPriorityStep(what: string, ioClass: keyof typeof IO_CLASSES, priority: number): Step {
  const value = (IO_CLASSES[ioClass] << IOPRIO_CLASS_SHIFT) | priority;
  return {
    what: `${what}: ioprio_set ${ioClass} ${priority}`,
    call: "ioprio_set",
    args: [IOPRIO_WHO_PROCESS, 0, value],
  };
}

/** Binds whoever makes this system call to processors. */
export function affinityStep(what: string, processors: readonly number[]): Step {
  const mask = bitMask(processors);
  return {
    what: `${what}: sched_setaffinity ${processors.join(",")}`,
    call: "sched_setaffinity",
    args: [0, mask.byteLength, mask],
  };
}

/** As many processors as a kernel can be configured for (NR_CPUS). */
const MOST_PROCESSORS = 8192;

/** Lets whoever makes this system call use every processor of its cpuset, if the kernel lets it. */
export function unboundStep(): Step {
  const mask = new Uint8Array(MOST_PROCESSORS / 8).fill(0xff);
  return {
    what: "sched_setaffinity",
    call: "sched_setaffinity",
    args: [0, mask.length, mask],
    success: "anything",
  };
}
