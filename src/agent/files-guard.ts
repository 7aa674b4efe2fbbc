import { errnoNumber } from "../base/errno";
import { HakoError } from "../base/errors";
import { stringVector } from "../linux/call/argument-memory";
import { F, O, REBOOT } from "../linux/call/constants";
import type { Fd } from "../linux/call/fd";
import { syscallOn, trySyscall } from "../linux/call/syscall";
import { executeStep, inheritSteps } from "../linux/steps/child-steps";
import { executeChild } from "../linux/steps/clone-child";
import { DATA_AT, elfProgram } from "../linux/steps/elf";
import { interpreterCode } from "../linux/steps/interpreter-code";
import { FAILED, RowProgram, word } from "../linux/steps/row-program";
import { openPort } from "./ports";

const NAME = "hako-files-guard";
/** How long the host's end of a port may take to be seen. */
const CONNECT_MS = 5000;
const PAUSE_MS = 5;

/**
 * Has the machine go off when the port hangs up, which is when the server of written files has ended: whoever has asked that for a file waits for ever,
 * and this process may be one of them. So another one watches, of some KiB.
 */
export function guardFiles(portName: string): void {
  using port = openPort(portName);
  awaitConnection(port);
  // the guard waits in read(2)
  syscallOn(port.name, "fcntl", port.number, F.SETFL, O.RDWR);
  using file = guardProgram(port.number);
  executeChild({
    steps: [...inheritSteps(0, [port]), executeStep(file, stringVector([NAME]), stringVector([]))],
    cgroup: undefined,
  });
}

/** Waits until the guest's kernel knows of the host's end: before that a port looks like one that has been hung up. */
function awaitConnection(port: Fd): void {
  const byte = new Uint8Array(1);
  for (const deadline = performance.now() + CONNECT_MS; performance.now() < deadline; ) {
    if (trySyscall("read", port.number, byte, 1) === -errnoNumber("EAGAIN")) return;
    Bun.sleepSync(PAUSE_MS);
  }
  throw new HakoError({ code: "system", message: "the server of written files has ended" });
}

/** A program that reads from a descriptor until nothing can come any more, and then turns the machine off. */
export function guardProgram(port: number, machine: string = process.arch): Fd {
  const program = new RowProgram(machine);
  program.label("read");
  program.call("read", [port, word(), 1], { least: 1, next: "read", otherwise: FAILED });
  program.label(FAILED);
  program.call("reboot", [REBOOT.MAGIC1, REBOOT.MAGIC2, REBOOT.POWER_OFF, 0], {
    next: "end",
    otherwise: "end",
  });
  program.label("end");
  program.call("exit_group", [1], { otherwise: "end" });
  return elfProgram(NAME, interpreterCode(DATA_AT, machine), program.assemble(), machine);
}
