import { HakoError } from "../base/errors";
import { type Fd, FdList } from "../linux/call/fd";
import { pollAny, type Watched } from "../linux/file/poll";
import { exitInfo } from "../linux/process/exit-info";
import { type Ending, endingOf, openProcess } from "../linux/process/process";
import type { ContainerId } from "../oci/id";
import { type Container, readContainer } from "../state/record";
import { type Ended, endedAs, howItEnded, noteEnd, toldEnd, unreaped } from "./ended";
import { statusOf } from "./status";

/** Loaded on first use. */
const rare = {
  get programEnd() {
    return require("../state/program-end") as typeof import("../state/program-end");
  },
};

interface Waiting {
  container: Container;
  /** Its first process; undefined if that has ended. */
  process: Fd | undefined;
  /** What that one says of the program, if it is hako's own; open, for the container may be deleted with its end. */
  programEnd: Fd | undefined;
}

/**
 * Waits until all of these containers have ended, and tells of each in turn how it did. What doesn't exist is refused before. False where the
 * lifeline, a pipe, a socket or a pidfd, has ended before.
 */
export function waitForContainers(
  root: string,
  ids: readonly ContainerId[],
  tell: (id: ContainerId, ended: Ended) => void,
  lifeline?: Fd,
): boolean {
  using open = new FdList();
  const waiting: Waiting[] = ids.map((id) => {
    const container = readContainer(root, id);
    if (statusOf(container) === "creating") throw beingMade(id);
    const { init } = container.record;
    const process = init === undefined ? undefined : openProcess(init.pid, init.startTime);
    const end = process && container.record.ownInit ? rare.programEnd.openProgramEnd(root, id) : undefined;
    for (const fd of [process, end]) if (fd !== undefined) open.add(fd);
    return { container, process, programEnd: end };
  });
  for (const each of waiting) {
    if (!hasEnded(each, lifeline)) return false;
    tell(each.container.record.id, endOf(each));
  }
  return true;
}

function hasEnded({ process }: Waiting, lifeline: Fd | undefined): boolean {
  if (process === undefined) return true;
  const fds = lifeline === undefined ? [process] : [process, lifeline];
  const watched = fds.map((fd): Watched => ({ fd, for: "read" }));
  return pollAny(watched, Number.POSITIVE_INFINITY)[0] === true;
}

function beingMade(id: ContainerId): HakoError {
  const message = `container "${id}" is still being made`;
  return new HakoError({ code: "state", message, hint: "wait for it when create has come back" });
}

function endOf({ container, process, programEnd }: Waiting): Ended {
  if (process === undefined) return howItEnded(container);
  const told = programEnd === undefined ? toldEnd(container) : rare.programEnd.toldProgramEnd(programEnd);
  const finished = told?.finished ?? new Date().toISOString();
  const ending = told ?? endingSeen(container, process);
  // before a foreground run removes its cgroup
  const ended = endedAs(container, ending);
  if (ending === undefined) return ended;
  noteEnd(container, ending, finished);
  return { ...ended, finished };
}

/** How a process that has ended did: as its parent leaves it to be reaped, or has just reaped it. */
function endingSeen(container: Container, process: Fd): Ending | undefined {
  const word = unreaped(container) ?? exitInfo(process);
  return word === undefined ? undefined : endingOf(word);
}
