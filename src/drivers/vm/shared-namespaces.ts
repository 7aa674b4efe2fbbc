import { asHakoError } from "../../base/errors";
import { statusAt } from "../../linux/file/file";
import { NAMESPACE_FILES, type NamespaceType } from "../../linux/process/namespace";
import { aliveProcess } from "../../linux/process/process";
import type { Config } from "../../oci/config";
import type { ContainerId, SandboxId } from "../../oci/id";
import { logDebug } from "../../output/log";
import { type ProcessRecord, readRecord } from "../../state/record";
import { machineFiles } from "./machine-record";
import { livingMachine } from "./members";

/**
 * Namespaces that a container joins, and which container of its machine has each of them. On the host they are those of that one's stand-in, and
 * in the guest its own.
 */
export type SharedNamespaces = ReadonlyMap<NamespaceType, ContainerId>;

/** What of the namespaces that a config.json joins belongs to containers of its sandbox's machine. */
export function sharedNamespaces(root: string, sandbox: SandboxId, { linux }: Config): SharedNamespaces {
  const joined = (linux?.namespaces ?? []).filter(({ path }) => path);
  if (joined.length === 0) return new Map();
  const members = Object.keys(livingMachine(machineFiles(root, sandbox))?.containers ?? {}) as ContainerId[];
  const processes = members.flatMap((id) => {
    const init = firstProcess(root, id);
    return init === undefined ? [] : [{ id, pid: init.pid }];
  });
  return new Map(
    joined.flatMap(({ type, path = "" }) => {
      const wanted = identityOf(path);
      const owner = processes.find(
        ({ pid }) =>
          wanted !== undefined && identityOf(`/proc/${pid}/ns/${NAMESPACE_FILES[type]}`) === wanted,
      );
      return owner === undefined ? [] : [[type, owner.id] as const];
    }),
  );
}

/** The stand-in of a container, if it lives. */
function firstProcess(root: string, id: ContainerId): ProcessRecord | undefined {
  try {
    const { init } = readRecord(root, id);
    return init !== undefined && aliveProcess(init.pid, init.startTime) !== undefined ? init : undefined;
  } catch (error) {
    // it is being deleted
    logDebug(asHakoError(error).oneLine);
    return undefined;
  }
}

function identityOf(path: string): string | undefined {
  const status = statusAt(path);
  return status && `${status.device}:${status.inode}`;
}
