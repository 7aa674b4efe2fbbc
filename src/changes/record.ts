import * as v from "valibot";
import { HakoError } from "../base/errors";
import { readText, removeFile, renameFile, tryReadText, writeText } from "../linux/file/file";
import { basename, dirname, join } from "../linux/file/path-text";
import { isText } from "../oci/schema";

/**
 * What a directory of changes says of itself. In `DIR` are `changes.json` and, for each place that is written, `N/upper` and `N/work`, the layers
 * of an overlay (Documentation/filesystems/overlayfs.rst). `discarded.json` in place of `changes.json` says that all the rest is only to be removed.
 */

/** Begins the names of what is in `DIR` for a moment, also before it says anything. */
export const BEGUN = ".hako-";
const RECORD = "changes.json";
const DISCARDED = "discarded.json";
/** What an apply that is not finished has begun. */
const JOURNAL = "applying.json";
const FORMAT = 1;

/** Seconds and nanoseconds since 1970, by the clock of files' times. */
export type FileTime = readonly [seconds: number, nanoseconds: number];

const text = v.custom<string>(isText, "expected a text");
const path = v.pipe(text, v.startsWith("/"));
const time = v.pipe(v.tuple([v.number(), v.number()]), v.readonly());

const ranges = v.array(v.object({ containerID: v.number(), hostID: v.number(), size: v.number() }));

const record = v.object({
  format: v.literal(FORMAT),
  /** What was changed; absolute, without links. */
  rootfs: path,
  /** The image that is unpacked there, as the command line named it: it stays as it is. */
  image: v.optional(text),
  /** Who has run the commands. */
  uid: v.number(),
  /** An ordinary user's, of the user namespace of a container: who has layers with files of other ids. */
  maps: v.optional(v.object({ uidMappings: ranges, gidMappings: ranges })),
  /** In whose names the overlay notes what it has to: those of a user namespace, or those of the initial one's root. */
  attributes: v.picklist(["user", "trusted"]),
  /** Each place, absolute on the host, with the directory of its layer. */
  layers: v.array(
    v.object({
      place: path,
      directory: v.pipe(text, v.regex(/^\d+$/)),
      /** Whether a file system was mounted there. */
      isMount: v.boolean(),
    }),
  ),
  /** Mount points, as programs see them, that hako has made in the layers. */
  points: v.array(path),
  /** When each command began. */
  runs: v.array(time),
});
export type ChangesRecord = v.InferOutput<typeof record>;

/** Absolute on the host, with the number of its inode: who else may write there can give its name to another one. */
const stagingDirectory = v.object({ path, inode: v.pipe(text, v.regex(/^\d+$/)) });
export type StagingDirectory = v.InferOutput<typeof stagingDirectory>;

const journal = v.object({
  /** Begins the names of staging directories. */
  prefix: v.pipe(text, v.regex(/^\.hako-[0-9a-f]{16}-$/)),
  /** Directories, absolute on the host, in which these may be. */
  parents: v.array(path),
  /** In which files are that are not in their place yet; undefined in journals of earlier versions: the files are where these would be. */
  staging: v.optional(v.array(stagingDirectory)),
  /** Paths, absolute on the host, of directories in which something is changed, and of all whose modes, owners and attributes are. */
  directories: v.array(path),
});
export type ApplyJournal = v.InferOutput<typeof journal>;

/** What a directory says of itself: undefined where it says nothing. */
export function readChangesRecord(directory: string): ChangesRecord | undefined {
  return parsed(record, `${directory}/${RECORD}`);
}

/** The maps of user namespaces whose ids own what is there, also where that is only to be removed. */
export function readMaps(directory: string): ChangesRecord["maps"] {
  return (readChangesRecord(directory) ?? parsed(record, `${directory}/${DISCARDED}`))?.maps;
}

export function writeChangesRecord(directory: string, value: ChangesRecord): void {
  writeWhole(`${directory}/${RECORD}`, value);
}

/** Whether all that is there was thrown away, and is only still to be removed. */
export function isDiscarded(directory: string): boolean {
  return tryReadText(`${directory}/${DISCARDED}`) !== undefined;
}

/** From here on the directory holds no changes. */
export function markDiscarded(directory: string): void {
  renameFile(`${directory}/${RECORD}`, `${directory}/${DISCARDED}`);
}

export function readJournal(directory: string): ApplyJournal | undefined {
  return parsed(journal, `${directory}/${JOURNAL}`);
}

export function writeJournal(directory: string, value: ApplyJournal): void {
  writeWhole(`${directory}/${JOURNAL}`, value);
}

export const FILES_OF_CHANGES = { record: RECORD, discarded: DISCARDED, journal: JOURNAL } as const;

function parsed<T>(schema: v.BaseSchema<unknown, T, v.BaseIssue<unknown>>, file: string): T | undefined {
  if (tryReadText(file) === undefined) return undefined;
  // names of files may have bytes that are no text, which JSON writes as halves of surrogate pairs
  const wrong = (why: string) => new HakoError({ code: "config", message: `${file}: ${why}`, path: file });
  let value: unknown;
  try {
    value = JSON.parse(readText(file));
  } catch {
    throw wrong("not JSON");
  }
  const result = v.safeParse(schema, value);
  if (result.success) return result.output;
  const [issue] = result.issues;
  throw wrong(`/${issue.path?.map(({ key }) => String(key)).join("/") ?? ""}: ${issue.message}`);
}

/** A reader finds the old one or the new one. */
function writeWhole(file: string, value: unknown): void {
  const begun = join(dirname(file), BEGUN + basename(file));
  try {
    writeText(begun, `${JSON.stringify(value)}\n`, 0o600);
    renameFile(begun, file);
  } catch (error) {
    removeFile(begun);
    throw error;
  }
}
