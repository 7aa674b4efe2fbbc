import { joinSessionKeyring } from "../linux/credentials";
import { Fd } from "../linux/fd";
import { setNamespace } from "../linux/namespace";
import { setParentDeathSignal } from "../linux/process";
import { syscall } from "../linux/syscall";
import { applyAffinity } from "./attributes";
import { becomeProgram, enterCgroups, prepareProgram } from "./final";
import type { Parent } from "./parent";
import type { ExecRequest } from "./protocol";
import { setUpTerminal } from "./terminal";

const CLONE_FS = 0x200;

/** Becomes a program beside those of a container that runs, in whose other namespaces this process was born. */
export function runExecStage(request: ExecRequest, parent: Parent): never {
  const { process: specified, id, mountNamespace, root, consoleSocket } = request;
  applyAffinity(specified, "initial");
  syscall("setsid");
  // the container's own, by its name
  if (!request.noNewKeyring) joinSessionKeyring(`_ses.${id}`);
  if (mountNamespace !== undefined) {
    using namespace = new Fd(mountNamespace);
    syscall("unshare", CLONE_FS);
    setNamespace(namespace, "mount");
  }
  if (root !== undefined) {
    using directory = new Fd(root);
    syscall("fchdir", directory.number);
    syscall("chroot", ".");
    syscall("chdir", "/");
  }
  if (specified.terminal === true) setUpTerminal(consoleSocket, specified, () => undefined);
  parent.reached("prepared");
  enterCgroups(request.cgroupFiles);
  applyAffinity(specified, "final");
  const program = prepareProgram(specified, request.linux, request.filter, (message) => parent.warn(message));
  parent.reached("ready");
  setParentDeathSignal(0);
  // the socket closes by itself when the program is executed, and tells of a failure until then
  becomeProgram(specified, program, parent.socket, request);
}
