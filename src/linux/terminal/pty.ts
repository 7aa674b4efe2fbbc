import { HakoError } from "../../base/errors";
import { prepared } from "../../base/undo";
import { AT, LFLAG, O, TTY } from "../call/constants";
import { type Descriptor, descriptorNumber, Fd } from "../call/fd";
import type { Step } from "../call/step";
import { syscallOn, systemError, tryLibcHere, trySyscall } from "../call/syscall";
import { openInRoot } from "../file/path";
import { waitFor } from "../file/poll";
import { fileStatusOf, filesystemOf } from "../file/stat";
import { FILESYSTEM_MAGIC } from "../file/statfs";

/** The kernel's struct termios: four flag words, c_line, 19 c_cc. (libc's own is longer and differs between libcs.) */
const TERMIOS_SIZE = 36;
const C_CC = 17;
const ONLCR = 0o4;
const VEOF = 4;
const DEFAULT_PTMX = "/dev/ptmx";

export interface WindowSize {
  width: number;
  height: number;
}

/** A terminal's settings: the kernel's struct termios. */
export type Termios = Uint32Array & { readonly length: 9 };

export interface Pty {
  master: Fd;
  slave: Fd;
  /** The slave's path in the devpts that the master belongs to. */
  path: string;
}

function hostPtmx(flags: number): Fd {
  const opened = tryLibcHere("posix_openpt", flags);
  if (opened < 0) throw systemError("posix_openpt", -opened, DEFAULT_PTMX);
  return new Fd(opened, DEFAULT_PTMX);
}

/**
 * Opens a pseudoterminal multiplexer (ptmx): the host's, or the one at a path. The path may lie in a container's file system, so
 * what is there must be the node of a devpts, and not a device 5:2 elsewhere.
 */
function openPtmx(path: string, root: Fd | undefined): Fd {
  const wrong = (why: string) =>
    new HakoError({ code: "system", message: `open a pseudoterminal: ${path} is ${why}`, path });
  const flags = O.RDWR | O.NOCTTY | O.CLOEXEC;
  if (path === DEFAULT_PTMX && root === undefined) return hostPtmx(flags);
  const open = (at: string, how: number) => new Fd(syscallOn(path, "openat", AT.FDCWD, at, how, 0), path);
  // not yet to use it: opening a device may do something already
  const look = O.PATH | O.CLOEXEC;
  using place = root === undefined ? open(path, look) : openInRoot(root, path, look);
  const { type, major, minor } = fileStatusOf(place);
  if (type !== "character" || major !== 5 || minor !== 2) throw wrong("not the character device 5:2 (ptmx)");
  if (filesystemOf(place) !== FILESYSTEM_MAGIC.devpts) throw wrong("not on a devpts file system");
  // From outside what was checked. In a container there may be no procfs of ours, but its devices' rules are.
  const fd = open(root === undefined ? path : place.path, flags);
  // nor has somebody put another one there meanwhile
  if (filesystemOf(fd) === FILESYSTEM_MAGIC.devpts) return fd;
  fd.close();
  throw wrong("not on a devpts file system");
}

/** A new, unlocked master. Its slave is not opened: a master whose slave was closed again reads EIO. */
export function openPtyMaster(ptmxPath = DEFAULT_PTMX, root?: Fd): { master: Fd; path: string } {
  const word = new Int32Array(1);
  const master = prepared(openPtmx(ptmxPath, root), ({ number }) => {
    syscallOn(ptmxPath, "ioctl", number, TTY.TIOCSPTLCK, word);
    syscallOn(ptmxPath, "ioctl", number, TTY.TIOCGPTN, word);
  });
  return { master, path: `/dev/pts/${word[0]}` };
}

/** A new pseudoterminal, of the file system below `root` if there is one. The slave comes from the master itself, so no path can lead it astray (CVE-2025-52565). */
export function openPty(ptmxPath = DEFAULT_PTMX, root?: Fd): Pty {
  const { master, path } = openPtyMaster(ptmxPath, root);
  try {
    const flags = O.RDWR | O.NOCTTY | O.CLOEXEC;
    const slave = new Fd(syscallOn(ptmxPath, "ioctl", master.number, TTY.TIOCGPTPEER, flags));
    return { master, slave, path };
  } catch (error) {
    master.close();
    throw error;
  }
}

export function isTerminal(fd: Descriptor): boolean {
  return trySyscall("ioctl", descriptorNumber(fd), TTY.TCGETS, new Uint8Array(64)) >= 0;
}

/** The settings of a terminal. */
export function getTermios(fd: Descriptor): Termios {
  const termios = new Uint32Array(TERMIOS_SIZE / 4);
  syscallOn("tty tcgets", "ioctl", descriptorNumber(fd), TTY.TCGETS, termios);
  return termios as Termios;
}

export function setTermios(fd: Descriptor, termios: Termios): void {
  syscallOn("tty tcsets", "ioctl", descriptorNumber(fd), TTY.TCSETS, termios);
}

/** Whether a terminal's output turns "\n" into "\r\n". */
export function setOnlcr(fd: Descriptor, on: boolean): void {
  const termios = getTermios(fd);
  termios[1] = on ? (termios[1] ?? 0) | ONLCR : (termios[1] ?? 0) & ~ONLCR;
  setTermios(fd, termios);
}

/**
 * The byte that a terminal takes for the end of its input (VEOF); undefined where no byte is one, for the program reads each
 * (not ICANON).
 */
function endOfInput(master: Fd): number | undefined {
  const termios = getTermios(master);
  const byte = new Uint8Array(termios.buffer)[C_CC + VEOF];
  return ((termios[3] ?? 0) & LFLAG.ICANON) === 0 || byte === 0 ? undefined : byte;
}

/** Whether a terminal's program has input, or its end, that it has not read. */
function hasInput(master: Fd): boolean {
  const flags = O.RDWR | O.NOCTTY | O.CLOEXEC;
  const opened = trySyscall("ioctl", master.number, TTY.TIOCGPTPEER, flags);
  if (opened < 0) return false;
  using slave = new Fd(opened, "terminal");
  return waitFor(slave, "read", 0);
}

/**
 * Writes an end of input to a terminal, unless its program still has something to read. Each read(2) takes one end, so the
 * caller does this again and again; behind a line without a newline the first end only completes the line.
 */
export function endInput(master: Fd): void {
  const byte = endOfInput(master);
  if (byte !== undefined && !hasInput(master))
    syscallOn("terminal", "write", master.number, new Uint8Array([byte]), 1);
}

/**
 * Settings for a terminal that passes bytes on as they are (cfmakeraw(3)); without `output` what is written to it is processed
 * as before, for others that write to it too.
 */
export function rawTermios(termios: Termios, output = true): Termios {
  const raw = termios.slice() as Termios;
  const clear = (index: number, bits: number) => {
    raw[index] = (raw[index] ?? 0) & ~bits;
  };
  clear(0, 0o2753); // IGNBRK BRKINT PARMRK ISTRIP INLCR IGNCR ICRNL IXON
  if (output) clear(1, 0o1); // OPOST
  clear(2, 0o460); // CSIZE PARENB
  raw[2] = (raw[2] ?? 0) | 0o60; // CS8
  clear(3, 0o100113); // ECHO ECHONL ICANON ISIG IEXTEN
  const bytes = new Uint8Array(raw.buffer);
  bytes[C_CC + 6] = 1; // VMIN
  bytes[C_CC + 5] = 0; // VTIME
  return raw;
}

export function setWindowSize(fd: Descriptor, size: WindowSize): void {
  const words = new Uint16Array([size.height, size.width, 0, 0]);
  syscallOn("window size", "ioctl", descriptorNumber(fd), TTY.TIOCSWINSZ, words);
}

export function getWindowSize(fd: Descriptor): WindowSize {
  const words = new Uint16Array(4);
  syscallOn("window size", "ioctl", descriptorNumber(fd), TTY.TIOCGWINSZ, words);
  return { width: words[1] ?? 0, height: words[0] ?? 0 };
}

/** `setControllingTerminal` as a step. */
export function controllingTerminalStep(fd: number): Step {
  return { what: "controlling terminal: ioctl", call: "ioctl", args: [fd, TTY.TIOCSCTTY, 0] };
}

/** Makes a terminal the controlling one of this session, which must have none (call setsid first). */
export function setControllingTerminal(fd: Descriptor): void {
  syscallOn("controlling terminal", "ioctl", descriptorNumber(fd), TTY.TIOCSCTTY, 0);
}
