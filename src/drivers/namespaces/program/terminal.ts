import { during, HakoError } from "../../../base/errors";
import { prepared } from "../../../base/undo";
import type { Fd } from "../../../linux/call/fd";
import { syscallOn } from "../../../linux/call/syscall";
import { sendFd } from "../../../linux/file/descriptor-passing";
import { openPty, setWindowSize } from "../../../linux/terminal/pty";
import type { Process } from "../../../oci/config";

/**
 * A terminal of the container's own devpts for standard streams; its master goes out through the socket. `bind` gets the
 * slave before the streams do. The session that shall have it as controlling terminal takes it.
 */
export function setUpTerminal(socket: Fd | undefined, specified: Process, bind: (slave: Fd) => void): void {
  if (socket === undefined) throw noConsoleSocket();
  using _ = socket;
  using slave = openTerminal(socket, specified, bind);
  for (const stream of [0, 1, 2]) syscallOn("terminal", "dup3", slave.number, stream, 0);
}

export function noConsoleSocket(): HakoError {
  return new HakoError({ code: "config", message: "config /process/terminal: no console socket" });
}

/** The slave of a new terminal whose master goes out through the socket; the container's root is `root`, or ours. */
export function openTerminal(socket: Fd, specified: Process, bind: (slave: Fd) => void, root?: Fd): Fd {
  const { master, slave } = during("terminal", () => openPty("/dev/pts/ptmx", root));
  using ownMaster = master;
  return prepared(slave, () => {
    const size = specified.consoleSize;
    if (size !== undefined && size.width > 0 && size.height > 0) setWindowSize(slave, size);
    bind(slave);
    sendFd(socket, ownMaster, "/dev/ptmx");
  });
}
