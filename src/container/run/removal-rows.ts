import { type ErrnoName, errnoNumber } from "../../base/errno";
import { directoryOf } from "../../cgroup/hierarchy/node";
import { ATTEND } from "../../linux/attendant/attendant-rows";
import type { Fd } from "../../linux/call/fd";
import { stringVector } from "../../linux/call/memory";
import { AT_FDCWD, O } from "../../linux/file/path";
import { fileStatusOf } from "../../linux/file/stat";
import { ANY, type RowProgram, type WordContent, within, word, wordIn } from "../../linux/steps/row-program";
import { leadsSandbox } from "../../oci/container-type";
import { type MappingRemoval, MappingStore } from "../../state/mapping";
import { CONFIG, type ContainerRecord, containerDirectory, FILTER, RECORD } from "../../state/record";

const AT_REMOVEDIR = 0x200;
const AT_SYMLINK_NOFOLLOW = 0x100;
const STATX_INO = 0x100;
const STATX_SIZE = 256;
/** Offset of stx_ino in struct statx. */
const INODE_AT = 32;
const LOCK_EX_NB = 6;
/** A cgroup whose last process has just died is busy for a moment. */
const [BUSY_PAUSE_NS, BUSY_TRIES] = [2_000_000, 100];
/** For a cgroup whose processes were not ended: it won't become empty by waiting. */
const FEW_TRIES = 3;
/** What getdents64(2) says of a directory that holds the record alone: ".", ".." and its name, each a struct linux_dirent64. */
const RECORD_ALONE = [".", "..", RECORD].reduce(
  (sum, name) => sum + 8 * Math.ceil((19 + name.length + 1) / 8),
  0,
);

/**
 * Whether the end of a container whose first process has ended is a row of system calls: nothing must be asked or told, no program is
 * run, nobody else goes with it.
 */
export function endsInRows(record: ContainerRecord): boolean {
  const { hooks, cgroup, resctrl, hostMounts, ownPidNamespace } = record;
  if ((hooks?.poststop ?? []).length > 0 || leadsSandbox(record)) return false;
  if (resctrl !== undefined || hostMounts !== undefined || cgroup?.unit !== undefined) return false;
  // nobody's processes are killed there
  return ownPidNamespace || cgroup === undefined || cgroup.nodes.every(({ path }) => path !== "/");
}

/**
 * Removes what there is of such a container, as `deleteContainer` does and in its order, under the lock of its directory, which is
 * open. Where something is not as it should be the command goes on, which finds what is left.
 */
export function removalRows(program: RowProgram, root: string, record: ContainerRecord, directory: Fd): void {
  const path = containerDirectory(root, record.id);
  const result = word();
  program.call("flock", [directory.number, LOCK_EX_NB], { otherwise: ATTEND.again });
  // somebody else has deleted it, and it is perhaps another's by now
  const status = new Uint8Array(STATX_SIZE);
  const look = [AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, STATX_INO, status];
  program.call("statx", look, { to: result, otherwise: "not there" });
  const { inode } = fileStatusOf(directory);
  program.sum([wordIn(status, INODE_AT)], { least: inode, most: inode, otherwise: ATTEND.exit });
  cgroupRows(program, record);
  mappingRows(program, new MappingStore(root).removal(record.id, record.sandbox));
  directoryRows(program, path, directory);
  program.goto(ATTEND.exit);
  program.label("not there");
  program.sum([wordIn(result)], { ...is("ENOENT"), next: ATTEND.exit, otherwise: ATTEND.again });
}

/** Ends what is left in cgroups, and removes them. */
function cgroupRows(program: RowProgram, { cgroup, ownPidNamespace }: ContainerRecord): void {
  const nodes = cgroup?.nodes ?? [];
  const unified = nodes.find((node) => node.unified && node.skipped === undefined);
  // the end of a pid namespace's first process has ended all others
  if (!ownPidNamespace && unified !== undefined) {
    const file = word();
    program.call("openat", [AT_FDCWD, `${directoryOf(unified)}/cgroup.kill`, O.WRONLY | O.CLOEXEC, 0], {
      ...ANY,
      to: file,
    });
    program.call("write", [wordIn(file), "1", 1], ANY);
    program.call("close", [wordIn(file)], ANY);
  }
  const own = nodes.filter((node) => node.made.includes(directoryOf(node))).map(directoryOf);
  const ended = ownPidNamespace || unified !== undefined;
  const [result, tries] = [word(), word(ended ? BUSY_TRIES : FEW_TRIES)];
  const pause = new BigInt64Array([0n, BigInt(BUSY_PAUSE_NS)]);
  eachText(program, own, (dir, next) => {
    const again = program.freshLabel();
    program.label(again);
    program.call("unlinkat", [AT_FDCWD, dir, AT_REMOVEDIR], { to: result, next, otherwise: undefined });
    program.sum([wordIn(result)], { ...is("ENOENT"), next, otherwise: undefined });
    program.sum([wordIn(result)], { ...is("EBUSY"), otherwise: ATTEND.again });
    program.sum([wordIn(tries), -1], { to: tries, least: 0, otherwise: ATTEND.again });
    // the kernel counts down in there
    program.set(within(pause, 8), BUSY_PAUSE_NS);
    program.call("ppoll", [0, 0, pause, 0, 8], { ...ANY, next: again });
  });
  // others live in those above by now, perhaps
  const above = nodes.flatMap((node) => node.made.filter((dir) => dir !== directoryOf(node)).toReversed());
  eachText(program, above, (dir, next) => {
    program.call("unlinkat", [AT_FDCWD, dir, AT_REMOVEDIR], { ...ANY, next });
  });
}

function mappingRows(program: RowProgram, { path, temporary, directories, store }: MappingRemoval): void {
  const result = word();
  const rename = [AT_FDCWD, path, AT_FDCWD, temporary, 0];
  program.call("renameat2", rename, { to: result, otherwise: "no mapping" });
  for (const dir of directories)
    program.call("unlinkat", [AT_FDCWD, dir, AT_REMOVEDIR], { otherwise: ATTEND.again });
  program.label("mapping removed");
  program.call("unlinkat", [AT_FDCWD, store, AT_REMOVEDIR], {
    to: result,
    next: "store removed",
    otherwise: undefined,
  });
  for (const name of ["ENOTEMPTY", "EEXIST", "ENOENT"] as const)
    program.when(wordIn(result), -errnoNumber(name), "store removed");
  program.goto(ATTEND.again);
  program.label("no mapping");
  program.sum([wordIn(result)], { ...is("ENOENT"), next: "mapping removed", otherwise: ATTEND.again });
  program.label("store removed");
}

/** The record last: as long as anything is there it says what it is. */
function directoryRows(program: RowProgram, path: string, directory: Fd): void {
  const result = word();
  for (const name of [CONFIG, FILTER]) {
    const removed = program.freshLabel();
    program.call("unlinkat", [directory.number, name, 0], {
      to: result,
      next: removed,
      otherwise: undefined,
    });
    program.sum([wordIn(result)], { ...is("ENOENT"), otherwise: ATTEND.again });
    program.label(removed);
  }
  const names = new Uint8Array(2 * RECORD_ALONE);
  const alone = { least: RECORD_ALONE, most: RECORD_ALONE, otherwise: ATTEND.again };
  program.call("getdents64", [directory.number, names, names.length], alone);
  program.call("unlinkat", [directory.number, RECORD, 0], { otherwise: ATTEND.again });
  program.call("unlinkat", [AT_FDCWD, path, AT_REMOVEDIR], { otherwise: ATTEND.again });
}

/** A loop over texts; `body` goes on at `next`. */
function eachText(
  program: RowProgram,
  texts: readonly string[],
  body: (text: WordContent, next: string) => void,
): void {
  if (texts.length === 0) return;
  const [at, text] = [word(), word()];
  const [look, next, done] = [program.freshLabel(), program.freshLabel(), program.freshLabel()];
  program.set(at, stringVector(texts));
  program.label(look);
  program.load(wordIn(at), { to: text });
  program.when(wordIn(text), 0, done);
  body(wordIn(text), next);
  program.label(next);
  program.sum([wordIn(at), 8], { to: at, next: look });
  program.label(done);
}

/** A result that is this failure. */
function is(name: ErrnoName): { least: number; most: number } {
  return { least: -errnoNumber(name), most: -errnoNumber(name) };
}
