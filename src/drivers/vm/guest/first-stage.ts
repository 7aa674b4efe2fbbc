import { stringVector } from "../../../linux/call/argument-memory";
import { bytesOf } from "../../../linux/call/bytes";
import { AT, O } from "../../../linux/call/constants";
import type { Step } from "../../../linux/call/step";
import { readBytes } from "../../../linux/file/file";
import { DATA_AT, elfProgram } from "../../../linux/steps/elf";
import { interpreterCode } from "../../../linux/steps/interpreter-code";
import { FAILED, RowProgram, word, wordIn } from "../../../linux/steps/row-program";

/** Directories that the first stage needs, of the initramfs. */
export const STAGE_DIRECTORIES = ["dev", "image"] as const;
/** Directories of the guest's image onto which it mounts. */
export const GUEST_MOUNTS = ["/dev", "/proc", "/sys", "/run", "/tmp"] as const;
/** Where the console is, and the three standard streams: the kernel opens it (init/main.c). */
export const CONSOLE = { path: "dev/console", device: [5, 1] } as const;

/** The lowest free descriptor of the guest's first process. */
const FREE = 3;
const MS_RDONLY = 1;
const MS_NOSUID = 2;
const MS_NODEV = 4;
const MS_MOVE = 8192;

export interface FirstStage {
  /** Paths of modules in the initramfs, in the order in which they are loaded. */
  modules: readonly string[];
  /** The program of the image that becomes the guest's first process, its words and its environment. */
  program: string;
  args: readonly string[];
  environment: readonly string[];
}

function mountStep(type: string, target: string, flags = 0, source = type): Step {
  return { what: `mount ${target}`, call: "mount", args: [source, target, type, flags, ""] };
}

function moduleSteps(path: string): Step[] {
  const what = `module ${path}`;
  return [
    { what, call: "openat", args: [AT.FDCWD, path, O.RDONLY, 0], success: { exactly: FREE } },
    { what, call: "finit_module", args: [FREE, "", 0] },
    { what, call: "close", args: [FREE] },
  ];
}

/** What the guest's first process does before hako is in it: it loads modules and makes the image its root directory. */
export function firstStageSteps({ modules, program, args, environment }: FirstStage): Step[] {
  return [
    mountStep("devtmpfs", "/dev"),
    ...modules.flatMap(moduleSteps),
    mountStep("erofs", "/image", MS_RDONLY, "/dev/vda"),
    mountStep("devtmpfs", "/image/dev"),
    mountStep("proc", "/image/proc", MS_NOSUID | MS_NODEV),
    mountStep("sysfs", "/image/sys", MS_NOSUID | MS_NODEV),
    mountStep("tmpfs", "/image/run", MS_NOSUID | MS_NODEV),
    mountStep("tmpfs", "/image/tmp", MS_NOSUID | MS_NODEV),
    { what: "chdir /image", call: "chdir", args: ["/image"] },
    { what: "mount --move /image /", call: "mount", args: [".", "/", 0, MS_MOVE, 0] },
    { what: "chroot /image", call: "chroot", args: ["."] },
    { what: "chdir /", call: "chdir", args: ["/"] },
    {
      what: `execve ${program}`,
      call: "execve",
      args: [program, stringVector(args), stringVector(environment)],
      success: "never",
    },
  ];
}

/**
 * Makes the steps a program that needs nothing beside it (src/linux/steps/README.md). A step that fails is named on the console, and
 * the program ends with its errno: then the guest's kernel panics, for it has no first process any more.
 */
export function firstStageProgram(steps: readonly Step[], machine: string = process.arch): Uint8Array {
  const program = new RowProgram(machine);
  const result = word();
  for (const [index, { call, args, success }] of steps.entries()) {
    const exactly = typeof success === "object" && "exactly" in success ? success.exactly : undefined;
    program.call(call, args, {
      to: result,
      ...(exactly !== undefined && { least: exactly, most: exactly }),
      otherwise: `step ${index} failed`,
    });
  }
  for (const [index, { what }] of steps.entries()) {
    const line = bytesOf(`hako: ${what} failed\n`);
    program.label(`step ${index} failed`);
    program.call("write", [1, line, line.length], { next: FAILED, otherwise: FAILED });
  }
  program.label(FAILED);
  program.sum([0, 0, wordIn(result)], { to: result });
  program.call("exit_group", [wordIn(result)]);
  using file = elfProgram("first stage", interpreterCode(DATA_AT, machine), program.assemble(), machine);
  return readBytes(file.path);
}
