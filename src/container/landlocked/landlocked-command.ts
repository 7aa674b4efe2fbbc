import { HakoError } from "../../base/errors";
import { callerVariable } from "../../linux/file/caller-environment";
import { exists, realPath, statusAt } from "../../linux/file/file";
import { CAPABILITIES, capabilityBit, permittedCapabilities } from "../../linux/process/capabilities";
import { effectiveUser } from "../../linux/process/rootless";
import { defaultConfig } from "../../oci/default";
import type { EnvironmentLine } from "../../oci/environment";
import type { PolicyGuards } from "../../policy/applied-policy";
import type { RunOptions } from "../run/run";
import { inOrder } from "../script/mount-order";
import { capabilitySets, SCRIPT_CAPABILITIES, scriptCapabilities } from "../script/script-capabilities";
import { givenMounts } from "../script/script-mounts";
import { asCaller, scriptEnvironment } from "../script/script-process";
import type { ScriptValues } from "../script/script-values";
import type { PlaceWishes } from "./allowed-places";
import { landlockedProfile } from "./landlocked-profile";
import { type LandlockedRun, runLandlocked } from "./landlocked-run";

/** Loaded on first use, as for a container: what is loaded in both ways is two files of the executable. */
const rare = {
  get ulimits() {
    return require("../script/script-ulimits") as typeof import("../script/script-ulimits");
  },
  get stateDirectories() {
    return require("../script/state-directories") as typeof import("../script/state-directories");
  },
  get guardedPlaces() {
    return require("../script/guarded-places") as typeof import("../script/guarded-places");
  },
};

/** What `hako run --weaker namespaces` is told on its command line; other flags of `run --rootfs` are refused before. */
export type LandlockedValues = Pick<
  ScriptValues,
  "rootfs" | "weaker" | "network" | "env" | "hide" | "write" | "protect" | "workdir" | "cap-drop" | "ulimit"
>;

/** Runs a command that Landlock and seccomp alone confine, to its end; the exit status. `root` is hako's state directory. */
export async function runConfined(...told: Parameters<typeof confinedRun>): Promise<number> {
  return await runLandlocked(confinedRun(...told));
}

function confinedRun(
  root: string,
  values: LandlockedValues,
  command: readonly string[],
  watched: Pick<RunOptions, "timeLimit" | "atEnd" | "diesWithParent" | "lifeline"> & {
    preserveFds: number;
    annotations: Record<string, string>;
  },
  ofPolicy?: PolicyGuards,
): LandlockedRun {
  const { rootfs, weaker, env, workdir, "cap-drop": drop, ulimit } = values;
  const quoted = `--weaker ${weaker}`;
  if (realPath(rootfs) !== "/")
    throw HakoError.usage(
      `${quoted} is for --rootfs /`,
      "without namespaces the root file system is the host's",
    );
  const network = hasNetwork(values.network, quoted);
  if (command.length === 0)
    throw HakoError.usage("missing COMMAND", "hako run --rootfs / -- COMMAND [ARG...]");
  const uid = effectiveUser();
  const rights = scriptCapabilities([], drop, false, usualCapabilities(uid));
  const caller = asCaller("/", workdir);
  const base = defaultConfig({ rootless: true }).process?.env ?? [];
  const attributes = weaker === "attributes";
  return {
    process: {
      args: [...command],
      cwd: caller.cwd,
      env: scriptEnvironment([...base, ...caller.env, ...home()], env),
      user: { uid, gid: process.getegid?.() ?? 0 },
      capabilities: capabilitySets(rights, uid),
      rlimits: ulimit.map((spec) => rare.ulimits.ulimitOf(spec)),
    },
    places: placesOf(root, values, ofPolicy),
    profile: landlockedProfile({ capabilities: rights.granted, network, attributes }),
    network,
    weaker: ["namespaces", ...(attributes ? (["attributes"] as const) : [])],
    ...watched,
  };
}

/** Whether it has the host's network; another one is none of its. */
function hasNetwork(words: readonly string[], quoted: string): boolean {
  const other = words.find((word) => word !== "none" && word !== "host");
  if (other !== undefined || new Set(words).size > 1)
    throw HakoError.usage(
      `${quoted} and --network ${other ?? words.join(", ")} contradict each other`,
      "without namespaces: none, or host",
    );
  return words.includes("host");
}

/** Of root, those of a container's root that this one has itself. */
function usualCapabilities(uid: number): string[] {
  if (uid !== 0) return [];
  const have = permittedCapabilities();
  return CAPABILITIES.filter(
    (name) => SCRIPT_CAPABILITIES.includes(name) && (have & capabilityBit(name)) !== 0n,
  );
}

/** The caller's, as outside. */
function home(): EnvironmentLine[] {
  const told = callerVariable("HOME");
  return told?.startsWith("/") === true ? [`HOME=${told}`] : [];
}

function placesOf(
  root: string,
  { hide, write, protect }: LandlockedValues,
  ofPolicy?: PolicyGuards,
): PlaceWishes {
  const given = inOrder("/", [], givenMounts({ mount: [], tmpfs: [], volume: [], write }));
  const there = (path: string) => (exists(path) ? [realPath(path)] : []);
  const written = given.flatMap(({ mount: { source } }) => (source === undefined ? [] : there(source)));
  const stateDirectories = rare.stateDirectories.shownStateDirectories(
    root,
    written.map((path) => ({ path, writable: true })),
  );
  const guarded = { rootfs: "/", keepsWrites: false, hide, protect, ofPolicy, given, stateDirectories };
  const { masked, covers, held } = rare.guardedPlaces.guardedPlaces(guarded);
  const hidden = [...masked, ...covers.map(({ destination }) => destination)].flatMap(there);
  return {
    hidden,
    hiddenDirectories: hidden.filter((path) => statusAt(path)?.type === "directory"),
    written,
    protected: held
      .filter(({ readonly }) => readonly)
      .flatMap(({ path, isLink }) => (isLink ? [path] : there(path))),
  };
}
