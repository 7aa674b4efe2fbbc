import { runHooks } from "../container/hooks";
import { asHakoError, during, HakoError } from "../errors";
import { joinSessionKeyring } from "../linux/credentials";
import { execProgram } from "../linux/exec";
import { Fd } from "../linux/fd";
import { bringUp } from "../linux/interface";
import { NAMESPACE_FLAGS, setNamespace } from "../linux/namespace";
import { hideProcess, setParentDeathSignal, setProcessName } from "../linux/process";
import { openPty, setControllingTerminal, setWindowSize } from "../linux/pty";
import { type RlimitName, setLimit } from "../linux/rlimit";
import { accept, sendFd, writeAll } from "../linux/socket";
import { syscall, syscallOn, trySyscall } from "../linux/syscall";
import type { Process } from "../oci/config";
import { takeIdentity } from "./identity";
import { mountOverlayOfHost } from "./overlay-root";
import { environmentOf, findProgram } from "./program";
import {
  errorMessage,
  type InitMessage,
  type InitRequest,
  receiveValue,
  STAGE_NAME,
  type Stage,
  sendValue,
} from "./protocol";
import { type PreparedRootfs, prepareRootfs } from "./rootfs";

const CLONE_FS = 0x200;
const CLONE_NEWCGROUP = NAMESPACE_FLAGS.cgroup;
const F_SETFD = 2;
const FD_CLOEXEC = 1;

/** The side of the parent: sends messages, and waits for its leave to go on. */
class Parent {
  constructor(private readonly socket: Fd) {}

  request(): InitRequest {
    return (receiveValue(this.socket) ?? this.#gone()) as InitRequest;
  }

  /** Says how far we are, and waits. Without a parent nobody will ever start or delete this container: it ends. */
  reached(stage: Stage): void {
    this.#send({ stage });
    receiveValue(this.socket) ?? this.#gone();
  }

  warn(warning: string): void {
    this.#send({ warning });
  }

  fail(error: HakoError): void {
    this.#send({ error: errorMessage(error) });
  }

  leave(): void {
    this.socket.close();
  }

  #send(message: InitMessage): void {
    sendValue(this.socket, message);
  }

  #gone(): never {
    process.exit(1);
  }
}

interface Program {
  path: string;
  args: readonly string[];
  environment: string[];
}

/**
 * The container's first process until it executes the program. It runs hako's own executable in the new namespaces, with
 * a socket to `hako create`, and ends as the container's program or with an error that somebody is told.
 */
export function runInit(words: readonly string[]): never {
  const number = Number(words[0]);
  if (!Number.isInteger(number) || trySyscall("fcntl", number, F_SETFD, FD_CLOEXEC) < 0) {
    throw new HakoError({ code: "usage", message: "init is a stage of hako create, not a command" });
  }
  hideProcess();
  setProcessName(STAGE_NAME);
  const parent = new Parent(new Fd(number));
  const request = parent.request();
  const startSocket = new Fd(request.startSocket);
  let program: Program;
  try {
    const { consoleSocket, mountNamespace, cgroupFiles } = request;
    for (const fd of [request.startSocket, consoleSocket, mountNamespace, ...cgroupFiles]) {
      if (fd !== undefined) syscall("fcntl", fd, F_SETFD, FD_CLOEXEC);
    }
    program = setUp(request, parent);
  } catch (thrown) {
    parent.fail(asHakoError(thrown));
    process.exit(1);
  }
  // the parent may end as soon as it sees its socket closed
  setParentDeathSignal(0);
  parent.leave();
  waitForStart(request, startSocket, program);
}

/** All of the container but its program, in the order of runc's init. */
function setUp(request: InitRequest, parent: Parent): Program {
  const { config } = request;
  const { process: specified } = config;
  if (specified === undefined) throw new HakoError({ code: "config", message: "config /process: missing" });
  syscall("setsid");
  if (!request.noNewKeyring) joinSessionKeyring(`_ses.${request.state.id}`);
  if (request.newNetworkNamespace) during("network loopback", () => bringUp("lo"));
  const rootfs = buildRootfs(request, parent);
  parent.reached("mounted");
  runHooks("createContainer", config.hooks, {
    state: { ...request.state, pid: process.pid },
    cwd: request.bundle,
    openFiles: request.openFiles,
  });
  rootfs.enter(request.noPivot);
  if (specified.terminal === true) setUpTerminal(request, specified, rootfs);
  setHostNames(request);
  rootfs.finish();
  parent.reached("prepared");
  enterCgroups(request);
  if (request.newCgroupNamespace) syscallOn("cgroup namespace", "unshare", CLONE_NEWCGROUP);
  const environment = environmentOf(specified);
  takeIdentity(specified, (message) => parent.warn(message));
  const args = specified.args ?? [];
  const program = { path: findProgram(args[0] ?? "", environment), args, environment };
  parent.reached("ready");
  return program;
}

/**
 * Moves this thread into the container's v1 cgroups. Bun's other threads stay outside until the program is executed,
 * which ends them.
 */
function enterCgroups(request: InitRequest): void {
  for (const number of request.cgroupFiles) {
    using file = new Fd(number);
    during("join a cgroup", () => writeAll(file, "0"));
  }
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
    during("the host's files under a tmpfs", () => mountOverlayOfHost(overlay, warn));
  }
  return prepareRootfs({
    config,
    rootfs: overlay ?? rootfs,
    bundle,
    cgroup,
    newCgroupNamespace,
    userNamespace,
    warn,
  });
}

/** A terminal of the container's own devpts: standard streams, controlling terminal, /dev/console; its master goes out. */
function setUpTerminal(request: InitRequest, specified: Process, rootfs: PreparedRootfs): void {
  if (request.consoleSocket === undefined) {
    throw new HakoError({ code: "config", message: "config /process/terminal: no console socket" });
  }
  using socket = new Fd(request.consoleSocket);
  const { master, slave } = during("terminal", () => openPty("/dev/pts/ptmx"));
  using ownMaster = master;
  using ownSlave = slave;
  const size = specified.consoleSize;
  if (size !== undefined && size.width > 0 && size.height > 0) setWindowSize(slave, size);
  rootfs.bindConsole(slave);
  sendFd(socket, ownMaster, "/dev/ptmx");
  for (const stream of [0, 1, 2]) syscall("dup3", ownSlave.number, stream, 0);
  setControllingTerminal(0);
}

function setHostNames({ config }: InitRequest): void {
  const names = [
    ["sethostname", "hostname", config.hostname],
    ["setdomainname", "domainname", config.domainname],
  ] as const;
  for (const [call, field, name] of names) {
    if (name === undefined || name === "") continue;
    const bytes = Buffer.from(name);
    during(`config /${field}`, () => syscallOn(name, call, bytes, bytes.length));
  }
}

/** Waits until `hako start` connects; a failure from here on goes to it, and success closes its connection. */
function waitForStart(request: InitRequest, listener: Fd, program: Program): never {
  const connection = accept(listener);
  listener.close();
  try {
    writeAll(connection, "accepted\n");
    runHooks("startContainer", request.config.hooks, {
      state: { ...request.state, status: "created", pid: process.pid },
      cwd: ".",
      openFiles: request.openFiles,
    });
    const rlimits = request.config.process?.rlimits ?? [];
    rlimits.forEach(({ type, soft, hard }, index) => {
      const limit = { soft: BigInt.asUintN(64, BigInt(soft)), hard: BigInt.asUintN(64, BigInt(hard)) };
      during(`config /process/rlimits/${index}`, () => setLimit(0, type as RlimitName, limit));
    });
    const own = rlimits.some(({ type }) => type === "RLIMIT_NOFILE");
    execProgram(program.path, program.args, program.environment, {
      preserveFds: request.preserveFds,
      openFiles: own ? undefined : request.openFiles,
    });
  } catch (thrown) {
    writeAll(connection, JSON.stringify(errorMessage(asHakoError(thrown))));
    process.exit(1);
  }
}
