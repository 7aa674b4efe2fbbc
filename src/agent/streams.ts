import { LARGEST_DATA } from "../drivers/vm/channel/stream-frames";
import { F, O } from "../linux/call/constants";
import { Fd, FdList } from "../linux/call/fd";
import { syscallOn } from "../linux/call/syscall";
import { recvFd } from "../linux/file/descriptor-passing";
import { Pipe } from "../linux/file/pipe";
import { socketPair } from "../linux/file/unix-socket";
import { errorsGoTo } from "../output/standard-error";

const ERROR = 2;

/** This process's ends of what a program has as its standard streams; reading and writing never waits. */
export interface ProgramStreams {
  input: Fd;
  output: Fd;
  /** A terminal has none of its own. */
  error?: Fd | undefined;
}

/** Makes a process that has a terminal, whose master `make` sends over a socket; the master is both streams. */
export function withTerminal<T>(make: (consoleSocket: Fd) => T): { result: T; streams: ProgramStreams } {
  const [ours, theirs] = socketPair("socket for the terminal");
  using receiver = ours;
  using sender = theirs;
  const result = make(sender);
  const { fd: output } = recvFd(receiver);
  syscallOn("terminal", "fcntl", output.number, F.SETFL, O.RDWR | O.NONBLOCK);
  const input = new Fd(syscallOn("terminal", "fcntl", output.number, F.DUPFD_CLOEXEC, 0), "terminal");
  return { result, streams: { input, output } };
}

/** Makes pipes, which are this process's standard streams while `action` makes a process that inherits them. */
export function withStreams<T>(action: () => T): { result: T; streams: ProgramStreams } {
  using kept = new FdList();
  const pipes = ["input", "output", "error"].map((name) => new Pipe(`standard ${name}`));
  const [input, output, error] = pipes as [Pipe, Pipe, Pipe];
  const theirs = [input.read, output.write, error.write];
  const streams = { input: input.write, output: output.read, error: error.read };
  const before = theirs.map((_, number) => {
    const copy = new Fd(syscallOn("standard stream", "fcntl", number, F.DUPFD_CLOEXEC, ERROR + 1));
    kept.add(copy);
    return copy;
  });
  const lead = (from: Fd, to: number) => syscallOn(from.name, "dup3", from.number, to, 0);
  try {
    for (const fd of Object.values(streams)) syscallOn(fd.name, "fcntl", fd.number, F.SETFL, O.NONBLOCK);
    for (const fd of [output.read, error.read])
      syscallOn(fd.name, "fcntl", fd.number, F.SETPIPE_SZ, LARGEST_DATA);
    // the console is where what hako has to say goes
    errorsGoTo(before[ERROR]?.number ?? ERROR);
    theirs.forEach(lead);
    return { result: action(), streams };
  } catch (thrown) {
    for (const fd of Object.values(streams)) fd.close();
    throw thrown;
  } finally {
    before.forEach(lead);
    errorsGoTo(ERROR);
    for (const fd of theirs) fd.close();
  }
}
