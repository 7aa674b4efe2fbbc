import { during } from "../../base/errors";
import type { UndoStack } from "../../base/undo";
import { sendFd } from "../../linux/file/descriptor-passing";
import { removeFile, renameFile, writeNewText } from "../../linux/file/file";
import { dirname, join } from "../../linux/file/path-text";
import { unixConnect } from "../../linux/file/unix-socket";
import { openProcess } from "../../linux/process/process";
import type { ProcessRecord } from "../../state/record";

/** Where callers want to learn of a container's process. */
export interface PidReceivers {
  pidFile: string | undefined;
  /** The path of a listening unix socket that gets a pidfd of the process. */
  pidfdSocket: string | undefined;
}

/** Tells callers of a process: writes the pid file, and sends a pidfd with `kind`, runc's word for what the process is. */
export function announcePid(
  { pidFile, pidfdSocket }: PidReceivers,
  { pid, startTime }: ProcessRecord,
  kind: "standard" | "setns",
  undo: UndoStack,
): void {
  if (pidfdSocket !== undefined) {
    during(`--pidfd-socket ${pidfdSocket}`, () => {
      using socket = unixConnect(pidfdSocket);
      using process = openProcess(pid, startTime);
      if (process !== undefined) sendFd(socket, process, kind);
    });
  }
  if (pidFile !== undefined) writePidFile(pidFile, pid, undo);
}

/** Writes the decimal pid without a newline. The file appears with its whole content, for callers wait for it to appear. */
function writePidFile(file: string, pid: number, undo: UndoStack): void {
  const temporary = join(dirname(file), `.${process.pid}.hako-pid`);
  during(`pid file ${file}`, () => {
    try {
      // in a directory such as /tmp somebody may have put a link there
      removeFile(temporary);
      writeNewText(temporary, String(pid), 0o644);
      renameFile(temporary, file);
    } catch (error) {
      removeFile(temporary);
      throw error;
    }
  });
  undo.defer(`pid file ${file}`, () => removeFile(file));
}
