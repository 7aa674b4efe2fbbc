import { type ErrnoName, errnoNumber } from "../../base/errno";
import { ATTEND, type AttendantPart, attendRows, WAY } from "../../linux/attendant/attendant-rows";
import { StoppedJob } from "../../linux/attendant/attendant-stops";
import { AT, LOCK, O, SIZE, STATX } from "../../linux/call/constants";
import {
  ANY,
  type NamedWords,
  namedWords,
  RowProgram,
  type WordContent,
  within,
  word,
  wordIn,
} from "../../linux/steps/row-program";
import type { Template } from "../../linux/steps/template";
import { CONFIG, FILTER, OVERLAY, PROGRAM_END, RECORD, SCRATCH } from "../../state/root";

/** Offset of stx_ino in struct statx. */
const INODE_AT = 32;
/** More than the counters of a memory cgroup are. */
const COUNTERS_SIZE = 1024;
/** A cgroup whose last process has just died is busy for a moment. */
const BUSY_PAUSE_NS = 2_000_000;
/** What getdents64(2) says of a directory that holds the record alone: ".", ".." and its name, each a struct linux_dirent64. */
const RECORD_ALONE = [".", "..", RECORD].reduce(
  (sum, name) => sum + 8 * Math.ceil((19 + name.length + 1) / 8),
  0,
);

/** What the attendant of a run is told. A text or a vector of texts is its address; a text that is not there is 0. */
const NAMES = [
  // the container's first process, and a descriptor with signals that came before
  "pid",
  "recorded",
  // an eventfd that counts how often the program was stopped, or `NO_POLL`
  "stops",
  // how long it may run, or -1 seconds
  "seconds",
  "nanoseconds",
  // a descriptor whose end is the container's end, or `NO_POLL`
  "lifeline",
  // a file that counts kills for lack of memory, if the command wants to tell of them
  "memory",
  // files of which the command wants to tell if one is another than before, a vector of what `asWords` makes
  "guarded",
  // the container's directory: a descriptor, its path, its inode; without them the command does what is left to do
  "directory",
  "path",
  "inode",
  // the file that kills all in its cgroup of v2; its cgroups, and how often one is waited for that is busy; those above them
  "kill",
  "cgroups",
  "tries",
  "above",
  // as `MappingRemoval`
  "mapping",
  "temporary",
  "directories",
  "store",
  ...WAY,
] as const;
export type RunAttendantWord = (typeof NAMES)[number];
type Words = NamedWords<RunAttendantWord>;

/**
 * The attendant of a run: it passes signals on, stops with its job, and removes the container after its end. The part of a
 * terminal, which has `descriptors` of its own, takes the place of the job's. The build keeps the one without.
 */
export function runAttendant(
  machine: string,
  part: AttendantPart | undefined,
  descriptors: readonly number[],
): Template<RunAttendantWord> {
  const program = new RowProgram(machine);
  const words = namedWords(NAMES);
  const attended = {
    child: (rows: RowProgram, child: BigInt64Array) => rows.set(child, wordIn(words.pid)),
    recorded: wordIn(words.recorded),
    part:
      part ??
      new StoppedJob(
        wordIn(words.stops),
        wordIn(words.seconds),
        wordIn(words.nanoseconds),
        wordIn(words.lifeline),
      ),
    end(rows: RowProgram) {
      // the command looks at how it ended
      rows.when(wordIn(words.path), 0, ATTEND.again);
      memoryRows(rows, words);
      guardedRows(rows, words);
      rows.call("wait4", [wordIn(words.pid), 0, 0, 0], ANY);
      removalRows(rows, words);
    },
  };
  attendRows(program, attended, words, [
    ...[words.recorded, words.directory, words.stops, words.lifeline].map((fd) => wordIn(fd)),
    ...descriptors,
  ]);
  return program.template(words);
}

/** Gives way to the command if the kernel has killed a process of the container for lack of memory: if there is a line "oom_kill N", not of 0. */
function memoryRows(program: RowProgram, { memory }: Words): void {
  const [file, at, text] = [word(), word(), word()];
  const bytes = new Uint8Array(COUNTERS_SIZE + 16);
  program.when(wordIn(memory), 0, "no kill");
  program.call("openat", [AT.FDCWD, wordIn(memory), O.RDONLY | O.CLOEXEC, 0], {
    to: file,
    otherwise: "no kill",
  });
  program.call("read", [wordIn(file), bytes, COUNTERS_SIZE], { otherwise: ATTEND.again });
  program.set(at, within(bytes, 0));
  program.label("look for kills");
  program.load(wordIn(at), { to: text });
  program.mask(wordIn(text), 0xff, { most: 0, next: "no kill", otherwise: undefined });
  program.when(wordIn(text), asWord("oom_kill"), "kills");
  program.label("look further");
  program.sum([wordIn(at), 1], { to: at, next: "look for kills" });
  program.label("kills");
  program.sum([wordIn(at), 8], { to: at });
  program.load(wordIn(at), { to: text });
  // of v1 there is oom_kill_disable too
  program.mask(wordIn(text), 0xff, { least: 0x20, most: 0x20, otherwise: "look further" });
  program.mask(wordIn(text), 0xffffff, {
    least: asWord(" 0\n"),
    most: asWord(" 0\n"),
    otherwise: ATTEND.again,
  });
  program.label("no kill");
}

/** Gives way to the command if one of the files is another than before, or if that can't be seen. */
function guardedRows(program: RowProgram, { guarded }: Words): void {
  const [result, at, path, inode, time, now] = [word(), word(), word(), word(), word(), word()];
  // which of its times, and that one: seconds, nanoseconds
  const [OFFSET_AT, TIME_AT, PATH_AT] = [8, 16, 32];
  const status = new Uint8Array(SIZE.STRUCT_STATX);
  program.when(wordIn(guarded), 0, "all as before");
  eachText(program, wordIn(guarded), (file, next) => {
    const [there, missing] = [program.freshLabel(), program.freshLabel()];
    program.load(file, { to: inode });
    program.sum([file, PATH_AT], { to: path });
    const look = [AT.FDCWD, wordIn(path), AT.SYMLINK_NOFOLLOW, STATX.BASIC_STATS | STATX.BTIME, status];
    program.call("statx", look, { to: result, next: there, otherwise: undefined });
    program.sum([wordIn(result)], { ...is("ENOENT"), next: missing, otherwise: ATTEND.again });
    program.label(missing);
    program.sum([wordIn(inode)], { least: 0, most: 0, next, otherwise: ATTEND.again });
    program.label(there);
    const itsInode = wordIn(inode);
    program.sum([wordIn(status, INODE_AT)], { least: itsInode, most: itsInode, otherwise: ATTEND.again });
    program.sum([file, OFFSET_AT], { to: at });
    program.load(wordIn(at), { to: at });
    for (const part of [0, 8]) {
      program.sum([file, TIME_AT + part], { to: time });
      program.load(wordIn(time), { to: time });
      program.sum([wordIn(at), within(status, part)], { to: now });
      program.load(wordIn(now), { to: now });
      const same = { least: wordIn(time), most: wordIn(time), otherwise: ATTEND.again };
      program.sum([wordIn(now)], part === 0 ? same : { ...same, next });
    }
  });
  program.label("all as before");
}

/** A text of at most eight characters as a word of memory has it. */
function asWord(text: string): bigint {
  return [...text].reduce(
    (sum, letter, index) => sum | (BigInt(letter.charCodeAt(0)) << BigInt(8 * index)),
    0n,
  );
}

/**
 * Removes what there is of a container, as `deleteContainer` does and in its order, under the lock of its directory, which is
 * open. Where something is not as it should be the command goes on, which finds what is left.
 */
function removalRows(program: RowProgram, words: Words): void {
  const result = word();
  const directory = wordIn(words.directory);
  program.call("flock", [directory, LOCK.EX | LOCK.NB], { otherwise: ATTEND.again });
  // somebody else has deleted it, and it is perhaps another's by now
  const status = new Uint8Array(SIZE.STRUCT_STATX);
  const look = [AT.FDCWD, wordIn(words.path), AT.SYMLINK_NOFOLLOW, STATX.INO, status];
  program.call("statx", look, { to: result, otherwise: "not there" });
  const inode = wordIn(words.inode);
  program.sum([wordIn(status, INODE_AT)], { least: inode, most: inode, otherwise: ATTEND.exit });
  cgroupRows(program, words);
  mappingRows(program, words);
  directoryRows(program, words);
  program.goto(ATTEND.exit);
  program.label("not there");
  program.sum([wordIn(result)], { ...is("ENOENT"), next: ATTEND.exit, otherwise: ATTEND.again });
}

/** Ends what is left in cgroups, and removes them. */
function cgroupRows(program: RowProgram, { kill, cgroups, tries, above }: Words): void {
  const file = word();
  program.when(wordIn(kill), 0, "killed");
  program.call("openat", [AT.FDCWD, wordIn(kill), O.WRONLY | O.CLOEXEC, 0], { ...ANY, to: file });
  program.call("write", [wordIn(file), "1", 1], ANY);
  program.call("close", [wordIn(file)], ANY);
  program.label("killed");
  const result = word();
  const pause = new BigInt64Array([0n, BigInt(BUSY_PAUSE_NS)]);
  eachText(program, wordIn(cgroups), (dir, next) => {
    program.label("busy");
    program.call("unlinkat", [AT.FDCWD, dir, AT.REMOVEDIR], { to: result, next, otherwise: undefined });
    program.sum([wordIn(result)], { ...is("ENOENT"), next, otherwise: undefined });
    program.sum([wordIn(result)], { ...is("EBUSY"), otherwise: ATTEND.again });
    program.sum([wordIn(tries), -1], { to: tries, least: 0, otherwise: ATTEND.again });
    // the kernel counts down in there
    program.set(within(pause, 8), BUSY_PAUSE_NS);
    program.call("ppoll", [0, 0, pause, 0, 8], { ...ANY, next: "busy" });
  });
  // others live in those by now, perhaps
  eachText(program, wordIn(above), (dir, next) => {
    program.call("unlinkat", [AT.FDCWD, dir, AT.REMOVEDIR], { ...ANY, next });
  });
}

function mappingRows(program: RowProgram, words: Words): void {
  const result = word();
  const rename = [AT.FDCWD, wordIn(words.mapping), AT.FDCWD, wordIn(words.temporary), 0];
  program.call("renameat2", rename, { to: result, otherwise: "no mapping" });
  eachText(program, wordIn(words.directories), (dir, next) => {
    program.call("unlinkat", [AT.FDCWD, dir, AT.REMOVEDIR], { next, otherwise: ATTEND.again });
  });
  program.label("mapping removed");
  program.call("unlinkat", [AT.FDCWD, wordIn(words.store), AT.REMOVEDIR], {
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
function directoryRows(program: RowProgram, words: Words): void {
  const result = word();
  const directory = wordIn(words.directory);
  const files = [CONFIG, FILTER, PROGRAM_END].map((name) => [name, 0] as const);
  const directories = [OVERLAY, SCRATCH].map((name) => [name, AT.REMOVEDIR] as const);
  for (const [name, flags] of [...files, ...directories]) {
    const removed = program.freshLabel();
    program.call("unlinkat", [directory, name, flags], { to: result, next: removed, otherwise: undefined });
    program.sum([wordIn(result)], { ...is("ENOENT"), otherwise: ATTEND.again });
    program.label(removed);
  }
  const names = new Uint8Array(2 * RECORD_ALONE);
  const alone = { least: RECORD_ALONE, most: RECORD_ALONE, otherwise: ATTEND.again };
  program.call("getdents64", [directory, names, names.length], alone);
  program.call("unlinkat", [directory, RECORD, 0], { otherwise: ATTEND.again });
  program.call("unlinkat", [AT.FDCWD, wordIn(words.path), AT.REMOVEDIR], { otherwise: ATTEND.again });
}

/** A loop over the texts of a vector; `body` goes on at `next`. */
function eachText(
  program: RowProgram,
  vector: WordContent,
  body: (text: WordContent, next: string) => void,
): void {
  const [at, text] = [word(), word()];
  const [look, next, done] = [program.freshLabel(), program.freshLabel(), program.freshLabel()];
  program.set(at, vector);
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
