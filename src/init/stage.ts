import { asHakoError, HakoError } from "../errors";
import { Fd } from "../linux/fd";
import { hideProcess, setProcessName } from "../linux/process";
import { statusOf } from "../linux/stat";
import { syscall, trySyscall } from "../linux/syscall";
import { Parent } from "./parent";
import { STAGE_NAME } from "./protocol";

const F_SETFD = 2;
const FD_CLOEXEC = 1;

/**
 * A process of a container until it executes its program. It runs hako's own executable in the container's namespaces, with
 * a socket to the command that made it, and ends as the program or with an error that somebody is told.
 */
export function runInit(words: readonly string[]): never {
  const number = Number(words[0]);
  const isOpen = Number.isInteger(number) && trySyscall("fcntl", number, F_SETFD, FD_CLOEXEC) === 0;
  const socket = isOpen ? new Fd(number) : undefined;
  if (socket === undefined || statusOf(socket).type !== "socket") {
    throw new HakoError({ code: "usage", message: "init is a stage of hako create, not a command" });
  }
  const parent = new Parent(socket);
  try {
    hideProcess();
    setProcessName(STAGE_NAME);
    const request = parent.request();
    const { consoleSocket, mountNamespace, cgroupFiles } = request;
    const own =
      request.kind === "init"
        ? [request.startSocket, ...request.mappedMounts.map(([, fd]) => fd)]
        : [request.root, request.pidNamespace];
    for (const fd of [...own, consoleSocket, mountNamespace, ...cgroupFiles]) {
      if (fd !== undefined) syscall("fcntl", fd, F_SETFD, FD_CLOEXEC);
    }
    // each loads only what it needs: this is time that every start takes
    if (request.kind === "init") {
      const { runContainerStage } = require("./container-stage") as typeof import("./container-stage");
      return runContainerStage(request, parent);
    }
    const { runExecStage } = require("./exec-stage") as typeof import("./exec-stage");
    return runExecStage(request, parent);
  } catch (thrown) {
    parent.fail(asHakoError(thrown));
    process.exit(1);
  }
}
