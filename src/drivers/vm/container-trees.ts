import { asHakoError, HakoError } from "../../base/errors";
import { loadCgroup } from "../../cgroup/group/stored";
import type { Fd } from "../../linux/call/fd";
import { readText } from "../../linux/file/file";
import { ATTR } from "../../linux/mount/mount-calls";
import { openProcess } from "../../linux/process/process";
import { effectiveUser } from "../../linux/process/rootless";
import { namespaceTree } from "../../linux/remote/namespace-root";
import { ROOTFS_ANNOTATION } from "../../oci/annotations";
import type { ContainerId } from "../../oci/id";
import type { ProcessRecord } from "../../state/record";
import type { MadeByDriver } from "../interface/driver";
import { type AgentData, FILES_TAG, streamPort } from "./channel/agent-protocol";
import { giveTree } from "./confined/trees";
import type { ContainerFiles } from "./files/container-files";
import { type FoundVirtiofsd, findVirtiofsd } from "./files/find-virtiofsd";
import { startVirtiofsd } from "./files/virtiofsd";
import { CONTAINER_MODULES } from "./guest/kernel-modules";
import type { FoundKernel } from "./host/find-kernel";
import type { KeptMachine } from "./kept-machine";
import { lastLine } from "./machine";
import { type MachineFiles, writeMachineRecord } from "./machine-record";
import { livingMachine, recordOf } from "./members";

/** What of a container's files the guest is told. */
export type ToldFiles = Pick<AgentData<"create">, "tree" | "writesRootfs" | "writesVolumes" | "filesPort">;

/** Refuses a kernel that can't have the files of the host's as this container needs them. */
export function refuseKernel({ path, modules }: FoundKernel, { rootfs, written }: ContainerFiles): void {
  const { private: read, shared } = CONTAINER_MODULES;
  const lacking = modules.lacking([...(rootfs === "private" ? read : []), ...(written ? shared : [])]);
  if (lacking.length === 0) return;
  throw new HakoError({
    code: "unsupported",
    message: `containers in machines: ${path} lacks ${lacking.join(", ")}`,
    hint: "hako machine setup --download fetches one that has them",
  });
}

/** What serves files that are written; undefined where there are none. QEMU's 9p can't: special files, locks and capabilities of files fail. */
export function findServer(
  { written }: ContainerFiles,
  given: string | undefined,
): FoundVirtiofsd | undefined {
  if (!written) return undefined;
  try {
    return findVirtiofsd(given);
  } catch (thrown) {
    const error = asHakoError(thrown);
    throw error.with({
      message: `files of the host that a container in a machine writes: ${error.message}`,
      hint: `${error.advice ?? "another virtiofsd"}; annotation ${ROOTFS_ANNOTATION}=private and volumes with ro do without`,
    });
  }
}

/** Lets a machine have what the container's process has mounted, as the container needs it. */
export function addFiles(
  kept: KeptMachine,
  files: MachineFiles,
  { root, id }: { root: string; id: ContainerId },
  { init, cgroup }: MadeByDriver,
  { rootfs, written, cache }: ContainerFiles,
  server: FoundVirtiofsd | undefined,
): ToldFiles {
  using pidfd = init && openProcess(init.pid, init.startTime);
  if (init === undefined || pidfd === undefined)
    throw new HakoError({ code: "system", message: "the container's process has ended" });
  const record = livingMachine(files);
  const { qemu } = record ?? {};
  if (record === undefined || qemu === undefined)
    throw new HakoError({ code: "system", message: "the machine has ended" });
  // the guest may keep names of one that was there before
  const tree = `${id}.${init.startTime}`;
  if (rootfs === "private") give(qemu, tree, pidfd, { all: ATTR.RDONLY });
  const told = { tree, writesRootfs: rootfs === "shared", writesVolumes: written };
  if (server === undefined) return told;
  let { virtiofsd } = record;
  let filesPort: string | undefined;
  if (virtiofsd === undefined) {
    if (!record.sharesMemory)
      throw new HakoError({
        code: "unsupported",
        message:
          "files of the host that a container writes, in a machine that was made for containers without such",
        hint: "the pod's first container says that it is one by its annotations",
      });
    using served = startVirtiofsd(server, { cache, place: files.server, words: files.serverWords });
    virtiofsd = { ...served.process, cache };
    writeMachineRecord(files, { ...record, virtiofsd });
    // this container may go before others
    const place = record.cgroupsOf === id ? cgroup : recordOf(root, record.cgroupsOf)?.cgroup;
    if (place !== undefined) loadCgroup(place).join(virtiofsd.pid);
    filesPort = streamPort(plug(kept, files, served.socket, served.life));
  } else if (virtiofsd.cache !== cache)
    throw new HakoError({
      code: "unsupported",
      message: `files with cache ${cache}: those of the machine have ${virtiofsd.cache}`,
    });
  // of a rootfs whose writes end with the container only volumes are written
  give(virtiofsd, tree, pidfd, { all: 0, top: rootfs === "private" ? ATTR.RDONLY : 0 });
  return { ...told, filesPort };
}

/**
 * Mounts a copy of a container's tree where QEMU has such, or virtiofsd. What the guest asks for is a file: a device's node would be the host's
 * device.
 */
function give(
  holder: ProcessRecord,
  name: string,
  pidfd: Fd,
  { all, top = 0 }: { all: number; top?: number },
): void {
  using tree = namespaceTree(pidfd, effectiveUser() !== 0);
  giveTree(holder, name, tree, all | ATTR.NODEV | ATTR.NOSUID, top);
}

/** Plugs what virtiofsd serves into the machine; the stream that hangs up when virtiofsd ends. */
function plug(kept: KeptMachine, { serverWords }: MachineFiles, socket: Fd, life: Fd): number {
  try {
    kept.plugFiles(FILES_TAG, socket);
  } catch (thrown) {
    const error = asHakoError(thrown);
    const words = lastLine(readText(serverWords));
    throw words === undefined ? error : error.with({ message: `${error.message}; virtiofsd: ${words}` });
  }
  return kept.connectStream(life);
}
