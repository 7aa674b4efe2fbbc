import { asHakoError, HakoError } from "../base/errors";
import { driverOf } from "../drivers";
import { type ContainerType, placeOf } from "../oci/container-type";
import type { ContainerId, SandboxId } from "../oci/id";
import { logWarning } from "../output/log";
import { MappingStore } from "../state/mapping";
import { type ContainerRecord, readRecord, type Status } from "../state/record";
import { containerIds } from "../state/root";
import { statusOf } from "./status";

/** A container as its sandbox's list shows it. */
export interface Member {
  id: ContainerId;
  /** What its annotations say; undefined where there is no record. */
  type: ContainerType | undefined;
  /** "unknown": it is mapped to the sandbox and has no record, or a broken one. */
  status: Status | "unknown";
  pid: number;
  /** Below the mount points of the hierarchies. */
  cgroup: string | undefined;
}

/** Containers that share something, a pod mostly, and what they do. */
export interface Sandbox {
  id: SandboxId;
  /** That of the container which is the most alive. */
  status: Member["status"];
  containers: Member[];
}

/** What all containers of a sandbox use together. */
export interface SandboxUse {
  memory: number;
  /** Nanoseconds. */
  cpu: number;
  processes: number;
}

/** From the most alive to the least. */
export const LIVELINESS: readonly Member["status"][] = [
  "running",
  "paused",
  "created",
  "creating",
  "stopped",
  "unknown",
];

interface Entry {
  sandbox: SandboxId;
  member: Member;
  record: ContainerRecord | undefined;
}

/** All containers below `root` with their sandboxes, from the mapping store and the records. */
function entries(root: string): Entry[] {
  const found = new Map<ContainerId, SandboxId>();
  for (const { container, sandbox } of new MappingStore(root).list()) found.set(container, sandbox);
  const list: Entry[] = [];
  for (const id of new Set([...found.keys(), ...containerIds(root)])) {
    const record = tryRecord(root, id);
    const sandbox = found.get(id) ?? record?.sandbox;
    if (sandbox === undefined) continue;
    list.push({ sandbox, record, member: memberOf(root, id, record) });
  }
  return list.sort((a, b) => (a.member.id < b.member.id ? -1 : 1));
}

function tryRecord(root: string, id: ContainerId): ContainerRecord | undefined {
  try {
    return readRecord(root, id);
  } catch (thrown) {
    const error = asHakoError(thrown);
    if (error.code !== "not-found") logWarning(error.oneLine);
    return undefined;
  }
}

function memberOf(root: string, id: ContainerId, record: ContainerRecord | undefined): Member {
  if (record === undefined) return { id, type: undefined, status: "unknown", pid: 0, cgroup: undefined };
  const status = statusOf({ root, record });
  return {
    id,
    type: typeOf(record),
    status,
    pid: status === "stopped" ? 0 : (record.init?.pid ?? 0),
    cgroup: record.cgroup?.nodes.find(({ skipped }) => skipped === undefined)?.path,
  };
}

function typeOf(record: ContainerRecord): ContainerType | undefined {
  try {
    return placeOf(record.annotations).type;
  } catch (thrown) {
    logWarning(`container "${record.id}": ${asHakoError(thrown).oneLine}`);
    return undefined;
  }
}

function sandboxOf(id: SandboxId, containers: Member[]): Sandbox {
  const status = LIVELINESS.find((each) => containers.some((member) => member.status === each)) ?? "unknown";
  return { id, status, containers };
}

/** All sandboxes below `root` by id; what is broken is a warning. */
export function listSandboxes(root: string): Sandbox[] {
  const members = new Map<SandboxId, Member[]>();
  for (const { sandbox, member } of entries(root)) {
    members.set(sandbox, [...(members.get(sandbox) ?? []), member]);
  }
  return [...members].sort(([a], [b]) => (a < b ? -1 : 1)).map(([id, list]) => sandboxOf(id, list));
}

/** One sandbox, and what its containers use. */
export function showSandbox(root: string, id: SandboxId): Sandbox & { use: SandboxUse } {
  const own = entries(root).filter(({ sandbox }) => sandbox === id);
  if (own.length === 0) {
    throw new HakoError({
      code: "not-found",
      message: `sandbox "${id}" does not exist`,
      hint: "hako sandbox list shows those below --root",
    });
  }
  const use: SandboxUse = { memory: 0, cpu: 0, processes: 0 };
  for (const { record, member } of own) {
    if (record?.cgroup === undefined || member.status === "stopped") continue;
    const driver = driverOf(record);
    const { memory, cpu } = driver.stats({ root, record });
    use.memory += Number(memory.usage.usage);
    use.cpu += Number(cpu.usage.total);
    const processes = driver.unseenProcesses({ root, record }) ?? driver.processes({ root, record });
    use.processes += processes.length;
  }
  return {
    ...sandboxOf(
      id,
      own.map(({ member }) => member),
    ),
    use,
  };
}
