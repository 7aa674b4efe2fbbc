import { errnoNumber } from "../../../base/errno";
import { signalSet } from "../../../linux/attendant/signal-set";
import { F, MAP, MSG, O, POLL, PR, PROT, SIG, SIGPROCMASK, TTY } from "../../../linux/call/constants";
import {
  ANY,
  FAILED,
  type InnerAddress,
  type NamedWords,
  namedWords,
  RowProgram,
  within,
  word,
  wordIn,
} from "../../../linux/steps/row-program";
import type { Template } from "../../../linux/steps/template";
import { FIGURES_SIZE } from "../channel/figures-text";
import { HEADER_SIZE, INPUT_WINDOW, TO_GUEST, TO_HOST } from "../channel/stream-frames";

/** The name in /proc/PID/comm. */
const NAME = "hako-stand-in";
/** What nobody takes any more is told to the agent with the second word. */
const OUTPUTS = [
  ["output", TO_GUEST.outputClosed],
  ["error", TO_GUEST.errorClosed],
  ["figures", TO_GUEST.figuresClosed],
] as const;
/** As a shell says of a program that was killed: the machine is gone. */
const LOST = 128 + SIG.KILL;
const SIGINFO_SIZE = 128;
/** In struct signalfd_siginfo (signalfd(2)): ssi_code and ssi_pid are one word. */
const SSI_CODE_AT = 8;
const LOW_HALF = 0xffffffff;
const TYPE = 0xff;
/** How much is read at once, in each direction. */
const CHUNK = 32768;
/** Where its buffers are; memory that is not touched is not there. */
const OUTPUT_AT = 0x20000000;
const INPUT_AT = OUTPUT_AT + CHUNK;
const INPUT_SIZE = CHUNK + 4096;
/** Of a pollfd no descriptor at all. */
const NO_POLL = LOW_HALF;
const IN = POLL.IN * 2 ** 32;
const OUT = POLL.OUT * 2 ** 32;
/** What a pollfd has when there is something to do. */
const READY = (POLL.IN | POLL.OUT | POLL.ERR | POLL.HUP) * 2 ** 48;
/** After so many seconds without data its buffers are given back. */
const QUIET_SECONDS = 1;
const MADV_DONTNEED = 4;
/** What a stream that can't be made non-blocking takes without waiting, where poll(2) says that it takes something (pipe(7), PIPE_BUF). */
const LITTLE = 4096;

/**
 * What it is told: the socket to the agent, a file for what the container has used, an eventfd(2) that counts stops, and of each stream the descriptor, whether that is a socket, and
 * how much is written at once. A descriptor that is not there is -1.
 */
const NAMES = [
  ...(["socket", "figures", "stops"] as const),
  ...(["output", "outputIsSocket", "outputAtOnce"] as const),
  ...(["error", "errorIsSocket", "errorAtOnce"] as const),
  // whether all three are a terminal that nobody else has open
  "terminal",
] as const;
export type StandInWord = (typeof NAMES)[number];
type Words = NamedWords<StandInWord>;

/** What a stream's `AtOnce` is: all that is there, or only after poll(2). */
export const AT_ONCE = { all: CHUNK, little: LITTLE } as const;

/** Words of its own. */
class Own {
  readonly signals = word(-1);
  /** struct pollfd of the signals, the socket, standard input, and the stream that is written to. */
  readonly polled = new BigUint64Array([NO_POLL, NO_POLL, NO_POLL, NO_POLL].map(BigInt));
  readonly process = word();
  /** The header that comes, and how much of it is there. */
  readonly header = word();
  readonly have = word();
  /** Bytes of the message that are still to come, and the stream that they are for. */
  readonly left = word();
  readonly stream = word();
  readonly isSocket = word();
  readonly atOnce = word();
  /** TO_GUEST's word for that nobody reads this stream. */
  readonly closed = word();
  /** What is to be written to it. */
  readonly at = word();
  readonly pending = word();
  /** How long to wait: the address of a struct timespec, which the kernel counts down, while there is memory to give back, else 0. */
  readonly patience = word();
  readonly time = new BigInt64Array(2);
  /** How much of standard input the agent takes. */
  readonly credit = word(INPUT_WINDOW);
  readonly message = word();
  /** What of standard input is waited for while there is credit: nothing after its end. */
  readonly inputAsked = word(IN);

  entry(index: number): InnerAddress {
    return within(this.polled, 8 * index);
  }
}

/**
 * A container's process on the host, while its program runs in a machine: it relays the standard streams, passes signals on, and ends as the
 * program does (../channel/stream-frames.ts). Descriptors of the caller stay as they are, for others have them too.
 */
export function standInProgram(machine: string): Template<StandInWord> {
  const rows = new RowProgram(machine);
  const words = namedWords(NAMES);
  const own = new Own();
  startRows(rows, words, own);
  pollRows(rows, own);
  signalRows(rows, words, own);
  receiveRows(rows, words, own);
  writeRows(rows, words, own);
  inputRows(rows, words, own);
  rows.label("lost");
  rows.call("exit_group", [LOST]);
  rows.label(FAILED);
  rows.call("exit_group", [1]);
  return rows.template(words);
}

function startRows(rows: RowProgram, { socket, terminal }: Words, own: Own): void {
  rows.call("prctl", [PR.SET_NAME, NAME, 0, 0, 0], ANY);
  // the kernel keeps none from a process that holds it back
  rows.call("rt_sigprocmask", [SIGPROCMASK.SIG_SETMASK, new BigInt64Array([-1n]), 0, 8]);
  const passed = word(-1n & ~BigInt(signalSet([SIG.CHLD])));
  rows.call("signalfd4", [-1, passed, 8, O.CLOEXEC | O.NONBLOCK], { to: own.signals });
  rows.call("getpid", [], { to: own.process });
  const how = MAP.PRIVATE | MAP.FIXED | MAP.ANONYMOUS;
  rows.call("mmap", [OUTPUT_AT, CHUNK + INPUT_SIZE, PROT.READ | PROT.WRITE, how, -1, 0]);
  rows.sum([wordIn(own.signals), IN], { to: own.entry(0) });
  rows.sum([wordIn(socket), IN], { to: own.entry(1) });
  rows.sum([0, IN], { to: own.entry(2) });
  rows.when(wordIn(terminal), 0, "wait");
  rows.call("fcntl", [0, F.SETFL, O.RDWR | O.NONBLOCK]);
  // it may have been changed since the terminal was made
  rows.goto("window size");
}

/** Waits; signals come first. */
function pollRows(rows: RowProgram, { polled, patience, pending }: Own): void {
  const readyOf = (index: number, next: string) =>
    rows.mask(wordIn(polled, 8 * index), READY, { most: 0, otherwise: next });
  rows.label("wait");
  const ready = word();
  rows.call("ppoll", [polled, 4, wordIn(patience), 0, 8], { to: ready, otherwise: "wait" });
  rows.when(wordIn(ready), 0, "quiet");
  readyOf(0, "signals");
  rows.label("streams");
  readyOf(3, "write");
  readyOf(1, "receive");
  readyOf(2, "input");
  rows.goto("wait");
  rows.label("quiet");
  rows.set(patience, 0);
  // what nobody has read yet is still there
  rows.sum([wordIn(pending)], { most: 0, otherwise: "wait" });
  rows.call("madvise", [OUTPUT_AT, CHUNK + INPUT_SIZE, MADV_DONTNEED], { ...ANY, next: "wait" });
}

/** Data has passed: buffers are given back some time after the last. */
function busyRows(rows: RowProgram, { patience, time }: Own): void {
  rows.set(within(time, 0), QUIET_SECONDS);
  rows.set(within(time, 8), 0);
  rows.set(patience, time);
}

function signalRows(rows: RowProgram, { socket }: Words, { signals, process, message }: Own): void {
  const [info, signal, sender, size] = [new Uint8Array(SIGINFO_SIZE), word(), word(), word()];
  rows.label("signals");
  rows.call("read", [wordIn(signals), info, SIGINFO_SIZE], { least: SIGINFO_SIZE, otherwise: "streams" });
  rows.mask(wordIn(info), LOW_HALF, { to: signal });
  // a write that nobody reads gives SIGPIPE
  rows.rotate(wordIn(info, SSI_CODE_AT), 32, { to: sender });
  rows.mask(wordIn(sender), LOW_HALF, { to: sender });
  rows.when(wordIn(sender), wordIn(process), "signals");
  rows.when(wordIn(signal), SIG.WINCH, "window size");
  rows.label("signal");
  rows.rotate(wordIn(signal), 56, { to: message });
  rows.sum([wordIn(message), TO_GUEST.signal], { to: message, next: "send", otherwise: "send" });
  rows.label("window size");
  // without a terminal it is a signal as others are
  rows.call("ioctl", [0, TTY.TIOCGWINSZ, size], { otherwise: "signal" });
  rows.mask(wordIn(size), LOW_HALF, { to: message });
  rows.rotate(wordIn(message), 56, { to: message });
  rows.sum([wordIn(message), TO_GUEST.windowSize], { to: message });
  rows.label("send");
  rows.call("sendto", [wordIn(socket), message, HEADER_SIZE, MSG.NOSIGNAL, 0, 0], {
    least: HEADER_SIZE,
    next: "signals",
    otherwise: "lost",
  });
}

/** Takes what comes from the agent: a header, then its data. */
function receiveRows(rows: RowProgram, words: Words, own: Own): void {
  const { header, have, left, credit, stream } = own;
  const [count, place, rest, type, number] = [word(), word(), word(), word(), word()];
  rows.label("receive");
  rows.sum([wordIn(left)], { to: count, most: 0, otherwise: "data" });
  rows.sum([header, wordIn(have)], { to: place });
  rows.sum([HEADER_SIZE, 0, wordIn(have)], { to: rest });
  rows.call("recvfrom", [wordIn(words.socket), wordIn(place), wordIn(rest), MSG.DONTWAIT, 0, 0], {
    to: count,
    least: 1,
    otherwise: "no header",
  });
  rows.sum([wordIn(have), wordIn(count)], { to: have });
  rows.sum([wordIn(have)], { least: HEADER_SIZE, otherwise: "wait" });
  rows.set(have, 0);
  rows.mask(wordIn(header), TYPE, { to: type });
  rows.rotate(wordIn(header), 8, { to: number });
  rows.mask(wordIn(number), LOW_HALF, { to: number });
  for (const [kind, next] of [
    [TO_HOST.output, "to output"],
    [TO_HOST.error, "to error"],
    [TO_HOST.credit, "credit"],
    [TO_HOST.figures, "to figures"],
    [TO_HOST.stopped, "stopped"],
  ] as const)
    rows.when(wordIn(type), kind, next);
  rows.sum([wordIn(type)], { least: TO_HOST.ended, most: TO_HOST.ended, otherwise: "lost" });
  rows.mask(wordIn(number), TYPE, { to: number });
  rows.call("exit_group", [wordIn(number)]);
  rows.label("credit");
  rows.sum([wordIn(credit), wordIn(number)], { to: credit });
  rows.sum([wordIn(own.inputAsked)], { to: own.entry(2), next: "wait" });
  rows.label("stopped");
  rows.call("write", [wordIn(words.stops), word(1), 8], { ...ANY, next: "wait" });
  // the file has one message, and never more
  rows.label("to figures");
  rows.sum([wordIn(number)], { most: FIGURES_SIZE, otherwise: "lost" });
  rows.call("lseek", [wordIn(words.figures), 0, 0], ANY);
  rows.set(own.isSocket, 0);
  rows.set(own.atOnce, AT_ONCE.all, "figures");
  for (const [name, closed] of OUTPUTS) {
    if (name !== "figures") {
      rows.label(`to ${name}`);
      rows.set(own.isSocket, wordIn(words[`${name}IsSocket`]));
      rows.set(own.atOnce, wordIn(words[`${name}AtOnce`]));
    } else rows.label(name);
    rows.set(left, wordIn(number));
    rows.set(stream, wordIn(words[name]));
    rows.set(own.closed, closed, "data");
  }
  dataRows(rows, words, own, count);
}

/** Takes what belongs to the last header, as much of it as is there. */
function dataRows(rows: RowProgram, words: Words, own: Own, count: BigInt64Array): void {
  const { left, at, pending } = own;
  const size = word();
  rows.label("data");
  rows.sum([wordIn(left)], { most: 0, next: "wait", otherwise: undefined });
  rows.sum([wordIn(left)], { to: size, most: CHUNK, next: "size", otherwise: undefined });
  rows.set(size, CHUNK);
  rows.label("size");
  rows.call("recvfrom", [wordIn(words.socket), OUTPUT_AT, wordIn(size), MSG.DONTWAIT, 0, 0], {
    to: count,
    least: 1,
    otherwise: "no header",
  });
  rows.sum([wordIn(left), 0, wordIn(count)], { to: left });
  rows.set(at, OUTPUT_AT);
  rows.set(pending, wordIn(count), "write first");
  // an end, or nothing yet
  rows.label("no header");
  rows.when(wordIn(count), 0, "lost");
  rows.goto("wait");
}

/** Writes to a stream what is pending. */
function writeRows(rows: RowProgram, words: Words, own: Own): void {
  const { stream, isSocket, atOnce, at, pending, closed } = own;
  const [size, count] = [word(), word()];
  rows.label("write first");
  // nobody reads it
  rows.when(wordIn(stream), -1, "written");
  rows.when(wordIn(atOnce), LITTLE, "full");
  rows.label("write");
  rows.sum([wordIn(pending), 0, wordIn(atOnce)], { most: 0, next: "all", otherwise: undefined });
  rows.set(size, wordIn(atOnce), "sized");
  rows.label("all");
  rows.set(size, wordIn(pending));
  rows.label("sized");
  rows.when(wordIn(isSocket), 1, "write to a socket");
  rows.call("write", [wordIn(stream), wordIn(at), wordIn(size)], {
    to: count,
    least: 1,
    otherwise: "unwritten",
  });
  rows.goto("some written");
  rows.label("write to a socket");
  const how = MSG.DONTWAIT | MSG.NOSIGNAL;
  rows.call("sendto", [wordIn(stream), wordIn(at), wordIn(size), how, 0, 0], {
    to: count,
    least: 1,
    otherwise: "unwritten",
  });
  rows.label("some written");
  rows.sum([wordIn(at), wordIn(count)], { to: at });
  rows.sum([wordIn(pending), 0, wordIn(count)], {
    to: pending,
    most: 0,
    next: "written",
    otherwise: undefined,
  });
  rows.when(wordIn(atOnce), LITTLE, "full");
  rows.goto("write");
  // the socket waits meanwhile, and so does the program
  rows.label("full");
  rows.set(own.entry(1), NO_POLL);
  rows.sum([wordIn(stream), OUT], { to: own.entry(3), next: "wait" });
  rows.label("unwritten");
  for (const errno of ["EAGAIN", "EINTR"] as const) rows.when(wordIn(count), -errnoNumber(errno), "full");
  for (const [name, word] of OUTPUTS) {
    const other = rows.freshLabel();
    rows.sum([wordIn(closed), 0, word], { least: 0, most: 0, otherwise: other });
    rows.set(words[name], -1);
    rows.label(other);
  }
  rows.set(stream, -1);
  rows.call("sendto", [wordIn(words.socket), closed, HEADER_SIZE, MSG.NOSIGNAL, 0, 0], {
    least: HEADER_SIZE,
    otherwise: "lost",
  });
  rows.label("written");
  rows.set(own.pending, 0);
  busyRows(rows, own);
  rows.set(own.entry(3), NO_POLL);
  rows.sum([wordIn(words.socket), IN], { to: own.entry(1), next: "wait" });
}

/** Passes on what standard input has, as much of it as the agent takes. */
function inputRows(rows: RowProgram, { socket }: Words, own: Own): void {
  const { credit, inputAsked } = own;
  const [size, count, whole] = [word(), word(), word()];
  const header = wordIn(word(INPUT_AT));
  rows.label("input");
  rows.sum([wordIn(credit)], { to: size, most: CHUNK, next: "input size", otherwise: undefined });
  rows.set(size, CHUNK);
  rows.label("input size");
  rows.call("read", [0, INPUT_AT + HEADER_SIZE, wordIn(size)], {
    to: count,
    least: 1,
    otherwise: "no input",
  });
  rows.label("send input");
  rows.rotate(wordIn(count), 56, { to: header });
  rows.sum([wordIn(count), HEADER_SIZE], { to: whole });
  rows.call("sendto", [wordIn(socket), INPUT_AT, wordIn(whole), MSG.NOSIGNAL, 0, 0], {
    least: wordIn(whole),
    otherwise: "lost",
  });
  busyRows(rows, own);
  rows.sum([wordIn(credit), 0, wordIn(count)], { to: credit, most: 0, otherwise: "wait" });
  rows.set(own.entry(2), NO_POLL, "wait");
  rows.label("no input");
  for (const errno of ["EAGAIN", "EINTR"] as const) rows.when(wordIn(count), -errnoNumber(errno), "wait");
  // it has ended, or can't be read any more
  rows.set(count, 0);
  rows.set(inputAsked, NO_POLL);
  rows.set(own.entry(2), NO_POLL, "send input");
}
