import { errnoNumber } from "../../base/errno";
import type { HakoError } from "../../base/errors";
import { prepared } from "../../base/undo";
import { bytesOf, textOf } from "../call/bytes";
import { FSCONFIG, FSMOUNT, FSOPEN } from "../call/constants";
import { Fd } from "../call/fd";
import type { Step } from "../call/step";
import type { Success } from "../call/success";
import { syscallOn, systemError, trySyscall } from "../call/syscall";
import { walkSteps } from "../call/walk";
import { linkText } from "../file/file";

/** New file systems, which are told their options one after the other and come to be as detached mounts (fsopen(2)). */

/** What fsconfig takes as a string, with its NUL (fs/fsopen.c). */
const FSCONFIG_LIMIT = 255;

export interface Filesystem {
  type: string;
  source?: string | undefined;
  /** Options of the file system: "size=64k", "ro", "newinstance". */
  options?: readonly string[] | undefined;
  /** ATTR bits of the mount. */
  attributes?: number | undefined;
  /** Of a procfs: the pid namespace that it shows, if not that of who makes it. */
  pidNamespace?: Fd | undefined;
  /** Where it was begun by somebody else (fsopen(2)); used up. */
  context?: Fd | undefined;
}

/** What the file system wrote about its failure: lines "e text", of which the text is kept. */
function messages(context: Fd): string[] {
  const found: string[] = [];
  const buffer = new Uint8Array(4096);
  for (let tries = 0; tries < 16; tries++) {
    const length = trySyscall("read", context.number, buffer, buffer.length);
    if (length <= 0) break;
    const text = textOf(buffer.subarray(0, length)).trim();
    if (/^[ew] /.test(text)) found.push(text.slice(2));
  }
  return found;
}

function failed(filesystem: Filesystem, context: Fd | undefined, call: string, errno: number): HakoError {
  const said = context === undefined ? [] : messages(context);
  const error = systemError(call, errno, filesystem.type);
  if (said.length === 0 && errno !== errnoNumber("ENODEV")) return error;
  const why = said.length === 0 ? "the kernel does not know this file system" : said.join(", ");
  return error.with({ message: `${error.message}: ${why}` });
}

/**
 * Whether fsconfig takes the source and all options; those that are too long, directories with a comma in their
 * names (fs/fs_context.c, legacy_parse_param), and some flags, are only for mount(2).
 */
export function fitsFsconfig(filesystem: Filesystem): boolean {
  // mount(2) has no word for them
  if (filesystem.pidNamespace !== undefined || filesystem.context !== undefined) return true;
  if (filesystem.options?.some((option) => ONLY_MOUNT.has(option))) return false;
  const values = (filesystem.options ?? []).map((option) => option.slice(option.indexOf("=") + 1));
  if (values.some((value) => value.includes("\\,"))) return false;
  return [filesystem.source ?? "", ...values].every((value) => bytesOf(value).length <= FSCONFIG_LIMIT);
}

/** Flags that fsconfig doesn't know (fs/fs_context.c, common_set_sb_flag). */
const ONLY_MOUNT: ReadonlySet<string> = new Set(["iversion", "silent"]);

/** An option of procfs since Linux 6.18 (fs/proc/root.c). */
const PID_NAMESPACE = "pidns";

/**
 * Whether this kernel can make a procfs of a pid namespace from outside of that (Linux 6.18); to make it may still fail for
 * other reasons.
 */
export function showsFromOutside(pidNamespace: Fd): boolean {
  const opened = trySyscall("fsopen", "proc", FSOPEN.CLOEXEC);
  if (opened < 0) return true;
  using context = new Fd(opened);
  const { number } = pidNamespace;
  const result = trySyscall("fsconfig", context.number, FSCONFIG.SET_FD, PID_NAMESPACE, null, number);
  return -result !== errnoNumber("EINVAL");
}

/** Begins a new file system of a type, for whoever makes it (`Filesystem.context`). */
export function beginFilesystem(type: string): Fd {
  return new Fd(syscallOn(type, "fsopen", type, FSOPEN.CLOEXEC), type);
}

/** Whether a descriptor is that of a file system that was begun: no file has such a name, as names of files begin with "/". */
export function isFilesystemContext(fd: Fd): boolean {
  return linkText(fd.path) === "anon_inode:[fscontext]";
}

/** The error of a file system that no module is there for. */
export function unknownFilesystem(filesystem: Filesystem): HakoError {
  return failed(filesystem, undefined, "fsopen", errnoNumber("ENODEV"));
}

function configStep(
  context: number,
  command: number,
  key: string | undefined,
  value: string | undefined,
  fd = 0,
): Step {
  const what = `fsconfig ${key ?? "create"}`;
  return { what, call: "fsconfig", args: [context, command, key ?? 0, value ?? 0, fd] };
}

/** What tells a file system its options, one after the other. */
function optionSteps({ source, options = [], pidNamespace }: Filesystem, context: number): Step[] {
  const steps = options.map((option) => {
    const split = option.indexOf("=");
    return split < 0
      ? configStep(context, FSCONFIG.SET_FLAG, option, undefined)
      : configStep(context, FSCONFIG.SET_STRING, option.slice(0, split), option.slice(split + 1));
  });
  if (source !== undefined) steps.unshift(configStep(context, FSCONFIG.SET_STRING, "source", source));
  if (pidNamespace !== undefined)
    steps.push(configStep(context, FSCONFIG.SET_FD, PID_NAMESPACE, undefined, pidNamespace.number));
  return steps;
}

/** Makes steps of a file system in one walk; the result of the last one. */
function configure(filesystem: Filesystem, context: Fd, steps: readonly Step[]): number {
  const [made, result] = walkSteps(steps);
  const step = steps[made];
  if (step !== undefined) throw failed(filesystem, context, step.what, -result);
  return result;
}

function openFilesystem(filesystem: Filesystem): Fd {
  const opened = trySyscall("fsopen", filesystem.type, FSOPEN.CLOEXEC);
  if (opened < 0) throw failed(filesystem, undefined, "fsopen", -opened);
  return new Fd(opened);
}

/** A file system that has taken its options, and is not made yet: nothing has changed on the host. */
export function configuredFilesystem(filesystem: Filesystem): Fd {
  return prepared(filesystem.context ?? openFilesystem(filesystem), (context) => {
    configure(filesystem, context, optionSteps(filesystem, context.number));
  });
}

/** A new, detached mount of a file system. */
export function newFilesystem(filesystem: Filesystem): Fd {
  using context = filesystem.context ?? openFilesystem(filesystem);
  return new Fd(configure(filesystem, context, mountSteps(filesystem, context.number)), filesystem.type);
}

/** What makes a detached mount of a file system that was begun; the result of the last one is that. */
function mountSteps(filesystem: Filesystem, context: number, success?: Success): Step[] {
  const { attributes = 0 } = filesystem;
  return [
    ...optionSteps(filesystem, context),
    configStep(context, FSCONFIG.CMD_CREATE, undefined, undefined),
    {
      what: "fsmount",
      call: "fsmount",
      args: [context, FSMOUNT.CLOEXEC, attributes],
      ...(success === undefined ? {} : { success }),
    },
  ];
}

/** As `newFilesystem`, for a process in which `context` is the lowest descriptor that is free, and then `mount`. */
export function newFilesystemSteps(filesystem: Filesystem, context: number, mount: number): Step[] {
  const { type } = filesystem;
  return [
    { what: `fsopen ${type}`, call: "fsopen", args: [type, FSOPEN.CLOEXEC], success: { exactly: context } },
    ...mountSteps(filesystem, context, { exactly: mount }),
  ];
}
