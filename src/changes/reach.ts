import { HakoError } from "../base/errors";
import { executeInside } from "../drivers/namespaces/birth/hako-inside";
import { userNamespaceWith } from "../drivers/namespaces/birth/mapped-user-namespace";
import { writeIdMaps } from "../drivers/namespaces/birth/namespaces";
import type { Fd } from "../linux/call/fd";
import { callerArguments } from "../linux/file/caller-environment";
import { hasErrno } from "../linux/file/file";
import { allOverExecutionSteps, DAC_OVERRIDE, effectiveCapabilities } from "../linux/process/capabilities";
import type { IdRange } from "../linux/process/id-map";
import { effectiveUser } from "../linux/process/rootless";
import type { IdMaps } from "../linux/process/subordinate-ids";
import { logDebug } from "../output/log";
import type { Change } from "./change";
import { ChangesDirectory } from "./changes-directory";
import { chosenChanges } from "./choose";
import { isShut, readChanges } from "./read-changes";
import type { ApplyJournal, ChangesRecord } from "./record";

/**
 * An ordinary user's layers can have what is closed to its own owner, as a file of mode 000, and files of the user's subordinate ids. Over both the
 * user has root's rights in a user namespace in which all of these ids are themselves: hako is executed again there, with the same words.
 */

/** What was read has something that is closed to its own user. */
class OutOfReach extends Error {}

/** Reads the changes at or below these paths; all of them where none is given. */
type Read = (
  directory: Fd,
  record: ChangesRecord,
  journal: ApplyJournal | undefined,
  paths: readonly string[],
) => Change[];

/** What a command does with a directory of changes, which it has read by its second argument. */
type Work = (directory: ChangesDirectory, read: Read) => Promise<void>;

/** Does what a command does with the directory of changes at a path, with as many rights as that takes; the exit status. */
export async function withReach(text: string, work: Work): Promise<number> {
  const mayReach = (effectiveCapabilities() & DAC_OVERRIDE) === 0n;
  let maps: IdMaps | undefined;
  try {
    using directory = ChangesDirectory.open(text);
    ({ maps } = directory);
    if (maps === undefined || !mayReach) {
      await work(directory, mayReach ? readInReach : readChosen);
      return 0;
    }
  } catch (error) {
    // also what an apply that was ended halfway has closed on the host
    if (!mayReach || !(error instanceof OutOfReach || hasErrno(error, "EACCES"))) throw error;
  }
  const status = maps === undefined ? againAsOwner() : again(maps);
  if (status !== undefined) return status;
  using directory = ChangesDirectory.open(text);
  await work(directory, readChosen);
  return 0;
}

const readInReach: Read = (directory, record, journal, paths) => {
  const changes = readChanges(directory, record, journal);
  if (changes.some(isShut)) throw new OutOfReach();
  return chosenChanges(changes, paths, record);
};

const readChosen: Read = (directory, record, journal, paths) =>
  chosenChanges(readChanges(directory, record, journal), paths, record);

/** undefined where this user can't have a user namespace. */
function againAsOwner(): number | undefined {
  const own = (id = 0): IdRange[] => [{ containerID: id, hostID: id, size: 1 }];
  try {
    return again({ uidMappings: own(effectiveUser()), gidMappings: own(process.getegid?.()) });
  } catch (error) {
    logDebug(`what is closed to its own user can't be read: ${(error as Error).message}`);
    return undefined;
  }
}

/** Has this very command executed with all rights over what these ids own. */
function again(maps: IdMaps): number {
  return executeWithReach(maps, callerArguments(process.argv.slice(2)));
}

/** Has hako executed with all rights over what belongs to the host's ids of these maps. */
export function executeWithReach(maps: IdMaps, words: readonly string[]): number {
  const themselves = (ranges: readonly IdRange[]) =>
    ranges.map(({ hostID, size }) => ({ containerID: hostID, hostID, size }));
  const { uidMappings, gidMappings } = maps;
  const identity = { uidMappings: themselves(uidMappings), gidMappings: themselves(gidMappings) };
  using namespace: Fd = userNamespaceWith((pid) => writeIdMaps(pid, "/linux", identity));
  const end = executeInside(namespace, words, { inside: allOverExecutionSteps() });
  if (end !== undefined) return end.status;
  throw new HakoError({ code: "system", message: "hako in a user namespace: nobody knows how it ended" });
}
