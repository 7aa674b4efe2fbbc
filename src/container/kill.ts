import { HakoError } from "../base/errors";
import { driverOf } from "../drivers";
import { SIG } from "../linux/call/constants";
import { leadsSandbox } from "../oci/container-type";
import type { ContainerId } from "../oci/id";
import { type Container, readContainer } from "../state/record";
import { withOthers } from "./sandbox-others";
import { statusOf } from "./status";

export interface KillOptions {
  root: string;
  id: ContainerId;
  signal: number;
  /** All processes, not the first one alone. */
  all: boolean;
}

/**
 * Sends a signal to the container's first process, or to all of its processes (runtime.md "Kill"). What asks a sandbox
 * container to end asks all containers of its sandbox.
 */
export function killContainer({ root, id, signal, all }: KillOptions): void {
  const container = readContainer(root, id);
  const { record } = container;
  const send = (to: Container) => driverOf(to.record).signal(to, signal, all ? "all" : "first");
  if (!send(container)) {
    const status = statusOf(container);
    // containerd reads "container not running"; that all processes of one that has stopped are gone is as good
    if (!all || status !== "stopped")
      throw new HakoError({ code: "state", message: `container "${id}": container not running: ${status}` });
  }
  if ((signal !== SIG.TERM && signal !== SIG.KILL) || !leadsSandbox(record)) return;
  let failure: HakoError | undefined;
  withOthers(container, send, (error) => {
    failure ??= error;
  });
  if (failure !== undefined)
    throw new HakoError({ code: failure.code, message: `sandbox "${record.sandbox}"`, cause: failure });
}
