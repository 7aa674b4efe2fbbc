import { type HookProgram, runHooks } from "../container/hooks";
import { asHakoError, during, HakoError } from "../errors";
import { bytesOf } from "../linux/bytes";
import { sessionKeyringSteps } from "../linux/credentials";
import { Fd } from "../linux/fd";
import { bringUp } from "../linux/interface";
import { NAMESPACE_FLAGS, setNamespace } from "../linux/namespace";
import { setParentDeathSignal } from "../linux/process";
import { setControllingTerminal } from "../linux/pty";
import { unboundStep } from "../linux/scheduler";
import { hasListener } from "../linux/seccomp";
import { accept, writeAll } from "../linux/socket";
import { perform } from "../linux/steps";
import { syscall, syscallOn } from "../linux/syscall";
import type { Process } from "../oci/config";
import { keepsGroups } from "../oci/groups";
import { hasNamespace } from "../oci/namespaces";
import { applyScheduler } from "./attributes";
import { errorMessage } from "./error-message";
import { becomeProgram, enterCgroups, type Program, prepareProgram, rehearse } from "./final";
import { applyLabels } from "./labels";
import type { Parent } from "./parent";
import type { InitRequest } from "./protocol";
import { type PreparedRootfs, prepareRootfs } from "./rootfs";
import { ACCEPTED } from "./stage-name";
import { setUpTerminal } from "./terminal";

const CLONE_FS = 0x200;
const CLONE_NEWCGROUP = NAMESPACE_FLAGS.cgroup;

/** Makes the container around this process, and waits for start. */
export function runContainerStage(request: InitRequest, parent: Parent): never {
  const startSocket = new Fd(request.startSocket, "socket that start connects to");
  const { process } = request.config;
  if (process === undefined) throw new HakoError({ code: "config", message: "config /process: missing" });
  const program = setUp(request, process, parent);
  // the parent may end as soon as it sees its socket closed
  setParentDeathSignal(0);
  parent.leave();
  waitForStart(request, process, startSocket, program);
}

/** All of the container but its program, in the order of runc's init. */
function setUp(request: InitRequest, specified: Process, parent: Parent): Program {
  const { config } = request;
  const cgroupFiles = parent.descriptors(request.cgroupFiles);
  syscall("setsid");
  if (!request.noNewKeyring) perform(sessionKeyringSteps(`_ses.${request.state.id}`));
  if (request.newNetworkNamespace) during("network loopback", () => bringUp("lo"));
  if (request.newTimeNamespace) {
    const { makeTimeNamespace } = require("./time-offsets") as typeof import("./time-offsets");
    makeTimeNamespace(config.linux?.timeOffsets);
  }
  if (request.joinsFirst) enterCgroups(cgroupFiles);
  const rootfs = buildRootfs(request, parent);
  const filter = parent.filter();
  parent.reached("mounted");
  runHooks("createContainer", config.hooks, {
    state: { ...request.state, pid: process.pid },
    // as with runc: their paths in the container's file system are relative ones
    cwd: request.overlay ?? request.rootfs,
    openFiles: request.openFiles,
  });
  rootfs.enter(request.noPivot);
  if (specified.terminal === true) {
    setUpTerminal(request.consoleSocket, specified, (slave) => rootfs.bindConsole(slave));
    setControllingTerminal(0);
  }
  setHostNames(request);
  rootfs.finish();
  parent.reached("prepared");
  if (!request.joinsFirst) enterCgroups(cgroupFiles);
  // what the caller is bound to is nothing to the program
  perform([unboundStep()]);
  if (request.newCgroupNamespace) syscallOn("cgroup namespace", "unshare", CLONE_NEWCGROUP);
  applyLabels(specified);
  applyScheduler(specified, 0);
  const program = prepareProgram(specified, {
    linux: config.linux,
    filter,
    keepsGroups: keepsGroups(config),
    warn: (message) => parent.warn(message),
  });
  parent.reached("ready");
  return program;
}

function buildRootfs(request: InitRequest, parent: Parent): PreparedRootfs {
  const { config, bundle, rootfs, overlay, cgroup, newCgroupNamespace, userNamespace, mountNamespace } =
    request;
  const warn = (message: string) => parent.warn(message);
  if (mountNamespace !== undefined) {
    using namespace = new Fd(mountNamespace);
    syscall("unshare", CLONE_FS);
    setNamespace(namespace, "mount");
  }
  if (overlay !== undefined) {
    const { mountOverlayOfHost } = require("./overlay-root") as typeof import("./overlay-root");
    during("the host's files under a tmpfs", () => mountOverlayOfHost(overlay, warn));
  }
  return prepareRootfs({
    config,
    rootfs: overlay ?? rootfs,
    bundle,
    cgroup,
    newCgroupNamespace,
    userNamespace,
    mountNamespace: hasNamespace(config, "mount"),
    mappedMounts: new Map(
      request.mappedMounts.map(([index, fd]) => [index, new Fd(fd, `source of mount ${index}`)]),
    ),
    bindSources: parent.numbered(request.bindSources),
    madeDevices: parent.numbered(request.madeDevices),
    warn,
  });
}

function setHostNames({ config }: InitRequest): void {
  const names = [
    ["sethostname", "hostname", config.hostname],
    ["setdomainname", "domainname", config.domainname],
  ] as const;
  for (const [call, field, name] of names) {
    if (name === undefined || name === "") continue;
    const bytes = bytesOf(name);
    during(`config /${field}`, () => syscallOn(name, call, bytes, bytes.length));
  }
}

/** Waits until `hako start` connects; a failure from here on goes to it, and success closes its connection. */
function waitForStart(request: InitRequest, specified: Process, listener: Fd, program: Program): never {
  try {
    rehearse(specified, program, listener, request);
  } catch {
    // it fails again, and then somebody is there to hear it
  }
  const connection = accept(listener);
  listener.close();
  try {
    writeAll(connection, ACCEPTED);
    runHooks("startContainer", request.config.hooks, {
      state: { ...request.state, status: "created", pid: process.pid },
      cwd: ".",
      openFiles: request.openFiles,
      program: hookProgram(program),
    });
    becomeProgram(specified, program, connection, request);
  } catch (thrown) {
    tell(connection, asHakoError(thrown));
    process.exit(1);
  }
}

function hookProgram({ environment, filter, last }: Program): HookProgram {
  const filtered = filter === undefined || hasListener(filter) ? undefined : { filter, last };
  return { environment, filtered };
}

function tell(connection: Fd, error: HakoError): void {
  try {
    writeAll(connection, JSON.stringify(errorMessage(error)));
  } catch {
    // nobody is there to hear it: start was killed
  }
}
