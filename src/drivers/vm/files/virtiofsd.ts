import { O } from "../../../linux/call/constants";
import type { Fd } from "../../../linux/call/fd";
import { removeFile } from "../../../linux/file/file";
import { openAt } from "../../../linux/file/path";
import { socketPair, unixConnect, unixListen } from "../../../linux/file/unix-socket";
import { capabilityMask } from "../../../linux/process/capabilities";
import { startTimeOf } from "../../../linux/process/process";
import { getLimit } from "../../../linux/process/rlimit";
import { logDebug } from "../../../output/log";
import type { ProcessRecord } from "../../../state/record";
import { startConfined } from "../confined/confined-process";
import { TREES } from "../confined/confined-root";
import { filesOfProgram } from "../confined/program-files";
import type { FoundVirtiofsd } from "./find-virtiofsd";
import { type Cache, virtiofsdArguments } from "./virtiofsd-arguments";

/** What root of a container may do with files; and what it takes to have the trees as root directory, and to give all else up. */
const RIGHTS = capabilityMask(
  [
    ...["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_SETGID", "CAP_SETUID", "CAP_MKNOD"],
    ...["CAP_SETFCAP", "CAP_SYS_CHROOT", "CAP_SETPCAP"],
  ],
  () => undefined,
);
const MOST_FILES = 1_000_000n;

/** A server of files, and what QEMU is to have of it. */
export class StartedVirtiofsd implements Disposable {
  /** `life` is a socket whose other end nobody has but virtiofsd: when that ends it is closed. Virtiofsd ends when nobody has `socket` any more. */
  constructor(
    readonly process: ProcessRecord,
    readonly socket: Fd,
    readonly life: Fd,
  ) {}

  [Symbol.dispose](): void {
    this.socket.close();
    this.life.close();
  }
}

/**
 * Starts virtiofsd, confined, with a place for trees of files, out of which nothing leads that its guest says. It goes on when this process has
 * ended, and ends when nobody asks it any more. `place` is a path that is free, for a moment; `words` gets what it writes.
 */
export function startVirtiofsd(
  { path, kind }: FoundVirtiofsd,
  { cache, place, words }: { cache: Cache; place: string; words: string },
): StartedVirtiofsd {
  using listening = unixListen(place);
  // it is connected before it is served: who has the one end has ended if the other is closed
  const socket = unixConnect(place);
  removeFile(place);
  const [life, held] = socketPair("life of virtiofsd");
  using _ = held;
  using output = openAt(undefined, words, O.WRONLY | O.CREAT | O.EXCL | O.APPEND, 0o600);
  const { hard } = getLimit(0, "RLIMIT_NOFILE");
  const openFiles = hard < MOST_FILES ? hard : MOST_FILES;
  const args = virtiofsdArguments(kind, { socketFd: listening.number, cache, openFiles }, TREES);
  logDebug(`${path} ${args.join(" ")}`);
  try {
    const pid = startConfined({
      path,
      words: args,
      root: { files: filesOfProgram(path), devices: [], trees: true },
      output,
      descriptors: [listening, held],
      rights: RIGHTS,
      // files are made as the user who makes them, of whose additional groups QEMU's is not told: the guest's kernel has compared rights
      keepsRights: true,
      endsWithMaker: false,
    });
    return new StartedVirtiofsd({ pid, startTime: startTimeOf(pid) }, socket, life);
  } catch (error) {
    socket.close();
    life.close();
    throw error;
  }
}
