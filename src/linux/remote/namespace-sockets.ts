import { HakoError } from "../../base/errors";
import { AF, AT, MSG, O, SOCK } from "../call/constants";
import { type Fd, FdList } from "../call/fd";
import type { Step } from "../call/step";
import { stepError } from "../call/walk";
import { descriptorMessage, MAX_FDS, recvFds } from "../file/descriptor-passing";
import { socketPair } from "../file/unix-socket";
import { netlinkSocketStep } from "../network/netlink";
import { NAMESPACE_FLAGS } from "../process/namespace";
import { reapChild } from "../process/process";
import { cloneChild, Reports } from "../steps/clone-child";

/**
 * A socket belongs to the network namespace of the process that makes it, wherever its descriptor goes. So a child joins the namespace, makes
 * sockets, sends them home, and ends: nothing of hako's is in there.
 */

/** Which network namespace: a process's, one that a descriptor is of, or a new one. With `user` the process's user namespace is joined first. */
export interface SocketPlace {
  /** A descriptor of the process (pidfd_open(2)). */
  process: Fd;
  user: boolean;
  network: "its own" | "new" | Fd;
}

/** What is opened there: sockets by the arguments of socket(2), and the namespace itself. */
export type Opened = readonly [family: number, type: number, protocol: number] | "namespace" | "netlink";

/** Opens things in a network namespace; all of them are close-on-exec. */
export function openInNamespace(place: SocketPlace, wanted: readonly Opened[]): Fd[] {
  const all = new FdList();
  try {
    // a new namespace has no second child
    const most = place.network === "new" ? wanted.length : MAX_FDS;
    for (let start = 0; start < wanted.length; start += most)
      for (const fd of openSome(place, wanted.slice(start, start + most))) all.add(fd);
    return all.all;
  } catch (error) {
    all[Symbol.dispose]();
    throw error;
  }
}

function openSome(place: SocketPlace, wanted: readonly Opened[]): Fd[] {
  if (wanted.length > MAX_FDS) throw new Error(`${wanted.length} descriptors in one message`);
  const [home, away] = socketPair("sockets of a namespace");
  using receiver = home;
  using sender = away;
  using reports = new Reports([]);
  const steps = stepsOf(place, wanted, sender.number, reports.number);
  const plan = { flags: 0, cgroup: undefined, steps, waitsForNothing: !place.user };
  const ending = reapChild(cloneChild(plan, reports), true);
  const failed = reports.next();
  if (failed !== undefined) throw stepError(steps, failed);
  sender.close();
  const fds = recvFds(receiver, wanted.length);
  if (fds.length === wanted.length) return fds;
  for (const fd of fds) fd.close();
  const how = ending?.signal === undefined ? `status ${ending?.status}` : `signal ${ending.signal}`;
  throw new HakoError({ code: "system", message: `the process that joins a namespace has ended: ${how}` });
}

/** What the child does, which has a table of descriptors of its own. */
function stepsOf(place: SocketPlace, wanted: readonly Opened[], home: number, reports: number): Step[] {
  const kept = [home, reports].sort((one, other) => one - other);
  const opened: number[] = [];
  for (let number = FIRST_FREE; opened.length < wanted.length; number++)
    if (!kept.includes(number)) opened.push(number);
  return [
    ...joinSteps(place),
    // numbers are known then: the kernel takes the lowest
    ...gapsBetween(kept).map(([first, last]) => ({
      ...{ what: "close_range", call: "close_range" as const, args: [first, last, 0] },
    })),
    ...wanted.map((each, index) => ({ ...openStep(each), success: { exactly: opened[index] ?? 0 } })),
    { what: "sendmsg", call: "sendmsg", args: [home, descriptorMessage(...opened), MSG.NOSIGNAL] },
    { what: "exit", call: "exit_group", args: [0] },
  ];
}

const FIRST_FREE = 3;
const LAST = 0xffffffff;

/** The ranges of numbers from the first that may be closed on without these. */
function gapsBetween(kept: readonly number[]): [first: number, last: number][] {
  const starts = [FIRST_FREE, ...kept.map((number) => number + 1)];
  const ends = [...kept.map((number) => number - 1), LAST];
  return starts.flatMap((first, index): [number, number][] => {
    const last = ends[index] ?? LAST;
    return first <= last ? [[first, last]] : [];
  });
}

function joinSteps({ process, user, network }: SocketPlace): Step[] {
  const what = "join the container's network namespace: setns";
  const join = (fd: Fd, flags: number): Step => ({ what, call: "setns", args: [fd.number, flags] });
  const ofUser = user ? NAMESPACE_FLAGS.user : 0;
  if (network === "its own") return [join(process, ofUser | NAMESPACE_FLAGS.network)];
  const first = user ? [join(process, ofUser)] : [];
  if (network !== "new") return [...first, join(network, NAMESPACE_FLAGS.network)];
  return [
    ...first,
    { what: "new network namespace: unshare", call: "unshare", args: [NAMESPACE_FLAGS.network] },
  ];
}

function openStep(opened: Opened): Step {
  if (opened === "netlink") return netlinkSocketStep();
  if (opened === "namespace")
    return { what: OWN, call: "openat", args: [AT.FDCWD, OWN, O.RDONLY | O.CLOEXEC, 0] };
  const [family, type] = opened;
  const isRaw = family !== AF.NETLINK && (type & SOCK.RAW) === SOCK.RAW;
  return { what: isRaw ? "raw socket" : "socket", call: "socket", args: [...opened] };
}

/** Of the thread that opens it. */
const OWN = "/proc/thread-self/ns/net";
