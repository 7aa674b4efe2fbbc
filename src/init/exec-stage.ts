import { SYS_ADMIN } from "../linux/capabilities";
import { joinSessionKeyring } from "../linux/credentials";
import { Fd } from "../linux/fd";
import { setNamespace } from "../linux/namespace";
import { syscall } from "../linux/syscall";
import { applyInitialAffinity } from "./attributes";
import { prepareProgram } from "./final";
import { applyLabels } from "./labels";
import { launchProgram } from "./launch";
import type { Parent } from "./parent";
import type { ExecRequest } from "./protocol";
import { setUpTerminal } from "./terminal";

const CLONE_FS = 0x200;

/**
 * Starts a program beside those of a container that runs, in whose other namespaces this process was born. It stays out of
 * the pid namespace itself: there the container could look into it while the host's files are still in its reach.
 */
export function runExecStage(request: ExecRequest, parent: Parent): never {
  const { process: specified, linux, filter, id, mountNamespace, root, consoleSocket } = request;
  applyInitialAffinity(specified);
  // the caller's terminal is not for us
  syscall("setsid");
  // the container's own, by its name
  if (!request.noNewKeyring) joinSessionKeyring(`_ses.${id}`);
  applyLabels(specified, true);
  if (mountNamespace !== undefined) {
    using namespace = new Fd(mountNamespace);
    syscall("unshare", CLONE_FS);
    setNamespace(namespace, "mount");
  }
  if (root !== undefined) {
    using directory = new Fd(root, "the container's root");
    syscall("fchdir", directory.number);
    syscall("chroot", ".");
    syscall("chdir", "/");
  }
  if (specified.terminal === true) setUpTerminal(consoleSocket, specified, () => undefined);
  const program = prepareProgram(specified, {
    linux,
    filter,
    // for the pid namespace
    kept: request.pidNamespace === undefined ? 0n : SYS_ADMIN,
    warn: (message) => parent.warn(message),
  });
  launchProgram(request, program, parent);
}
