import { asHakoError, HakoError } from "../base/errors";
import type { ClaimedChanges } from "../changes/changes-directory";
import type { Arguments, ArgumentValues } from "../cli/arguments";
import { defineCommand } from "../cli/command";
import type { Globals } from "../cli/global-flags";
import { inheritedDescriptors } from "../container/io/inherited-descriptors";
import { type EndedRun, endEndedRun, endedRun } from "../container/run/ended-run";
import type { ToldLimits } from "../container/run/limit-lines";
import { resumeRun, runContainer } from "../container/run/run";
import type { RunReport } from "../container/run/run-report";
import type { ScriptImage } from "../container/script/image-settings";
import type { ScriptIds } from "../container/script/script-ids";
import type { ScriptPolicy } from "../container/script/script-values";
import { CAME_TO } from "../linux/attendant/attendant-status";
import { Fd } from "../linux/call/fd";
import { callerVariable } from "../linux/file/caller-environment";
import { resolve } from "../linux/file/path-text";
import { effectiveUser } from "../linux/process/rootless";
import { containerId } from "../oci/id";
import { print } from "../output/print";
import { freeId } from "../state/free-id";
import { containerDirectory } from "../state/root";
import { NEW_CONTAINER } from "./flags/common";
import { CREATE_FLAGS, createOptions } from "./flags/create";
import { isLandlocked, refuseContainerFlags } from "./flags/landlocked";
import { POLICY_FLAGS, withPolicy } from "./flags/policy";
import {
  isImage,
  refuseBundleFlags,
  refuseCommand,
  refuseImageFlags,
  refuseScriptFlags,
  SCRIPT_FLAGS,
} from "./flags/script";
import { checkInteractive, checkRemoved, INTERACTIVE, REMOVED_AT_END } from "./flags/so-anyway";
import { atEndOf, lifelineOf, timeLimitOf, WATCH_FLAGS, withReport } from "./flags/watch";

/** Loaded on first use. */
const rare = {
  /** Loaded for those who have a bundle: all that checks a config.json. */
  get bundle() {
    return require("../container/bundle") as typeof import("../container/bundle");
  },
  /** Loaded for those who have no bundle. */
  get script() {
    return require("../container/script/script") as typeof import("../container/script/script");
  },
  /** Loaded for a machine. */
  get ownIds() {
    return require("../container/script/own-ids") as typeof import("../container/script/own-ids");
  },
  /** Loaded for an error. */
  get explain() {
    return require("../container/script/explain-script") as typeof import("../container/script/explain-script");
  },
  /** Loaded for images, and for those who say whose ids they want. */
  get scriptIds() {
    return require("../container/script/script-ids") as typeof import("../container/script/script-ids");
  },
  /** Loaded for limits of ordinary users. */
  get limitsManager() {
    return require("../container/script/limits-manager") as typeof import("../container/script/limits-manager");
  },
  /** Loaded for changes. */
  get changes() {
    return require("../changes/changes-directory") as typeof import("../changes/changes-directory");
  },
  /** Loaded for a command without a container. */
  get landlocked() {
    return require("../container/landlocked/landlocked-command") as typeof import("../container/landlocked/landlocked-command");
  },
  /** Loaded for images. */
  get scriptImage() {
    return require("../container/script/script-image") as typeof import("../container/script/script-image");
  },
};

/** As env(1), timeout(1) and docker have it: what failed is not the program. */
const OWN_FAILURE = 125;

const RUN_FLAGS = {
  container: { ...NEW_CONTAINER, required: false },
  ...CREATE_FLAGS,
  detach: { type: "boolean", alias: "d", description: "come back when the program has been started" },
  output: {
    type: "string",
    keepsEmpty: true,
    valueHint: "FILE",
    description: "with --detach: what the program writes goes to the end of this file; hako logs shows it",
  },
  keep: { type: "boolean", description: "don't delete the container after its end" },
  "no-subreaper": { type: "boolean", description: "don't adopt orphans of the container" },
  ...WATCH_FLAGS,
  "die-with-parent": {
    type: "boolean",
    description:
      "kill the container when this command ends, by SIGKILL too, or the process that has started it",
  },
  ...SCRIPT_FLAGS,
  ...POLICY_FLAGS,
  interactive: INTERACTIVE,
  rm: REMOVED_AT_END,
} as const satisfies Arguments;

type RunValues = ArgumentValues<typeof RUN_FLAGS>;

export default defineCommand({
  args: RUN_FLAGS,
  rest: "[-- COMMAND [ARG...]]",
  stopAtOperand: ["rootfs", "policy"],
  examples: [
    "hako run --bundle /bundles/web web",
    "hako run --rootfs / --memory 64M --network none -- sh -c 'echo $$'",
    'hako run --rootfs / --timeout 30s -v "$PWD:/src:ro" -w /src -- ls',
    "hako run --detach --rootfs / --name job -- sleep 60",
    "hako run --rootfs / --changes ../changes -- make",
    "hako run --policy agent -- npm test",
    "hako run --detach --idle --policy agent --name box && hako exec box make",
    "hako run --rootfs image.tar -- sh -c 'echo $PATH'",
    "hako run --detach --output job.log --rootfs / --name job -- ./job",
  ],
  failure(code, { rootfs, policy }) {
    // as with runc and crun: their callers take 1 for a container that could not be run
    if (rootfs === undefined && policy === undefined) return 1;
    return code.startsWith("command-") ? undefined : OWN_FAILURE;
  },
  async run({ args: given, rest, separated, data: { globals } }) {
    const ended = endedRun();
    // docs/how-it-works.md, "What stays in the foreground"
    if (ended !== undefined) return await endAgain(ended, given, globals);
    return await withReport(given, async (report) => {
      const { args, policy } = withPolicy(given);
      const { rootfs } = args;
      const watching = watchOptions(args, report);
      checkInteractive(args.interactive);
      if (rootfs === undefined) {
        refuseScriptFlags(args, rest);
        if (args.rm !== undefined)
          throw HakoError.usage(
            "--rm needs --rootfs",
            "leave it out: without --keep the container is deleted",
          );
        if (args["die-with-parent"]) throw HakoError.usage("--die-with-parent needs --rootfs");
        if (args["die-with"] !== undefined) throw HakoError.usage("--die-with needs --rootfs");
        return await runBundle(args, watching, globals, report);
      }
      refuseBundleFlags(args);
      checkRemoved(args);
      const command = rest[0] === "--" ? rest.slice(1) : rest;
      const image = isImage(rootfs);
      if (args.idle) refuseCommand(args, command);
      // an image has a command of its own
      else if (!separated && (!image || rest.length > 0)) refuseWords(args.container);
      // first of all, as with a bundle
      const { preserveFds } = inheritedDescriptors(args["preserve-fds"]);
      report?.open();
      const run = { args: { ...args, rootfs }, command, watching, globals, report, preserveFds, policy };
      if (isLandlocked(args.weaker)) return await runWithoutContainer(run);
      if (image) return await runImage(run);
      refuseImageFlags(args);
      return await runDirectory(run);
    });
  },
});

/** `run` of a bundle. */
async function runBundle(
  args: RunValues,
  watching: WatchOptions,
  globals: Globals,
  report: RunReport | undefined,
): Promise<number> {
  if (args.container === undefined)
    throw HakoError.usage("missing CONTAINER", "hako run --bundle DIR CONTAINER");
  // first of all: a descriptor that the caller has not opened may be one of ours later
  const { environment, preserveFds } = inheritedDescriptors(args["preserve-fds"], callerVariable);
  report?.open();
  report?.named(containerId(args.container));
  const bundle = rare.bundle.checkedBundle(args.bundle, environment, globals.cgroupManager, args.config);
  const options = { ...createOptions(globals, args.container, args, preserveFds), ...watching, bundle };
  // as with runc and crun: signals are passed on, no more
  const watched = { init: false, signalsEnd: false, lifeline: undefined, report: report?.open() };
  return await runContainer({ ...options, ...watched });
}

/** What `run --rootfs` was told, and what it has from its caller. */
interface ScriptRun {
  args: RunValues & { rootfs: string };
  command: readonly string[];
  watching: WatchOptions;
  globals: Globals;
  report: RunReport | undefined;
  preserveFds: number;
  policy: ScriptPolicy | undefined;
}

/** `run --rootfs IMAGE`: the image's own command, or another one. */
async function runImage(run: ScriptRun): Promise<number> {
  const { rootfs, userns, "map-root": mapRoot } = run.args;
  using ids = rare.scriptIds.scriptIds({ userns, mapRoot, isImage: true });
  // of root's range mounts make what the files of the image have
  using image = await rare.scriptImage.scriptImage(rootfs, ids.mapsOwners ? undefined : ids.maps);
  return await runWithChanges(run, image, ids);
}

/** `run --rootfs / --weaker namespaces`. */
async function runWithoutContainer(run: ScriptRun): Promise<number> {
  const { args, command, watching, preserveFds, policy, globals } = run;
  refuseContainerFlags(args, RUN_FLAGS);
  using lifeline = lifelineOf(args);
  const watched = { ...watching, lifeline, preserveFds, annotations: { ...policy?.annotations } };
  return await rare.landlocked.runConfined(globals.root, args, command, watched, policy?.guards);
}

/** `run --rootfs DIR`. */
async function runDirectory(run: ScriptRun): Promise<number> {
  const { userns, "map-root": mapRoot } = run.args;
  using ids =
    userns === undefined ? undefined : rare.scriptIds.scriptIds({ userns, mapRoot, isImage: false });
  return await runWithChanges(run, undefined, ids);
}

/** `run --rootfs`, with or without a directory that keeps what is written. */
async function runWithChanges(run: ScriptRun, image?: ScriptImage, ids?: ScriptIds): Promise<number> {
  const { args } = run;
  if (args.changes === undefined) return await runScript(run, image, ids);
  using claimed = rare.changes.ClaimedChanges.at(args.changes, ids);
  try {
    return await runScript(run, image, ids, claimed);
  } catch (error) {
    claimed.forget();
    throw error;
  }
}

/** `run --rootfs`: a command without a bundle. */
async function runScript(
  run: ScriptRun,
  image?: ScriptImage,
  ids?: ScriptIds,
  changes?: ClaimedChanges,
): Promise<number> {
  const { args, command, watching, globals, report, preserveFds, policy } = run;
  const id = idOf(args, globals.root);
  report?.named(containerId(id));
  const directory = containerDirectory(globals.root, containerId(id));
  const scripted = rare.script.scriptBundle(args, { id, command, image, ids, changes, policy, directory });
  const cgroupManager = managerOf(args, globals);
  using lifeline = lifelineOf(args);
  const made = { ...createOptions(globals, id, args, preserveFds), cgroupManager };
  const bundle = made.driver === "vm" ? rare.ownIds.withoutCallersGroups(scripted) : scripted;
  const options = { ...made, bundle, ...watching, lifeline };
  const init = args.idle ? "idle" : !args["no-init"];
  const ready = args.idle && !args.detach ? () => print(`${id}\n`) : undefined;
  // nobody would say there that it is ready
  const notifySocket = args.idle ? undefined : made.notifySocket;
  const watched = { init, notifySocket, signalsEnd: init === false, report: report?.open(), ready } as const;
  const status = await runContainer({ ...options, ...watched }).catch((error) => {
    throw rare.explain.explainScript(asHakoError(error), bundle);
  });
  if (args.detach && id !== (args.container ?? args.name)) print(`${id}\n`);
  return status;
}

/** Who makes the cgroups. */
function managerOf(
  { memory, cpus, pids }: Pick<RunValues, "memory" | "cpus" | "pids">,
  { cgroupManager, managerNamed }: Globals,
): Globals["cgroupManager"] {
  const limited = [memory, cpus, pids].some((limit) => limit !== undefined);
  return managerNamed || !limited || effectiveUser() === 0
    ? cgroupManager
    : rare.limitsManager.managerForLimits();
}

/** Finishes a run whose attendant has started this command again. */
async function endAgain(ended: EndedRun, args: RunValues, { root }: Globals): Promise<number> {
  const { status, report: number } = ended;
  const fails = status >= CAME_TO.unwritten && status !== CAME_TO.late;
  return await withReport(
    args,
    async (report) => {
      report?.named(ended.id);
      // the container's record has what its policy could not protect
      const atEnd = atEndOfRun(args, ended.limits, report);
      const { keep } = args;
      if (fails || (atEnd === undefined && status !== CAME_TO.late))
        return endEndedRun(ended, { root, keep });
      return await resumeRun(ended, { root, keep, atEnd });
    },
    number === 0 ? undefined : new Fd(number, `--report ${args.report}`),
  );
}

type WatchOptions = ReturnType<typeof watchOptions>;

/** How the program is watched, what is told of its end, and whether the container stays. */
function watchOptions(args: RunValues, report: RunReport | undefined) {
  const timeLimit = timeLimitOf(args);
  const limits = { time: timeLimit?.milliseconds, memory: args.memory !== undefined };
  const happening = { memory: limits.memory, guarded: isGuarded(args) };
  return {
    consoleSocketPath: args["console-socket"],
    detach: args.detach,
    output: outputOf(args.output, args.detach),
    keep: args.keep,
    subreaper: !args["no-subreaper"],
    timeLimit,
    limits,
    diesWithParent: diesWithParent(args),
    atEnd: atEndOfRun(args, limits, report),
    tells: report !== undefined ? ("end" as const) : args.quiet ? undefined : happening,
  };
}

/** Whether something is hidden or protected, so that there may be something to tell of it. */
function isGuarded(args: RunValues): boolean {
  return args.policy !== undefined || args.hide.length + args.protect.length > 0;
}

function atEndOfRun(args: RunValues, limits: ToldLimits, report: RunReport | undefined) {
  // isNetworkRule, which most calls need not load
  const network = args.network.some((word) => word.includes(":") || word === "outbound");
  return atEndOf(args, { limits, network, unprotected: isGuarded(args), report });
}

/** Without the -- a command's name would be taken for the id, and its first argument for the command. */
function refuseWords(first: string | undefined): never {
  throw HakoError.usage(
    first === undefined ? "missing COMMAND" : `${JSON.stringify(first)}: a command comes after --`,
    "hako run --rootfs DIR [--name ID] -- COMMAND [ARG...]",
  );
}

/** The container's id: the operand, --name, or one that hako makes. */
function idOf(
  { container, name }: { container: string | undefined; name: string | undefined },
  root: string,
): string {
  if (container !== undefined && name !== undefined && container !== name) {
    throw HakoError.usage(
      `--name ${JSON.stringify(name)}: the id is ${JSON.stringify(container)} already`,
      "leave one of them out",
    );
  }
  return container ?? name ?? freeId(root);
}

function diesWithParent({
  "die-with-parent": dies,
  detach,
}: Pick<RunValues, "die-with-parent" | "detach">): boolean {
  if (dies && detach) throw HakoError.usage("--die-with-parent and --detach: this command ends at once");
  return dies;
}

function outputOf(file: string | undefined, detach: boolean): string | undefined {
  if (file === undefined) return undefined;
  if (!detach)
    throw HakoError.usage("--output needs --detach", "in the foreground: hako run ... > FILE 2>&1");
  if (file === "") throw HakoError.usage("--output: the name of a file is missing");
  return resolve(file);
}
