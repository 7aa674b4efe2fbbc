import { asHakoError, HakoError } from "../base/errors";
import { executeInside } from "../drivers/namespaces/birth/hako-inside";
import { userNamespaceWith } from "../drivers/namespaces/birth/mapped-user-namespace";
import { writeIdMaps } from "../drivers/namespaces/birth/namespaces";
import type { Fd } from "../linux/call/fd";
import { callerArguments } from "../linux/file/caller-environment";
import { hasErrno } from "../linux/file/file";
import { userName } from "../linux/file/passwd";
import { allOverExecutionSteps, DAC_OVERRIDE, effectiveCapabilities } from "../linux/process/capabilities";
import type { IdRange } from "../linux/process/id-map";
import { effectiveUser } from "../linux/process/rootless";
import type { IdMaps } from "../linux/process/subordinate-ids";
import { logDebug, logWarning } from "../output/log";
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

/**
 * Does what a command does with the directory of changes at a path, with as many rights as that takes; the exit status. `needsIds`: nothing is done
 * where this user has no more the subordinate ids that own files there.
 */
export async function withReach(
  text: string,
  { needsIds }: { needsIds: boolean },
  work: Work,
): Promise<number> {
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
  const found = maps === undefined ? ownersNamespace() : namespaceWithIds(text, maps);
  using namespace = found instanceof HakoError ? undefined : found;
  if (namespace !== undefined) return again(namespace);
  if (found instanceof HakoError && needsIds) throw found;
  using directory = ChangesDirectory.open(text);
  await (found instanceof HakoError ? withoutIds(directory, work, found) : work(directory, readChosen));
  return 0;
}

/** What can be done without these ids is done; what can't is told. */
async function withoutIds(directory: ChangesDirectory, work: Work, lacking: HakoError): Promise<void> {
  try {
    await work(directory, (...of) => {
      const changes = readChosen(...of);
      if (changes.some(isShut)) logWarning(lacking.oneLine);
      return changes;
    });
  } catch (error) {
    throw hasErrno(error, "EACCES", "EPERM") ? lacking : error;
  }
}

const readInReach: Read = (directory, record, journal, paths) => {
  const changes = readChanges(directory, record, journal);
  if (changes.some(isShut)) throw new OutOfReach();
  return chosenChanges(changes, paths, record);
};

const readChosen: Read = (directory, record, journal, paths) =>
  chosenChanges(readChanges(directory, record, journal), paths, record);

/** undefined where this user can't have a user namespace. */
function ownersNamespace(): Fd | undefined {
  const own = (id = 0): IdRange[] => [{ containerID: id, hostID: id, size: 1 }];
  try {
    return namespaceOver({ uidMappings: own(effectiveUser()), gidMappings: own(process.getegid?.()) });
  } catch (error) {
    logDebug(`what is closed to its own user can't be read: ${(error as Error).message}`);
    return undefined;
  }
}

/** Where this user can't have these ids any more, an error that says so. */
function namespaceWithIds(text: string, maps: IdMaps): Fd | HakoError {
  try {
    return namespaceOver(maps);
  } catch (thrown) {
    return lackingIds(text, maps, asHakoError(thrown));
  }
}

function lackingIds(text: string, { uidMappings, gidMappings }: IdMaps, error: HakoError): HakoError {
  const lines = (ranges: readonly IdRange[]) =>
    ranges
      .filter(({ containerID }) => containerID !== 0)
      .map(({ hostID, size }) => `${userName(effectiveUser())}:${hostID}:${size}`)
      .join(" and ");
  const [uids, gids] = [lines(uidMappings), lines(gidMappings)];
  const rows = uids === gids ? `${uids} to /etc/subuid and` : `${uids} to /etc/subuid and ${gids} to`;
  const why = asHakoError(error.cause ?? error).reason;
  return new HakoError({
    code: "state",
    message: `${text} has files of subordinate ids that you can't have any more, and they stay as they are: ${why}`,
    hint: why.includes("not allowed") ? `have root add ${rows} /etc/subgid again` : error.advice,
    path: text,
  });
}

/** Has this very command executed with all rights in a user namespace. */
function again(namespace: Fd): number {
  const words = callerArguments(process.argv.slice(2));
  const end = executeInside(namespace, words, { inside: allOverExecutionSteps() });
  if (end !== undefined) return end.status;
  throw new HakoError({ code: "system", message: "hako in a user namespace: nobody knows how it ended" });
}

/** A user namespace in which root's rights are over what belongs to the host's ids of these maps. */
function namespaceOver({ uidMappings, gidMappings }: IdMaps): Fd {
  const themselves = (ranges: readonly IdRange[]) =>
    ranges.map(({ hostID, size }) => ({ containerID: hostID, hostID, size }));
  const identity = { uidMappings: themselves(uidMappings), gidMappings: themselves(gidMappings) };
  return userNamespaceWith((pid) => writeIdMaps(pid, "/linux", identity));
}
