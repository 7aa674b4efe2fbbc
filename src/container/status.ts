import { driverOf } from "../drivers";
import { aliveProcess } from "../linux/process/process";
import type { Container, Status } from "../state/record";

/** What a container does now. While it is being made, its `create` must be alive. */
export function statusOf(container: Container): Status {
  const { creator } = container.record;
  if (creator === undefined) return driverOf(container.record).status(container);
  return aliveProcess(creator.pid, creator.startTime) === undefined ? "stopped" : "creating";
}
