import { errnoText } from "../../base/errno";
import { asHakoError, HakoError } from "../../base/errors";
import type { CgroupEntry } from "../../cgroup";
import { stringVector } from "../../linux/call/argument-memory";
import { ACCESS, MS, O, SIG } from "../../linux/call/constants";
import { type Fd, FdList } from "../../linux/call/fd";
import type { Step } from "../../linux/call/step";
import { callerEnvironment, callerVariable } from "../../linux/file/caller-environment";
import { recvPacket } from "../../linux/file/descriptor-passing";
import { checkAccess, hasErrno, readText } from "../../linux/file/file";
import { memoryFile } from "../../linux/file/memfd";
import { openAt } from "../../linux/file/path";
import { writeAllWaiting } from "../../linux/file/stream";
import { socketPair } from "../../linux/file/unix-socket";
import { lookUpProgram } from "../../linux/process/execute";
import { NAMESPACE_FLAGS } from "../../linux/process/namespace";
import { parentDeathStep, reapChild } from "../../linux/process/process";
import { inheritSteps, replaceStep } from "../../linux/steps/child-steps";
import { cloneChild, Reports } from "../../linux/steps/clone-child";
import { logDebug } from "../../output/log";
import {
  type CriuOptions,
  type CriuResponse,
  decodeResponse,
  encodeAcknowledgement,
  encodeRequest,
  REQUEST,
  type RequestKind,
} from "./criu-message";

/** criu sends no longer message than this. */
const MAX_MESSAGE = 10 * 4096;
/** Lines that criu logs as errors without failing. */
const HARMLESS = /Can't setup RLIMIT_NOFILE for self/;
const DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** Where criu is; `program` is its name or path. */
export function findCriu(program: string): string {
  try {
    const path = lookUpProgram(program, callerVariable("PATH") ?? DEFAULT_PATH);
    checkAccess(path, ACCESS.X_OK);
    return path;
  } catch (thrown) {
    const { errno } = asHakoError(thrown);
    throw new HakoError({
      code: "unsupported",
      message: program.includes("/")
        ? asHakoError(thrown).oneLine
        : `${program}: executable file not found in $PATH`,
      hint: "install criu, which saves and restores processes: https://criu.org",
      errno,
    });
  }
}

export interface CriuPlace {
  /** criu's name or path. */
  program: string;
  /** The restored processes are born in these cgroups. */
  cgroups?: CgroupEntry;
  /** A directory that is bound onto another one, in a mount namespace that only criu sees. */
  bind?: { source: string; target: string };
  /** Descriptors that criu gets under the same numbers. */
  inherit?: readonly Fd[];
}

/** Is called with criu's notifications. An error that this throws makes criu give up. The descriptors are closed afterwards. */
export type Notified = (script: string, pid: number | undefined, fds: readonly Fd[]) => void;

/**
 * criu as a server for one client (`criu swrk`). Its command line would not do: only the server hands out the master of a container's
 * terminal, and notifies before the restored processes run.
 */
export class Criu implements Disposable {
  readonly #socket: Fd;
  /** What criu writes to standard error before it opens its log. */
  readonly #words: Fd;
  readonly pid: number;

  constructor(place: CriuPlace) {
    const program = findCriu(place.program);
    const [socket, theirs] = socketPair("socket to criu", "seqpacket");
    using sync = theirs;
    this.#socket = socket;
    this.#words = memoryFile("standard error of criu");
    try {
      this.pid = start(program, sync, this.#words, place);
    } catch (error) {
      socket.close();
      this.#words.close();
      throw error;
    }
  }

  /** Sends a request and waits until criu has done it; `log` is the file that criu logs to. */
  ask(kind: RequestKind, options: CriuOptions | undefined, log?: string, notified?: Notified): CriuResponse {
    logDebug(`criu ${kind} ${JSON.stringify(options ?? {})}`);
    this.#send(encodeRequest(kind, options));
    let refused: unknown;
    for (;;) {
      const { data, fds } = this.#receive();
      using _ = closing(fds);
      if (data.length === 0) throw refused ?? this.#failure(kind, log, undefined);
      const answer = decodeResponse(data);
      if (answer.type === REQUEST.notify && answer.notification !== undefined) {
        const { script, pid } = answer.notification;
        logDebug(`criu ${kind}: ${script}`);
        refused ??= tryNotify(notified, script, pid, fds);
        this.#send(encodeAcknowledgement(refused === undefined));
        continue;
      }
      if (refused !== undefined) throw refused;
      if (!answer.success) throw this.#failure(kind, log, answer);
      return answer;
    }
  }

  /** The error of a failed request, with the first error of criu's log: the later ones follow from it. */
  #failure(kind: RequestKind, log: string | undefined, answer: CriuResponse | undefined): HakoError {
    const logged = log === undefined ? undefined : firstError(log);
    const errno = answer === undefined || answer.errno <= 0 ? undefined : errnoText(answer.errno);
    const why =
      logged ?? (answer?.message || errno || firstError(this.#words.path)) ?? "it ended without a word";
    return new HakoError({
      code: "system",
      message: `criu ${kind}: ${why}`,
      hint: `${logged === undefined ? "" : `see ${log}; `}criu check tells what criu lacks on this kernel`,
    });
  }

  /** Sends a message. That criu has ended is no error here: `#receive` notices, and the log says why. */
  #send(message: Uint8Array): void {
    try {
      writeAllWaiting(this.#socket, message);
    } catch (error) {
      if (!hasErrno(error, "EPIPE", "ECONNRESET")) throw error;
    }
  }

  #receive(): { data: Buffer; fds: Fd[] } {
    try {
      const { data, fds } = recvPacket(this.#socket, MAX_MESSAGE);
      return { data: Buffer.from(data), fds };
    } catch (error) {
      if (!hasErrno(error, "ECONNRESET")) throw error;
      return { data: Buffer.alloc(0), fds: [] };
    }
  }

  /** Waits for criu's end. After a pre-dump criu waits for more requests, so its socket is closed first. */
  [Symbol.dispose](): void {
    this.#socket.close();
    this.#words.close();
    reapChild(this.pid, true);
  }
}

function closing(fds: readonly Fd[]): FdList {
  const list = new FdList();
  for (const fd of fds) list.add(fd);
  return list;
}

function tryNotify(notified: Notified | undefined, ...args: Parameters<Notified>): unknown {
  try {
    notified?.(...args);
    return undefined;
  } catch (error) {
    return error;
  }
}

function start(program: string, socket: Fd, words: Fd, place: CriuPlace): number {
  const args = stringVector(["criu", "swrk", String(socket.number)]);
  const environment = stringVector(
    callerVariable("PATH") === undefined
      ? [`PATH=${DEFAULT_PATH}`, ...callerEnvironment()]
      : callerEnvironment(),
  );
  using files = new FdList();
  for (const file of place.cgroups?.self ?? []) files.add(openAt(undefined, file, O.WRONLY));
  const { born } = place.cgroups ?? {};
  using cgroup = born === undefined ? undefined : openAt(undefined, born, O.DIRECTORY);
  const steps: Step[] = [
    parentDeathStep(SIG.KILL),
    ...files.all.map((file): Step => ({ what: "join a cgroup", call: "write", args: [file.number, "0", 1] })),
    ...bindSteps(place),
    replaceStep("standard error", 2, words),
    ...inheritSteps(0, [socket, ...(place.inherit ?? [])]),
    {
      what: `execve of ${program}`,
      call: "execve",
      args: [program, args, environment],
    },
  ];
  using reports = new Reports(steps);
  const flags = place.bind === undefined ? 0 : NAMESPACE_FLAGS.mount;
  const pid = cloneChild({ flags, cgroup, steps, waitsForNothing: true }, reports);
  // it has executed by now, or failed to
  const failed = reports.failure();
  if (failed === undefined) return pid;
  reapChild(pid, true);
  throw failed;
}

/** Steps that bind a directory for criu alone, in a mount namespace of its own: the mount ends with criu, however criu ends. */
function bindSteps({ bind }: CriuPlace): Step[] {
  if (bind === undefined) return [];
  const { source, target } = bind;
  return [
    { what: "mount / as slave", call: "mount", args: [0, "/", 0, MS.REC | MS.SLAVE, 0] },
    {
      what: `bind ${source} on ${target}`,
      call: "mount",
      args: [source, target, 0, MS.BIND | MS.REC, 0],
    },
  ];
}

function firstError(log: string): string | undefined {
  try {
    // "(00.012345)      1: Error (criu/mount.c:1088): mnt: ..."
    const lines = readText(log).matchAll(/^.*\bError \([^)]*\): *(.+)$/gm);
    // lines from before criu opened its log may hold NUL bytes
    const texts = [...lines].map(([, text = ""]) => text.replaceAll("\0", "").trim());
    return texts.find((text) => !HARMLESS.test(text));
  } catch {
    return undefined;
  }
}
