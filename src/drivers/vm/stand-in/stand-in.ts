import { openOutput } from "../../../linux/attendant/attendant-output";
import { Fd, type FdList } from "../../../linux/call/fd";
import { filledProgram } from "../../../linux/steps/template";
import type { ProgramInMemory } from "../../interface/driver";
import { AT_ONCE, standInProgram } from "./stand-in-rows";

const NAME = "hako:stand-in";
const [OUTPUT, ERROR] = [1, 2];

/**
 * The program of a process that stands on the host for one in a machine; `socket` leads to the agent. It has this process's standard streams:
 * what others have open too is not made non-blocking, but opened anew. `owned` closes what is opened. With `terminal` it gets a terminal of its own
 * in their place. `figures` is a file for what the container has used, `stops` an eventfd(2) of somebody's who wants to know when the program was stopped.
 */
export function standIn(
  socket: Fd,
  owned: FdList,
  terminal: boolean,
  { figures, stops }: { figures?: Fd; stops?: Fd | undefined } = {},
): ProgramInMemory {
  if (figures !== undefined) owned.add(figures);
  const streams = [OUTPUT, ERROR].map((number) => {
    if (terminal) return { fd: number, isSocket: 0, atOnce: AT_ONCE.all };
    const { fd, immediate, socket: isSocket } = openOutput(number);
    if (fd !== number) owned.add(new Fd(fd, "standard output"));
    return { fd, isSocket: isSocket ? 1 : 0, atOnce: immediate ? AT_ONCE.all : AT_ONCE.little };
  });
  const [output, error] = streams as [(typeof streams)[0], (typeof streams)[0]];
  const file = filledProgram(NAME, standInProgram(process.arch), {
    socket: socket.number,
    figures: figures?.number ?? -1,
    stops: stops?.number ?? -1,
    output: output.fd,
    outputIsSocket: output.isSocket,
    outputAtOnce: output.atOnce,
    error: error.fd,
    errorIsSocket: error.isSocket,
    errorAtOnce: error.atOnce,
    terminal: terminal ? 1 : 0,
  });
  owned.add(file);
  return {
    file,
    descriptors: [socket, ...(stops === undefined ? [] : [stops]), ...owned.all.filter((fd) => fd !== file)],
  };
}
