import { parseDuration } from "../base/duration";
import { HakoError } from "../base/errors";
import type { Argument } from "../cli/arguments";
import { defineCommand } from "../cli/command";
import type { Globals } from "../cli/global-flags";
import { inheritance } from "../container/io/caller";
import { type EndedRun, endEndedRun, endedRun } from "../container/run/ended-run";
import { runContainer } from "../container/run/run";
import type { ScriptValues } from "../container/script/script";
import { callerOpenFiles } from "../linux/process/rlimit";
import { containerId } from "../oci/id";
import { print } from "../output/print";
import { freeId } from "../state/free-id";
import { CREATE_FLAGS, createOptions, placeOptions } from "./flags/container";
import { NEW_CONTAINER } from "./flags/operands";

/** Loaded on first use. */
const rare = {
  /** Loaded for those who have no bundle. */
  get script() {
    return require("../container/script/script") as typeof import("../container/script/script");
  },
};

/** setTimeout's: longer ones end at once. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** Flags of the form without a bundle. A limit that is left empty is refused: the program would have none. */
const SCRIPT_FLAGS = {
  rootfs: {
    type: "string",
    keepsEmpty: true,
    valueHint: "DIR",
    description:
      "without a bundle: run COMMAND in this root file system; / is the host's, with writes thrown away",
  },
  name: {
    type: "string",
    valueHint: "ID",
    description: "with --rootfs: the container's id, as the operand; hako makes one if not given",
  },
  memory: {
    type: "string",
    keepsEmpty: true,
    alias: "m",
    valueHint: "SIZE",
    description: "with --rootfs: memory limit, as 64M or 1G",
  },
  cpus: {
    type: "string",
    keepsEmpty: true,
    valueHint: "N",
    description: "with --rootfs: processors' time, as 0.5",
  },
  pids: {
    type: "string",
    keepsEmpty: true,
    alias: "pids-limit",
    valueHint: "N",
    description: "with --rootfs: limit of processes and threads",
  },
  network: {
    type: "string",
    alias: "net",
    valueHint: "none|host|PATH",
    description:
      "with --rootfs: a network of its own with loopback only (default), the host's, or a namespace's",
  },
  env: {
    type: "string",
    alias: "e",
    valueHint: "K=V",
    multiple: true,
    description: "with --rootfs: set a variable; K alone takes the caller's value",
  },
  mount: {
    type: "string",
    valueHint: "SPEC",
    multiple: true,
    description: "with --rootfs: type=bind,source=DIR,target=DIR[,ro], or type=tmpfs,target=DIR[,OPTION]",
  },
  volume: {
    type: "string",
    alias: "v",
    valueHint: "SOURCE:TARGET[:ro]",
    multiple: true,
    description: "with --rootfs: a bind mount in fewer letters",
  },
  user: {
    type: "string",
    keepsEmpty: true,
    alias: "u",
    valueHint: "U[:G]",
    description: "with --rootfs: names or numbers of user and group",
  },
  workdir: {
    type: "string",
    alias: "w",
    valueHint: "DIR",
    description:
      "with --rootfs: working directory; if not given /, or with --rootfs / without --user the caller's",
  },
  "read-only": {
    type: "boolean",
    description: "with --rootfs: it, and all that is mounted below it, can't be written",
  },
  hostname: {
    type: "string",
    valueHint: "NAME",
    description: "with --rootfs: host name; the id if not given",
  },
  seccomp: {
    type: "string",
    keepsEmpty: true,
    valueHint: "default|FILE|off",
    description: "with --rootfs: what system calls it may make: as ordinary programs do, or a profile's",
  },
  tty: { type: "boolean", alias: "t", description: "with --rootfs: give the command a terminal" },
} as const satisfies Record<keyof ScriptValues | "name", Argument>;

export default defineCommand({
  args: {
    container: { ...NEW_CONTAINER, required: false },
    ...CREATE_FLAGS,
    detach: { type: "boolean", alias: "d", description: "come back when the program has been started" },
    keep: { type: "boolean", description: "don't delete the container after its end" },
    "no-subreaper": { type: "boolean", description: "don't adopt orphans of the container" },
    timeout: {
      type: "string",
      keepsEmpty: true,
      valueHint: "TIME",
      description: "kill the container after this time, as 30s or 1m30s; the exit status is then 124",
    },
    ...SCRIPT_FLAGS,
  },
  rest: "[-- COMMAND [ARG...]]",
  stopAtOperand: "rootfs",
  examples: [
    "hako run --bundle /bundles/web web",
    "hako run --rootfs / --memory 64M --network none -- sh -c 'echo $$'",
    'hako run --rootfs / --timeout 30s -v "$PWD:/src:ro" -w /src -- ls',
    "hako run --detach --rootfs / --name job -- sleep 60",
  ],
  async run({ args, rest, separated, data: { globals } }) {
    const common = {
      consoleSocketPath: args["console-socket"],
      detach: args.detach,
      keep: args.keep,
      subreaper: !args["no-subreaper"],
      timeLimit: timeLimitOf(args.timeout, args.detach),
    };
    if (args.rootfs === undefined) {
      refuseScriptFlags(args, rest);
      if (args.container === undefined)
        throw new HakoError({
          code: "usage",
          message: "missing CONTAINER",
          hint: "hako run --bundle DIR CONTAINER",
        });
      const ended = endedRun();
      if (ended !== undefined) return endOf(ended, args.container, args.keep, globals);
      const options = createOptions(globals, args.container, args);
      // as with runc and crun, whose callers take 1 for a container that could not be run, and whose signals are only passed on
      return await withStatusOne(() => runContainer({ ...options, ...common, signalsEnd: false }));
    }
    if (!separated) refuseWords(args.container);
    refuseBundleFlags(args);
    const { preserveFds } = inheritance(args["preserve-fds"]);
    const id = idOf(args, globals.root);
    const command = rest[0] === "--" ? rest.slice(1) : rest;
    const bundle = rare.script.scriptBundle(id, { ...args, rootfs: args.rootfs }, command);
    const place = placeOptions(globals, id, args, preserveFds);
    const status = await runContainer({ ...place, ...common, bundle, signalsEnd: true });
    if (args.detach && id !== (args.container ?? args.name)) print(`${id}\n`);
    return status;
  },
});

/** The end of a container that an attendant has given back. */
function endOf(ended: EndedRun, container: string, keep: boolean, { root }: Globals): number {
  const openFiles = callerOpenFiles();
  return endEndedRun(ended, { root, id: containerId(container), keep, openFiles });
}

/** Without the -- a command's name would be taken for the id, and its first argument for the command. */
function refuseWords(first: string | undefined): never {
  throw new HakoError({
    code: "usage",
    message: first === undefined ? "missing COMMAND" : `${JSON.stringify(first)}: a command comes after --`,
    hint: "hako run --rootfs DIR [--name ID] -- COMMAND [ARG...]",
  });
}

/** The operand, the flag, or one that hako makes. */
function idOf(
  { container, name }: { container: string | undefined; name: string | undefined },
  root: string,
): string {
  if (container !== undefined && name !== undefined && container !== name) {
    throw new HakoError({
      code: "usage",
      message: `--name ${JSON.stringify(name)}: the id is ${JSON.stringify(container)} already`,
      hint: "leave one of them out",
    });
  }
  return container ?? name ?? freeId(root);
}

function timeLimitOf(text: string | undefined, detach: boolean): number | undefined {
  if (text === undefined) return undefined;
  if (detach) {
    throw new HakoError({ code: "usage", message: "--timeout and --detach: nothing stays that could wait" });
  }
  const milliseconds = parseDuration(text);
  if (milliseconds !== undefined && milliseconds >= 1 && milliseconds <= LONGEST_TIMER_MS)
    return milliseconds;
  throw new HakoError({
    code: "usage",
    message: `--timeout: ${JSON.stringify(text)} is not a time from 1ms to 596h, as 30s`,
  });
}

async function withStatusOne(action: () => Promise<number>): Promise<number> {
  try {
    return await action();
  } catch (error) {
    if (error instanceof HakoError && error.code.startsWith("command-")) {
      const { message, errno, path, hint, cause } = error;
      throw new HakoError({ code: "system", message, errno, path, hint, cause });
    }
    throw error;
  }
}

function refuseBundleFlags({ bundle, config }: { bundle: string; config: string | undefined }): void {
  const given =
    bundle !== CREATE_FLAGS.bundle.default ? "--bundle" : config !== undefined ? "--config" : undefined;
  if (given === undefined) return;
  throw new HakoError({
    code: "usage",
    message: `${given} and --rootfs contradict each other`,
    hint: "a bundle's config.json names its root file system",
  });
}

function refuseScriptFlags(args: Record<string, unknown>, rest: readonly string[]): void {
  for (const name of Object.keys(SCRIPT_FLAGS)) {
    const value = args[name];
    if (value === undefined || value === false || (Array.isArray(value) && value.length === 0)) continue;
    throw new HakoError({
      code: "usage",
      message: `--${name} needs --rootfs`,
      hint: name === "name" ? "the id is the operand" : "a bundle's config.json says it",
    });
  }
  if (rest.length > 0) {
    throw new HakoError({
      code: "usage",
      message: `unexpected operand ${JSON.stringify(rest[0])}`,
      hint: "a command needs --rootfs; a bundle's is in its config.json",
    });
  }
}
