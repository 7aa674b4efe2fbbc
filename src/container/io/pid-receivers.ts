import { during } from "../../base/errors";
import type { UndoStack } from "../../base/undo";
import { sendFd } from "../../linux/file/descriptor-passing";
import { removeFile, renameFile, writeNewText } from "../../linux/file/file";
import { dirname, join } from "../../linux/file/path-text";
import { unixConnect } from "../../linux/file/unix-socket";
import { openProcess } from "../../linux/process/process";
import type { ProcessRecord } from "../../state/record";

/** Who asked for a process. */
export interface PidReceivers {
  pidFile: string | undefined;
  /** A listening unix socket that gets a descriptor of the process. */
  pidfdSocket: string | undefined;
}

/** Gives a process to those who asked for it: in the pid file, and as a descriptor under runc's name for its kind. */
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

/** The decimal pid without a newline, complete from the first moment that the file is there: callers wait for it. */
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
