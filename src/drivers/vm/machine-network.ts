import { HakoError } from "../../base/errors";
import { FdList } from "../../linux/call/fd";
import { hasErrno, readText, removeFile, renameFile, writeText } from "../../linux/file/file";
import { join } from "../../linux/file/path-text";
import type { Config } from "../../oci/config";
import type { ContainerId } from "../../oci/id";
import { joinedNamespace } from "../../oci/namespaces";
import { logWarning } from "../../output/log";
import type { ProcessRecord } from "../../state/record";
import { CONTAINER_MODULES, type ModuleDirectory } from "./guest/kernel-modules";
import type { KeptMachine } from "./kept-machine";
import type { MachineFiles } from "./machine-record";
import { divideSysctls, type Sysctls } from "./network/interface-sysctls";
import {
  checkNetwork,
  type NetworkDescription,
  type NetworkRecord,
  releaseNetwork,
  takeNetwork,
  untakenNetwork,
} from "./network/taken-network";

/** How long the guest may take to have its network cards and their addresses. */
const NETWORK_MS = 30_000;

/** A container, and the process whose network namespace is its. */
interface Networked {
  id: ContainerId;
  init: ProcessRecord;
}

/**
 * Refuses networks that a machine of this kernel can't have, after the hooks and before it is there; in it there may be containers that have this one.
 * `later`: before the start there will be an interface.
 */
export function refuseNetwork(
  files: MachineFiles,
  process: ProcessRecord,
  kernel: { path: string; modules: ModuleDirectory },
  later: boolean,
): void {
  const cards = checkNetwork(process, readNetworkRecord(files));
  const lacking = kernel.modules.lacking(CONTAINER_MODULES.network);
  if ((cards === 0 && !later) || lacking.length === 0) return;
  throw new HakoError({
    code: "unsupported",
    message: `containers in machines with a network: ${kernel.path} lacks ${lacking.join(", ")}`,
    hint: "hako machine setup --download fetches one that has them",
  });
}

/** Gives a new machine the network of its container's namespace, as it is after the hooks. A later container of its sandbox shares it. */
export function giveNetwork(
  machine: KeptMachine,
  files: MachineFiles,
  container: Networked,
  config: Config,
): void {
  const path = joinedNamespace(config, "network");
  const { prestart = [], createRuntime = [] } = config.hooks ?? {};
  const wanted = path !== undefined || prestart.length + createRuntime.length > 0;
  const now = untakenNetwork(container.init.pid, path, wanted);
  const machines = readNetworkRecord(files);
  const sysctls = () => divideSysctls(config.linux?.sysctl).interfaces;
  if (machines === undefined) give(machine, files, container, now, sysctls);
  else if (refuseOwn(machines, now, container.init) === "shared")
    tell(machine, container.id, machines.told, sysctls());
}

/** Tells the guest of the network that it has already, for the sake of parameters that another container of it brings. */
function tell(
  machine: KeptMachine,
  container: ContainerId,
  told: string | undefined,
  sysctls: Sysctls,
): void {
  if (told === undefined || Object.keys(sysctls).length === 0) return;
  machine.ask("network", { container, ...(JSON.parse(told) as NetworkDescription), sysctls }, NETWORK_MS);
}

/** Whether it is the machine's network. One that has nothing in it can be a container's own. */
function refuseOwn(machines: NetworkRecord, own: NetworkRecord, init: ProcessRecord): "shared" | "empty" {
  if (machines.namespace.identity === own.namespace.identity) return "shared";
  if (checkNetwork(init, undefined) === 0) return "empty";
  throw new HakoError({
    code: "unsupported",
    message: `a network of its own in the machine of other containers: the driver "vm" can't do this`,
  });
}

/** Gives a machine what has come into the network namespace since, or is otherwise there: engines fill it late. */
export function renewNetwork(
  machine: KeptMachine,
  files: MachineFiles,
  container: Networked,
  config: () => Config,
): void {
  const record = readNetworkRecord(files);
  if (record === undefined) throw new Error("a machine without a network's record");
  const { init } = container;
  if (refuseOwn(record, untakenNetwork(init.pid, undefined, false), init) === "empty") return;
  const sysctls = () => divideSysctls(config().linux?.sysctl).interfaces;
  const cards = give(machine, files, container, record, sysctls);
  if (record.wanted && cards === 0)
    logWarning(`container "${container.id}" has no network: its network namespace has no interface but lo`);
}

/** How many network cards it has then. */
function give(
  machine: KeptMachine,
  files: MachineFiles,
  { id, init }: Networked,
  before: NetworkRecord,
  sysctls: () => Sysctls,
): number {
  using owned = new FdList();
  const { record, cards, description } = takeNetwork(
    init,
    before,
    (record) => writeNetworkRecord(files, record),
    owned,
  );
  for (const card of cards) machine.plugCard(card);
  const told = JSON.stringify(description);
  const changed = { ...record, told };
  if (told !== before.told)
    machine.ask("network", { container: id, ...description, sysctls: sysctls() }, NETWORK_MS);
  writeNetworkRecord(files, changed);
  return description.links.filter(({ card }) => card !== undefined).length;
}

/** Undoes what does not end with QEMU and the container's own namespaces, once QEMU has ended. */
export function takeNetworkBack(files: MachineFiles): void {
  const record = readNetworkRecord(files);
  if (record === undefined) return;
  releaseNetwork(record);
  removeFile(recordFile(files));
}

function recordFile({ directory }: MachineFiles): string {
  return join(directory, "network.json");
}

function writeNetworkRecord(files: MachineFiles, record: NetworkRecord): void {
  const path = recordFile(files);
  writeText(`${path}.new`, `${JSON.stringify(record)}\n`, 0o600);
  renameFile(`${path}.new`, path);
}

function readNetworkRecord(files: MachineFiles): NetworkRecord | undefined {
  try {
    return JSON.parse(readText(recordFile(files))) as NetworkRecord;
  } catch (error) {
    if (hasErrno(error, "ENOENT")) return undefined;
    throw error;
  }
}
