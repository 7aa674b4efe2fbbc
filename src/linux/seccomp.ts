import type { CapabilityWords } from "./capabilities";
import type { Fd } from "./fd";
import { descriptorMessage } from "./socket";
import type { Step } from "./steps";
import { address, syscall } from "./syscall";

const SET_MODE_FILTER = 1;
const FLAG_NEW_LISTENER = 1 << 3;
const MSG_NOSIGNAL = 0x4000;
const INSTRUCTION_SIZE = 8;

/** A compiled seccomp filter (seccomp(2)). */
export interface SeccompFilter {
  /** struct sock_filter. */
  program: Uint8Array;
  /** SECCOMP_FILTER_FLAG_* */
  flags: number;
}

/** Whether the filter has a listener, which somebody must take. */
export function hasListener({ flags }: SeccompFilter): boolean {
  return (flags & FLAG_NEW_LISTENER) !== 0;
}

/**
 * The system calls that put a filter into force. Its listener goes to the peer of `socket`, who answers with a byte. Then
 * the capability that was kept for it goes. They are made together with execve: a filter need not allow what
 * JavaScript does.
 */
export function filterSteps(
  filter: SeccompFilter,
  socket: Fd,
  capabilities: CapabilityWords | undefined,
): { steps: Step[]; memory: ArrayBufferView[] } {
  const { program, flags } = filter;
  const header = new BigUint64Array([BigInt(program.length / INSTRUCTION_SIZE), BigInt(address(program))]);
  const memory: ArrayBufferView[] = [program, header];
  const listener = hasListener(filter) ? lowestFreeDescriptor() : 0;
  const steps: Step[] = [
    {
      what: "config /linux/seccomp: seccomp",
      call: "seccomp",
      args: [SET_MODE_FILTER, flags, address(header)],
      least: listener,
      most: BigInt(listener),
    },
  ];
  if (hasListener(filter)) {
    const message = descriptorMessage(listener);
    const byte = new Uint8Array(1);
    memory.push(message.header, ...message.memory, byte);
    steps.push(
      {
        what: "pass on the seccomp listener",
        call: "sendmsg",
        args: [socket.number, address(message.header), MSG_NOSIGNAL],
      },
      {
        what: "wait for who takes the seccomp listener",
        call: "read",
        args: [socket.number, address(byte), 1],
        least: 1,
      },
    );
  }
  if (capabilities !== undefined) {
    memory.push(capabilities.header, capabilities.sets);
    steps.push({
      what: "capset under the seccomp profile",
      call: "capset",
      args: [address(capabilities.header), address(capabilities.sets)],
    });
  }
  return { steps, memory };
}

/** The number that the next descriptor of this process gets. */
function lowestFreeDescriptor(): number {
  const number = syscall("dup", 0);
  syscall("close", number);
  return number;
}
