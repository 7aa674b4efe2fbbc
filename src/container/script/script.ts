import { during, HakoError } from "../../base/errors";
import { parseSize } from "../../base/size";
import type { ClaimedChanges } from "../../changes/changes-directory";
import { callerVariable } from "../../linux/file/caller-environment";
import { exists, makeDirectories, realPath, statusAt } from "../../linux/file/file";
import { dirname, isAtOrBelow } from "../../linux/file/path-text";
import { workingDirectory } from "../../linux/file/working-directory";
import { goesWithLandlock, letsFilesMove } from "../../linux/process/landlock";
import { maySetUpAlone } from "../../linux/process/rootless";
import { STOP_SIGNAL } from "../../oci/annotations";
import type { Config, Linux, Mount, Resources } from "../../oci/config";
import { defaultConfig } from "../../oci/default";
import { type EnvironmentLine, isEnvironmentLine } from "../../oci/environment";
import { isBind, isReadOnlyMount } from "../../oci/mount-options";
import type { PolicyGuards } from "../../policy/applied-policy";
import type { Bundle } from "../bundle";
import { cpuTime } from "../cpus";
import { userOf } from "../user";
import { imageCommand, imageSettings, type ScriptImage, volumeMounts } from "./image-settings";
import { inOrder, mountsBelow } from "./mount-order";
import { lackingMountPoints } from "./mount-points";
import { capabilitySets, SCRIPT_CAPABILITIES, scriptCapabilities } from "./script-capabilities";
import type { ScriptDevice } from "./script-devices";
import type { ScriptIds } from "./script-ids";
import { mountOf, tmpfsOf, volumeOf, writtenOf } from "./script-mounts";
import type { NetworkValues, ScriptNetwork } from "./script-network";
import { seccompOf } from "./script-seccomp";

/** Loaded on first use. */
const rare = {
  get networks() {
    return require("./script-network") as typeof import("./script-network");
  },
  get devices() {
    return require("./script-devices") as typeof import("./script-devices");
  },
  get hostView() {
    return require("./host-view") as typeof import("./host-view");
  },
  get changedLayers() {
    return require("./changed-layers") as typeof import("./changed-layers");
  },
  get guardedPlaces() {
    return require("./guarded-places") as typeof import("./guarded-places");
  },
  /** For one that is shown a directory of the host's other than by the view of its root. */
  get stateDirectories() {
    return require("./state-directories") as typeof import("./state-directories");
  },
  get ownIds() {
    return require("./own-ids") as typeof import("./own-ids");
  },
  get guardedFiles() {
    return require("../run/guarded-files") as typeof import("../run/guarded-files");
  },
  get ulimits() {
    return require("./script-ulimits") as typeof import("./script-ulimits");
  },
};

/** What `hako run --rootfs` is told on its command line. */
export interface ScriptValues extends NetworkValues {
  rootfs: string;
  memory: string | undefined;
  cpus: string | undefined;
  pids: string | undefined;
  env: readonly string[];
  mount: readonly string[];
  volume: readonly string[];
  user: string | undefined;
  workdir: string | undefined;
  "read-only": boolean;
  hostname: string | undefined;
  tty: boolean;
  seccomp: string | undefined;
  tmpfs: readonly string[];
  "no-init": boolean;
  idle: boolean;
  "cap-add": readonly string[];
  "cap-drop": readonly string[];
  device: readonly string[];
  ulimit: readonly string[];
  entrypoint: string | undefined;
  discard: boolean;
  "keep-writes": string | undefined;
  changes: string | undefined;
  "map-root": boolean;
  userns: string | undefined;
  hide: readonly string[];
  write: readonly string[];
  protect: readonly string[];
  weaker: string | undefined;
}

/** What a policy says beside flags. */
export interface ScriptPolicy {
  guards: PolicyGuards;
  annotations: Readonly<Record<string, string>>;
  /** The index of the project's repository, of which the end is told. */
  gitIndex: string | undefined;
}

function memoryOf(text: string): number {
  const bytes = parseSize(text);
  if (bytes !== undefined && bytes > 0) return bytes;
  throw HakoError.usage(`--memory: ${JSON.stringify(text)} is not a size`, "a number with K, M or G, as 64M");
}

function pidsOf(text: string): number {
  if (!/^[1-9]\d{0,8}$/.test(text))
    throw HakoError.usage(`--pids: ${JSON.stringify(text)} is not a number above 0`);
  return Number(text);
}

/** The limit of processes is the program's: a first process of hako's is one more. */
function limitsOf(
  { memory, cpus, pids }: Pick<ScriptValues, "memory" | "cpus" | "pids">,
  noInit: boolean,
): Resources {
  return {
    ...(memory === undefined ? {} : { memory: { limit: memoryOf(memory) } }),
    ...(cpus === undefined ? {} : { cpu: cpuTime(cpus) }),
    ...(pids === undefined ? {} : { pids: { limit: pidsOf(pids) + (noInit ? 0 : 1) } }),
  };
}

const NO_GUARDS: PolicyGuards = { hide: [], protect: [], hideOnHost: [] };

/** What config.json has where nothing is executed. */
const NO_COMMAND = ["hako-init"];

type Namespaces = NonNullable<NonNullable<Config["linux"]>["namespaces"]>;

function namespacesOf(base: Namespaces, network: ScriptNetwork["namespace"] = "new"): Namespaces {
  const others = base.filter(({ type }) => type !== "network");
  if (network === "host") return others;
  return [...others, { type: "network", ...(network === "new" ? {} : network) }];
}

/** undefined where no flag is about it. */
function networkOf(
  values: NetworkValues,
  rootfs: string,
  directory: string,
  hostname: string,
): ScriptNetwork | undefined {
  const { network, forward, publish, "inject-header": inject, "network-log": log } = values;
  if (network.length + forward.length + publish.length + inject.length === 0 && log === undefined)
    return undefined;
  return rare.networks.scriptNetwork(values, rootfs, directory, hostname);
}

/** Refuses a bind mount whose source is missing, and names its flag: later errors know only the mount's number in config.json. */
export function withSource(flag: string, spec: string, mount: Mount): Mount {
  if (mount.type !== "bind" || mount.source === undefined || exists(mount.source)) return mount;
  throw new HakoError({
    code: "config",
    message: `${flag} ${JSON.stringify(spec)}: ${mount.source} does not exist`,
    hint: "make it first",
    path: mount.source,
  });
}

function rootfsOf(text: string): string {
  return during(`--rootfs ${text}`, () => {
    const path = realPath(text);
    if (statusAt(path)?.type !== "directory") throw HakoError.usage("it is not a directory");
    if (path !== "/" && exists(`${path}/oci-layout`) && exists(`${path}/index.json`))
      throw HakoError.usage("it is an OCI image layout", `--rootfs oci:${text} runs its image`);
    return path;
  });
}

/** Whether the root file system is only read, and where writes go then. */
function overlayOf(
  rootfs: string,
  isImage: boolean,
  discard: boolean,
  keepWrites: string | undefined,
  keepsChanges: boolean,
): Bundle["overlay"] {
  if (keepWrites === undefined)
    return rootfs === "/" || isImage || discard || keepsChanges ? { writes: undefined } : undefined;
  if (discard) throw HakoError.usage("--discard and --keep-writes contradict each other");
  if (keepWrites === "") throw HakoError.usage("--keep-writes: empty", "a directory");
  if (rootfs === "/")
    throw HakoError.usage(
      "--keep-writes and --rootfs / contradict each other",
      "-v binds a directory to write to",
    );
  return during(`--keep-writes ${keepWrites}`, () => {
    makeDirectories(keepWrites);
    const writes = realPath(keepWrites);
    if (isAtOrBelow(writes, rootfs) || isAtOrBelow(rootfs, writes))
      throw HakoError.usage(`it and ${rootfs} are in each other`, "a directory beside it");
    const below = mountsBelow(rootfs, []);
    if (below.length > 0)
      throw HakoError.usage(`${rootfs}${below[0]} is a mount of its own, whose writes would not be kept`);
    return { writes };
  });
}

/** The program's environment. As with docker, a name without a value takes the caller's value, and is left out if the caller has none. */
export function scriptEnvironment(
  base: readonly EnvironmentLine[],
  given: readonly string[],
  callersValue = callerVariable,
): EnvironmentLine[] {
  const lines = given.flatMap((line): EnvironmentLine[] => {
    if (isEnvironmentLine(line)) return [line];
    if (line === "" || line.startsWith("="))
      throw HakoError.usage(`--env ${JSON.stringify(line)} is not NAME or NAME=VALUE`);
    const value = callersValue(line);
    return value === undefined ? [] : [`${line}=${value}`];
  });
  return [...base, ...lines];
}

/**
 * With `--rootfs /` the program starts in the caller's directory, so that `./script` works, and finds what the caller finds: programs, and
 * what its terminal can do.
 */
export function asCaller(
  rootfs: string,
  workdir: string | undefined,
): { cwd: string; env: EnvironmentLine[] } {
  if (rootfs !== "/") return { cwd: workdir ?? "/", env: [] };
  const env = ["PATH", "TERM"].flatMap((name): EnvironmentLine[] => {
    const value = callerVariable(name);
    return value === undefined || value === "" ? [] : [`${name}=${value}`];
  });
  return { cwd: workdir ?? workingDirectory(), env };
}

/**
 * What `--read-only` means beside root.readonly, which holds for the root's own mount alone: every mount below it is read-only too, and
 * what the host mounts there later does not appear.
 */
function readonlyTree({ linux }: Config, below: readonly string[]): Partial<Linux> {
  return { readonlyPaths: [...below, ...(linux?.readonlyPaths ?? [])], rootfsPropagation: "rprivate" };
}

/** An ordinary user's container has no rules. */
function withRules(
  resources: Resources | undefined,
  devices: readonly ScriptDevice[],
): Resources | undefined {
  if (devices.length === 0 || resources?.devices === undefined) return resources;
  return { ...resources, devices: [...resources.devices, ...devices.map(({ rule }) => rule)] };
}

/** Not for who makes sandboxes itself, or has asked for such a right. */
function isLandlocked(profile: string | undefined, capabilities: readonly string[]): boolean {
  const isUsual = profile === undefined || profile === "default";
  return isUsual && goesWithLandlock(capabilities) && letsFilesMove();
}

/** hako's own directories that are to be hidden: in a network with rules its sockets always are. `directory` is the container's own. */
function hiddenState(
  directory: string,
  hasNetwork: boolean,
  rootfs: string,
  given: readonly Mount[],
): string[] {
  if (directory === "") return [];
  const root = dirname(directory);
  const binds = given.flatMap((mount) =>
    isBind(mount) && mount.source !== undefined && exists(mount.source)
      ? [{ path: realPath(mount.source), writable: !isReadOnlyMount(mount) }]
      : [],
  );
  const shown = [...binds, ...(rootfs === "/" ? [] : [{ path: rootfs, writable: true, isRoot: true }])];
  const own = hasNetwork ? [exists(root) ? realPath(root) : root] : [];
  if (shown.length === 0) return own;
  return [...new Set([...own, ...rare.stateDirectories.shownStateDirectories(root, shown)])];
}

/** The bundle of `hako run --rootfs`: the default configuration, changed by flags. `directory` is the container's own. */
export function scriptBundle(
  id: string,
  values: ScriptValues,
  command: readonly string[],
  rootless = !maySetUpAlone(),
  image?: ScriptImage,
  ids?: ScriptIds,
  changes?: ClaimedChanges,
  policy?: ScriptPolicy,
  directory = "",
): Bundle {
  const { rootfs: place, memory, cpus, pids, env, mount, volume, user, ...others } = values;
  const { workdir, "read-only": readonly, hostname, tty, seccomp: profile, tmpfs, ...rights } = others;
  const { "cap-add": add, "cap-drop": drop, device, ulimit, "no-init": noInit, idle, ...ofFiles } = rights;
  const { entrypoint, discard, "keep-writes": keepWrites, "map-root": mapRoot, userns, ...guarded } = ofFiles;
  const { hide, write, protect, weaker, changes: _changes, network, forward, publish, ...unread } = guarded;
  // a flag that is not used here does not compile
  const { "network-log": networkLog, "inject-header": inject, ...rest } = unread;
  rest satisfies Record<string, never>;
  const settings = imageSettings(image);
  const args = idle ? NO_COMMAND : imageCommand(settings, command, entrypoint);
  const rootfs = image?.rootfs ?? rootfsOf(place);
  const name = hostname ?? id.slice(0, 63);
  const own = networkOf(
    { network, forward, publish, "inject-header": inject, "network-log": networkLog },
    rootfs,
    directory,
    name,
  );
  if (changes !== undefined)
    rare.changedLayers.refuseWithChanges({
      ...{ discard, "keep-writes": keepWrites, "read-only": readonly },
      "userns auto": ids?.maps,
    });
  const overlay = overlayOf(rootfs, image !== undefined, discard, keepWrites, changes !== undefined);
  const base = defaultConfig({ rootless });
  const view = rootless && rootfs === "/" ? rare.hostView : undefined;
  const usual = [...(view?.usualMounts(base) ?? base.mounts ?? []), ...volumeMounts(settings, readonly)];
  const given = [
    ...mount.map((spec) => withSource("--mount", spec, mountOf(spec))),
    ...tmpfs.map(tmpfsOf),
    ...volume.map((spec) => withSource("--volume", spec, volumeOf(spec))),
    ...write.map((path) => withSource("--write", path, writtenOf(path))),
  ];
  const { guards: ofPolicy = NO_GUARDS } = policy ?? {};
  const hideOnHost = [...(changes === undefined ? [] : [changes.path]), ...ofPolicy.hideOnHost];
  const stateDirectories = hiddenState(directory, own?.plan !== undefined, rootfs, given);
  const guarding = [hide, protect, ofPolicy.hide, ofPolicy.protect, hideOnHost, stateDirectories];
  const guards = guarding.every(({ length }) => length === 0)
    ? undefined
    : rare.guardedPlaces.guardedPlaces({
        ...{ rootfs, hide, protect, given: inOrder(rootfs, [], given) },
        ...{ ofPolicy, hideOnHost, stateDirectories },
        keepsWrites: overlay === undefined || overlay.writes !== undefined,
        keepsChanges: changes !== undefined,
      });
  const mounts = inOrder(rootfs, [...usual, ...(own?.mounts ?? [])], [...given, ...(guards?.covers ?? [])]);
  const caller = asCaller(rootfs, workdir ?? settings.workdir);
  const host = view?.hostView(caller.cwd, mounts, changes?.knownPlaces);
  if (mapRoot && !rootless) throw HakoError.usage("--map-root is for ordinary users", "root is 0 already");
  const named = user ?? settings.user;
  const { maps, mapsOwners, keepsId, lacks } = ids ?? {};
  if (mapsOwners && overlay?.writes !== undefined) throw rare.ownIds.noKeptWrites(userns);
  const one =
    rootless && maps === undefined
      ? rare.ownIds.oneId({ user: named, asked: user !== undefined, rootfs, mapRoot, keepsId, lacks })
      : undefined;
  const identity = one?.user ?? userOf(rootfs, named, image === undefined);
  if (maps !== undefined) rare.ownIds.checkMapped(identity, maps);
  const usualRights = one === undefined || identity.uid === 0 ? SCRIPT_CAPABILITIES : [];
  const capabilities = scriptCapabilities(add, drop, rootless, usualRights);
  const seccomp = seccompOf(profile, capabilities.granted);
  const devices = device.map((spec) => rare.devices.scriptDeviceOf(spec, rootless));
  const config: Config = {
    ...base,
    root: { path: rootfs, readonly },
    hostname: name,
    process: {
      ...base.process,
      terminal: tty,
      args,
      env: scriptEnvironment(
        [
          ...(base.process?.env ?? []),
          ...caller.env,
          ...(host?.env ?? []),
          ...settings.env,
          ...(own?.env ?? []),
        ],
        env,
      ),
      cwd: caller.cwd,
      user: identity,
      capabilities: capabilitySets(capabilities, identity.uid),
      // others are the caller's
      rlimits: ulimit.map((spec) => rare.ulimits.ulimitOf(spec)),
      noNewPrivileges: true,
    },
    mounts: mounts.map(({ mount }) =>
      mapsOwners && !own?.mounts.includes(mount) ? rare.ownIds.withMappedOwners(mount) : mount,
    ),
    annotations: {
      ...one?.annotations,
      ...policy?.annotations,
      ...(guards === undefined || guards.replaceable.length === 0
        ? {}
        : rare.guardedFiles.guardedAnnotation(guards.replaceable, policy?.gitIndex)),
      ...(settings.stopSignal === undefined ? {} : { [STOP_SIGNAL]: settings.stopSignal }),
    },
    linux: {
      ...base.linux,
      ...one?.linux,
      ...maps,
      ...(seccomp === undefined ? {} : { seccomp: seccomp.profile }),
      ...(guards === undefined
        ? {}
        : { maskedPaths: [...(base.linux?.maskedPaths ?? []), ...guards.masked] }),
      ...(readonly ? readonlyTree(base, host?.below ?? mountsBelow(rootfs, mounts)) : {}),
      namespaces: [
        ...namespacesOf(base.linux?.namespaces ?? [], own?.namespace),
        ...(mapsOwners ? [{ type: "user" as const }] : []),
      ],
      ...(devices.length === 0 ? {} : { devices: devices.map(({ node }) => node) }),
      resources: {
        ...withRules(base.linux?.resources, devices),
        ...limitsOf({ memory, cpus, pids }, noInit),
      },
    },
  };
  const mountPoints = overlay === undefined ? lackingMountPoints(rootfs, mounts, own?.files) : [];
  const chosen = host?.overlay ?? overlay;
  return {
    path: rootfs,
    rootfs,
    config,
    overlay:
      chosen && changes !== undefined
        ? {
            ...chosen,
            // last of all: what is wrong with other flags leaves nothing behind
            ...rare.changedLayers.changedLayers(changes, rootfs, host, [
              caller.cwd,
              ...mounts.map(({ place }) => place),
            ]),
          }
        : chosen,
    mapsOwners,
    held: guards?.held,
    landlocked: isLandlocked(profile, capabilities.granted),
    lenient: { hostname: hostname === undefined, loopback: true, proc: weaker === "proc" },
    mountPoints,
    files: own?.files,
    network: own?.plan,
    filter: seccomp?.filter,
  };
}
