import { HakoError } from "../base/errors";
import type { CgroupStats } from "../cgroup";
import { driverOf } from "../drivers";
import { LivingContainer } from "../drivers/interface/living";
import type { Fd } from "../linux/call/fd";
import { pollAny, type Watched } from "../linux/file/poll";
import type { ContainerId } from "../oci/id";
import { type Container, readContainer } from "../state/record";
import { statusOf } from "./status";

/** What `events` tells, in the form of runc's JSON. */
export type ContainerEvent =
  | { type: "stats"; id: ContainerId; data: CgroupStats }
  | { type: "oom"; id: ContainerId };

/** The counters of a container, once. */
export function statsEvent(root: string, id: ContainerId): ContainerEvent {
  const container = running(root, id);
  return { type: "stats", id, data: driverOf(container.record).stats(container) };
}

/**
 * Tells the counters every so many milliseconds, and each time that memory ran out, until the container ends. False when it
 * ends before because `tell` says that nobody listens, or with the lifeline, a pipe, a socket or a pidfd.
 */
export function watchEvents(
  root: string,
  id: ContainerId,
  interval: number,
  tell: (event: ContainerEvent) => boolean,
  lifeline?: Fd,
): boolean {
  using living = LivingContainer.open(running(root, id));
  if (living === undefined) throw notRunning(id);
  const driver = driverOf(living.record);
  using oom = driver.watchOom(living);
  const held: Watched[] = lifeline === undefined ? [] : [{ fd: lifeline, for: "read" }];
  const watched: Watched[] = [
    { fd: living.pidfd, for: "read" },
    ...held,
    ...(oom === undefined ? [] : [oom.watched]),
  ];
  for (let next = performance.now() + interval; ; ) {
    const ready = pollAny(watched, next - performance.now());
    if (lifeline !== undefined && ready[1] === true) return false;
    const [gone, memory] = [ready[0], ready[1 + held.length]];
    // counted although it has ended: it may be why
    for (let count = memory === true ? (oom?.count() ?? 0) : 0; count > 0; count--) {
      if (!tell({ type: "oom", id })) return false;
    }
    if (gone === true) return true;
    if (performance.now() < next) continue;
    if (!tell({ type: "stats", id, data: driver.stats(living) })) return false;
    next += interval;
  }
}

function running(root: string, id: ContainerId): Container {
  const container = readContainer(root, id);
  const status = statusOf(container);
  if (status === "stopped" || status === "creating")
    throw notRunning(id, status === "stopped" ? `hako cgroup show ${id} tells what it used` : undefined);
  return container;
}

function notRunning(id: ContainerId, hint?: string): HakoError {
  return new HakoError({ code: "state", message: `container with id ${id} is not running`, hint });
}
