import { asHakoError, HakoError } from "../errors";
import { returnToWorkingDirectory } from "../linux/clean-start";
import { Fd } from "../linux/fd";
import { hasErrno } from "../linux/file";
import { hideProcess, setProcessName } from "../linux/process";
import { statusOf } from "../linux/stat";
import { syscall, syscallOn } from "../linux/syscall";
import { runContainerStage } from "./container-stage";
import { Parent } from "./parent";
import { STAGE_NAME } from "./stage-name";

const F_SETFD = 2;
const FD_CLOEXEC = 1;

/** The socket to the command that made this process; who calls it by hand has none. */
function socketOf(word: string | undefined): Fd {
  const number = Number(word);
  try {
    if (Number.isInteger(number)) {
      syscall("fcntl", number, F_SETFD, FD_CLOEXEC);
      if (statusOf(new Fd(number)).type === "socket") return new Fd(number, "socket to the command");
    }
  } catch (error) {
    // the command, if there is one, sees our end
    if (!hasErrno(error, "EBADF")) process.exit(1);
  }
  throw new HakoError({ code: "usage", message: "init is a stage of hako create, not a command" });
}

/**
 * A process of a container until it executes its program. It runs hako's own executable in the container's namespaces, with
 * a socket to the command that made it, and ends as the program or with an error that somebody is told.
 */
export function runInit(words: readonly string[]): never {
  const parent = new Parent(socketOf(words[0]));
  try {
    returnToWorkingDirectory();
    hideProcess();
    setProcessName(STAGE_NAME);
    const request = parent.request();
    const { consoleSocket, mountNamespace, startSocket, mappedMounts } = request;
    const own = [startSocket, ...mappedMounts.map(([, fd]) => fd)];
    for (const fd of [...own, consoleSocket, mountNamespace]) {
      if (fd !== undefined) syscallOn(`descriptor ${fd}`, "fcntl", fd, F_SETFD, FD_CLOEXEC);
    }
    return runContainerStage(request, parent);
  } catch (thrown) {
    parent.fail(asHakoError(thrown));
    process.exit(1);
  }
}
