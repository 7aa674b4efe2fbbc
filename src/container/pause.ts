import { HakoError } from "../base/errors";
import { driverOf } from "../drivers";
import type { ContainerId } from "../oci/id";
import { lockContainer } from "../state/lock";
import { type Container, readContainer, type Status } from "../state/record";
import { statusOf } from "./status";

/** Stops all processes of a container where they are. */
export function pauseContainer(root: string, id: ContainerId): void {
  using _lock = lockContainer(root, id);
  const container = inState(root, id, ["created", "running"], "pause");
  driverOf(container.record).pause(container);
}

/** Lets them go on. */
export function resumeContainer(root: string, id: ContainerId): void {
  using _lock = lockContainer(root, id);
  const container = inState(root, id, ["paused"], "resume");
  driverOf(container.record).resume(container);
}

function inState(root: string, id: ContainerId, wanted: readonly Status[], what: string): Container {
  const container = readContainer(root, id);
  const status = statusOf(container);
  if (wanted.includes(status)) return container;
  const message = `cannot ${what} container "${id}": container not ${wanted.at(-1)}: ${status}`;
  throw new HakoError({ code: "state", message });
}
