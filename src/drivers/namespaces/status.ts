import { freezerOf } from "../../cgroup/group/freezer";
import { exists } from "../../linux/file/file";
import { join } from "../../linux/file/path-text";
import { aliveProcess } from "../../linux/process/process";
import type { ContainerId } from "../../oci/id";
import type { Container, Status } from "../../state/record";
import { containerDirectory, START_SOCKET } from "../../state/root";
import { STAGE_NAME } from "./birth/stage-name";

/** What a container does now, by its first process, its freezer and its start socket. */
export function status({ root, record }: Container): Exclude<Status, "creating"> {
  const { init, cgroup } = record;
  const alive = init === undefined ? undefined : aliveProcess(init.pid, init.startTime);
  if (alive === undefined) return "stopped";
  const nodes = cgroup?.nodes.filter((node) => node.skipped === undefined) ?? [];
  if (freezerOf(nodes)?.frozen() === true) return "paused";
  return alive.name === STAGE_NAME && isWaiting({ root, record }) ? "created" : "running";
}

/** The socket at which a created container waits for `start`. */
export function startSocketPath(root: string, id: ContainerId): string {
  return join(containerDirectory(root, id), START_SOCKET);
}

/** Whether nobody has begun to start a container. A paused container may have been started or not. */
export function isWaiting({ root, record }: Container): boolean {
  return exists(startSocketPath(root, record.id));
}
