import { errnoText } from "../base/errno";
import { HakoError } from "../base/errors";
import { type SyscallName, syscallNumber } from "../linux/call/syscall-numbers";
import { hasListener, type SeccompFilter } from "../linux/process/filter-steps";
import { ACTIONS, ARCHITECTURES, NATIVE } from "../oci/seccomp-words";

/** A filter's answer to a call: the action in the words of profiles, and its number. */
export interface Answer {
  action: string;
  data: number;
}

const DATA_MASK = 0xffff;
const NUMBER = 0;
const ARCHITECTURE = 4;

/**
 * The filter's answer to a call of this machine whose arguments are all 0, as the kernel would find it (filter.rst). It runs the
 * program that `compile` makes, without a system call.
 */
export function answerTo({ program }: SeccompFilter, call: SyscallName): Answer {
  const data = new DataView(new ArrayBuffer(64));
  data.setUint32(NUMBER, syscallNumber(call), true);
  data.setUint32(ARCHITECTURE, ARCHITECTURES[NATIVE]?.audit ?? 0, true);
  const value = run(new DataView(program.buffer, program.byteOffset, program.byteLength), data);
  const kind = (value & ~DATA_MASK) >>> 0;
  const action = Object.entries(ACTIONS).find(([, word]) => word.value === kind)?.[0];
  return { action: action ?? `0x${kind.toString(16)}`, data: value & DATA_MASK };
}

/** Runs classic BPF: loads, AND, jumps and answers are all that filters of profiles have (./instructions.ts). */
function run(program: DataView, data: DataView): number {
  let accumulator = 0;
  for (let at = 0; at + 8 <= program.byteLength; at += 8) {
    const k = program.getUint32(at + 4, true);
    const code = program.getUint16(at, true);
    switch (code) {
      case 0x20:
        accumulator = data.getUint32(k, true);
        break;
      case 0x54:
        accumulator = (accumulator & k) >>> 0;
        break;
      case 0x05:
        at += 8 * k;
        break;
      case 0x06:
        return k;
      default: {
        const holds = code === 0x15 ? accumulator === k : code === 0x25 ? accumulator > k : accumulator >= k;
        at += 8 * program.getUint8(at + (holds ? 2 : 3));
      }
    }
  }
  return 0;
}

const PASSED = new Set(["SCMP_ACT_ALLOW", "SCMP_ACT_LOG", "SCMP_ACT_NOTIFY"]);

/** Refuses a filter with which no program can start, because it stops a call between setting the filter and the program. */
export function checkStart(filter: SeccompFilter, noNewPrivileges: boolean): void {
  const calls: SyscallName[] = [
    ...(hasListener(filter) ? [filter.passedBy, "read" as const] : []),
    // hako gives the right to set a filter up after that
    ...(noNewPrivileges ? [] : (["capset"] as const)),
    "execve",
  ];
  for (const call of calls) {
    const { action, data } = answerTo(filter, call);
    if (PASSED.has(action)) continue;
    const how = action === "SCMP_ACT_ERRNO" ? `${action} (${errnoText(data)})` : action;
    throw new HakoError({
      code: "config",
      message: `config /linux/seccomp: no program could be started: the profile answers ${call} with ${how}`,
      hint:
        call === "capset"
          ? "allow it, or set /process/noNewPrivileges"
          : `allow ${call} in /linux/seccomp/syscalls`,
    });
  }
}
