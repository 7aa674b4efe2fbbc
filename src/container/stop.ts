import { during } from "../base/errors";
import { driverOf } from "../drivers";
import { SIG } from "../linux/call/constants";
import { waitForEnd } from "../linux/process/process";
import { signalNumber } from "../linux/process/signals";
import { STOP_SIGNAL } from "../oci/annotations";
import { leadsSandbox } from "../oci/container-type";
import type { ContainerId } from "../oci/id";
import { logWarning } from "../output/log";
import { lockContainer } from "../state/lock";
import { type Container, readContainer } from "../state/record";
import { withOthers } from "./sandbox-others";
import { statusOf } from "./status";

export interface StopOptions {
  root: string;
  id: ContainerId;
  /** In place of the image's, which is in place of TERM. */
  signal: number | undefined;
  /** Milliseconds until KILL follows. */
  patience: number;
}

/**
 * Ends a container as `docker stop` does: its first process is asked by a signal, and when it has ended, or its time is over,
 * everything in the container is killed. A paused container goes on, to hear the signal; one that has stopped is left as it is. Before
 * a sandbox container all others of its sandbox are stopped, which may live in its pid namespace. None is deleted.
 */
export function stopContainer({ root, id, signal, patience }: StopOptions): void {
  const container = readContainer(root, id);
  const others: Container[] = [];
  if (leadsSandbox(container.record))
    withOthers(
      container,
      (other) => others.push(other),
      (error) => logWarning(error.oneLine),
    );
  const request = (each: Container): StopRequest => ({ container: each, signal: signal ?? stopSignal(each) });
  const requests = [others.map(request), [request(container)]];
  for (const each of requests) stopTogether(each, patience);
}

/** What a container is asked by. */
interface StopRequest {
  container: Container;
  signal: number;
}

/** The containers have their time together. */
function stopTogether(requests: readonly StopRequest[], patience: number): void {
  for (const each of requests) ask(each);
  const until = performance.now() + patience;
  for (const { container } of requests) {
    const { init } = container.record;
    if (init !== undefined) waitForEnd(init.pid, init.startTime, Math.max(0, until - performance.now()));
    end(container);
  }
}

function stopSignal({ record }: Container): number {
  const word = record.annotations[STOP_SIGNAL];
  if (word === undefined) return SIG.TERM;
  return during(`container "${record.id}": annotation ${STOP_SIGNAL}`, () => signalNumber(word));
}

function ask({ container, signal }: StopRequest): void {
  const driver = driverOf(container.record);
  driver.signal(container, signal, "first");
  using _lock = lockContainer(container.root, container.record.id);
  if (statusOf(container) === "paused") driver.resume(container);
  // one that was not started has no program that could hear anything
  if (statusOf(container) === "created") driver.signal(container, SIG.KILL, "first");
}

/** Kills what is left, unless the container was deleted meanwhile, by who ran it perhaps: its id may be another one's. */
function end(container: Container): void {
  const { root, record } = container;
  using lock = lockContainer(root, record.id);
  if (lock === undefined) return;
  if (readContainer(root, record.id).record.init?.startTime === record.init?.startTime)
    driverOf(record).end(container);
}
