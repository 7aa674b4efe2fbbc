import { SIGNALLED } from "../../../linux/attendant/attendant-status";
import { signalSet } from "../../../linux/attendant/signal-set";
import { MAP, MSG, PR, PROT, SIG, SIGPROCMASK, SIZE, SOCK, W } from "../../../linux/call/constants";
import { CLOCK } from "../../../linux/kernel/clock";
import { capsetArguments, KILL } from "../../../linux/process/capabilities";
import { TABLE } from "../../../linux/remote/failed-step";
import { RANGE, RANGE_AT, RANGE_SIZE } from "../../../linux/remote/remote-code";
import {
  ANY,
  FAILED,
  type NamedWords,
  namedWords,
  RowProgram,
  type WordContent,
  within,
  word,
  wordIn,
} from "../../../linux/steps/row-program";
import type { Template } from "../../../linux/steps/template";
import { CLD_EXITED, PROGRAM_END_AT } from "../../../state/program-end";
import { initFilter } from "./init-filter";

/** The name in /proc/PID/comm. */
const NAME = "hako-init";
/** Where it has the page that says how the program ended. */
const END_AT = 0x20000000;
const [P_ALL, P_PID] = [0, 1];
/** In siginfo_t of waitid(2): si_code, si_pid, si_status. */
const [INFO_CODE_AT, INFO_PID_AT, INFO_STATUS_AT] = [8, 16, 24];
const SIGINFO_SIZE = 128;
const LOW_HALF = 0xffffffff;
const SECCOMP_SET_MODE_FILTER = 1;
const [FUTEX_WAIT, FUTEX_WAKE] = [0, 1];
const ALL_SIGNALS = new BigInt64Array([-1n]);
/** linux/signal.h: sent by kill(2), or by its like for pidfds. */
const SI_USER = 0;
/** Those that end one without a program. */
const ENDING = [SIG.TERM, SIG.INT, SIG.HUP, SIG.QUIT];
/**
 * Those that outside of a container come to all processes of the job in a terminal's foreground, by its keys, its size, and the shell: a shell
 * script that waits for a program looks whether that was interrupted too.
 */
const TO_THE_GROUP = signalSet([SIG.INT, SIG.QUIT, SIG.TSTP, SIG.TTIN, SIG.TTOU, SIG.CONT, SIG.WINCH]);

/** What it is told. */
const NAMES = [
  // the address of the table of the program's steps, and the number of the step that makes its process
  "table",
  "birth",
  // the signal that it gets at the end of the process that made it, or 0
  "death",
  // a socket at which it waits for `start`, or -1; the connection's number, and the message that answers it
  "start",
  "connection",
  "answer",
  // the file for the program's end
  "end",
  // the eventfd that counts stops, or -1; the descriptors below and above it, of which the last and the first are these
  "stops",
  "below",
  "above",
  // whether it is under a seccomp filter of its own
  "filtered",
  // whether there is no program
  "idle",
] as const;
export type InitWord = (typeof NAMES)[number];
type Words = NamedWords<InitWord>;

/** Words of its own. */
class Own {
  readonly program = word();
  readonly info = new Uint8Array(SIGINFO_SIZE);
}

/**
 * The first process of a container whose program is not that: the end of the container's remote process, in whose memory it goes on, with the
 * range that it shares with hako until the program is executed.
 */
export function initProgram(machine: string): Template<InitWord> {
  const rows = new RowProgram(machine);
  const words = namedWords(NAMES);
  const own = new Own();
  startRows(rows, words);
  bearRows(rows, words, own);
  leaveRows(rows, words, machine);
  reapRows(rows, words, own);
  signalRows(rows, words, own);
  endRows(rows, own);
  return rows.template(words);
}

/** Waits for `start`, if it is to. */
function startRows(rows: RowProgram, { death, start, connection, answer }: Words): void {
  rows.call("prctl", [PR.SET_DUMPABLE, 0, 0, 0, 0]);
  rows.call("prctl", [PR.SET_PDEATHSIG, wordIn(death), 0, 0, 0]);
  // they wait to be passed on; those that the kernel would drop as well
  rows.call("rt_sigprocmask", [SIGPROCMASK.SIG_SETMASK, ALL_SIGNALS, 0, 8]);
  rows.when(wordIn(start), -1, "bear");
  const connected = { least: wordIn(connection), most: wordIn(connection) };
  rows.call("accept4", [wordIn(start), 0, 0, SOCK.CLOEXEC], { ...connected, otherwise: FAILED });
  rows.call("close", [wordIn(start)]);
  rows.call("sendmsg", [wordIn(connection), wordIn(answer), MSG.NOSIGNAL]);
}

/**
 * Makes the program's process, which waits: a program with CAP_SYS_PTRACE could take this process over before it has nothing any more.
 */
function bearRows(rows: RowProgram, { table, birth, idle }: Words, { program }: Own): void {
  const [at, go] = [word(), word()];
  rows.label("bear");
  rows.when(wordIn(idle), 1, "born");
  rows.call("clone", [SIG.CHLD, 0, 0, 0, 0], { to: program, otherwise: "not born" });
  rows.when(wordIn(program), 0, "program");
  rows.goto("born");
  rows.label("program");
  rows.call("futex", [RANGE_AT + RANGE.go, FUTEX_WAIT, 0, 0, 0, 0], ANY);
  rows.load(RANGE_AT + RANGE.go, { to: go });
  rows.when(wordIn(go), 0, "program");
  rows.call("rt_sigprocmask", [SIGPROCMASK.SIG_SETMASK, word(0), 0, 8]);
  rows.walk(wordIn(table));
  // as a step that has failed
  rows.label("not born");
  rows.sum([wordIn(table), TABLE.index], { to: at });
  rows.sum([wordIn(birth)], { to: wordIn(at) });
  rows.sum([wordIn(table), TABLE.result], { to: at });
  rows.sum([wordIn(program)], { to: wordIn(at) });
  rows.goto(FAILED);
}

/** Has nothing any more but what it needs, no descriptor that keeps a pipe of the program's open, and lets the program's process go. */
function leaveRows(rows: RowProgram, { end, stops, below, above, filtered }: Words, machine: string): void {
  rows.label("born");
  // until now it was one that waits for `start`
  rows.call("prctl", [PR.SET_NAME, NAME, 0, 0, 0], ANY);
  rows.call("mmap", [END_AT, SIZE.PAGE, PROT.READ | PROT.WRITE, MAP.SHARED | MAP.FIXED, wordIn(end), 0]);
  rows.when(wordIn(stops), -1, "all");
  rows.call("close_range", [0, wordIn(below), 0]);
  rows.label("all");
  rows.call("close_range", [wordIn(above), LOW_HALF, 0]);
  rows.call("chdir", ["/"], ANY);
  // the program may become another user
  rows.call("capset", [...capsetArguments(KILL)], { next: "confined", otherwise: undefined });
  rows.call("capset", [...capsetArguments(0n)]);
  rows.label("confined");
  rows.when(wordIn(filtered), 0, "let go");
  rows.call("seccomp", [SECCOMP_SET_MODE_FILTER, 0, initFilter(machine)]);
  rows.label("let go");
  rows.sum([1], { to: wordIn(word(RANGE_AT + RANGE.go)) });
  rows.call("futex", [RANGE_AT + RANGE.go, FUTEX_WAKE, 1, 0, 0, 0], ANY);
  rows.call("munmap", [RANGE_AT, RANGE_SIZE]);
}

/** Reaps orphans, looks whether the program has ended or was stopped, and waits for a signal. */
function reapRows(rows: RowProgram, { stops }: Words, { program, info }: Own): void {
  const who = word();
  const look = (id: number, of: WordContent | number, what: number) => {
    rows.set(within(info, INFO_PID_AT), 0);
    // one without a program may have no child
    rows.call("waitid", [id, of, info, what | W.NOHANG, 0], { otherwise: "wait" });
    rows.mask(wordIn(info, INFO_PID_AT), LOW_HALF, { to: who });
  };
  rows.label("reap");
  look(P_ALL, 0, W.EXITED | W.NOWAIT);
  rows.when(wordIn(who), 0, "stopped");
  rows.when(wordIn(who), wordIn(program), "ended");
  rows.call("wait4", [wordIn(who), 0, 0, 0], { ...ANY, next: "reap" });
  rows.label("stopped");
  rows.when(wordIn(stops), -1, "wait");
  look(P_PID, wordIn(program), W.STOPPED);
  rows.when(wordIn(who), 0, "wait");
  rows.call("write", [wordIn(stops), word(1), 8], ANY);
}

/** Passes signals on, or ends by them. */
function signalRows(rows: RowProgram, { idle }: Words, { program, info }: Own): void {
  const [signal, bit, group] = [word(), word(), word()];
  rows.label("wait");
  rows.call("rt_sigtimedwait", [ALL_SIGNALS, info, 0, 8], { to: signal, otherwise: "reap" });
  rows.when(wordIn(signal), SIG.CHLD, "reap");
  rows.when(wordIn(idle), 1, "asked");
  rows.sum([wordIn(signal), -1], { to: bit });
  rows.rotate(TO_THE_GROUP, wordIn(bit), { to: bit });
  rows.mask(wordIn(bit), 1, { to: bit, most: 0, next: "alone", otherwise: undefined });
  rows.sum([0, 0, wordIn(program)], { to: group });
  // it may have gone to another one
  rows.call("kill", [wordIn(group), wordIn(signal)], { next: "reap", otherwise: "alone" });
  rows.label("alone");
  // not to the next signal: as long as somebody sends them, the kernel keeps CHLD behind those of lower numbers
  rows.call("kill", [wordIn(program), wordIn(signal)], { ...ANY, next: "reap" });
  askedRows(rows, signal, info);
}

/** Ends where somebody outside has asked for it: the kernel says 0 of who is in no pid namespace of its own (pid_namespaces(7)). */
function askedRows(rows: RowProgram, signal: BigInt64Array, info: Uint8Array): void {
  const sender = word();
  rows.label("asked");
  // of other kinds (sigqueue(3)) the sender itself says who it is
  rows.mask(wordIn(info, INFO_CODE_AT), LOW_HALF, {
    ...{ least: SI_USER, most: SI_USER, otherwise: "reap" },
    to: sender,
  });
  rows.mask(wordIn(info, INFO_PID_AT), LOW_HALF, { to: sender, least: 0, most: 0, otherwise: "reap" });
  for (const ending of ENDING) rows.when(wordIn(signal), ending, "over");
  rows.goto("reap");
  rows.label("over");
  rows.set(within(info, INFO_CODE_AT), CLD_EXITED);
  rows.set(within(info, INFO_STATUS_AT), 0, "ended");
}

/** Tells how the program ended, and ends as that did, or as a shell says that it did. */
function endRows(rows: RowProgram, { info }: Own): void {
  const [how, status] = [word(), word()];
  rows.label("ended");
  rows.mask(wordIn(info, INFO_CODE_AT), LOW_HALF, { to: how });
  rows.mask(wordIn(info, INFO_STATUS_AT), LOW_HALF, { to: status });
  rows.call("clock_gettime", [CLOCK.realtime, END_AT + PROGRAM_END_AT.time], ANY);
  rows.call("clock_gettime", [CLOCK.monotonic, END_AT + PROGRAM_END_AT.clock], ANY);
  rows.sum([wordIn(status)], { to: wordIn(word(END_AT + PROGRAM_END_AT.status)) });
  rows.sum([wordIn(how)], { to: wordIn(word(END_AT + PROGRAM_END_AT.how)) });
  rows.when(wordIn(how), CLD_EXITED, "exit");
  rows.sum([wordIn(status), SIGNALLED], { to: status });
  rows.label("exit");
  rows.call("exit_group", [wordIn(status)]);
  rows.label(FAILED);
  rows.call("exit_group", [1]);
}
