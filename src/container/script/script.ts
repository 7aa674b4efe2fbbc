import { during } from "../../base/errors";
import { goesWithLandlock, letsFilesMove } from "../../linux/process/landlock";
import { maySetUpAlone } from "../../linux/process/rootless";
import { STOP_SIGNAL } from "../../oci/annotations";
import type { Config, Linux } from "../../oci/config";
import { defaultConfig } from "../../oci/default";
import type { Bundle } from "../bundle";
import type { Guards } from "./guarded-places";
import type { HostView } from "./host-view";
import { type ImageSettings, imageCommand, imageSettings, volumeMounts } from "./image-settings";
import { inOrder, mountsBelow } from "./mount-order";
import { lackingMountPoints } from "./mount-points";
import type { ScriptDevice } from "./script-devices";
import { scriptGuards } from "./script-guards";
import { type ScriptIdentity, scriptIdentity } from "./script-identity";
import type { ScriptIds } from "./script-ids";
import { scriptResources } from "./script-limits";
import { givenMounts, withSharedMemory } from "./script-mounts";
import type { NetworkValues, ScriptNetwork } from "./script-network";
import { asCaller, scriptProcess } from "./script-process";
import { overlayOf, readonlyTree, rootfsOf } from "./script-root";
import { type ScriptSeccomp, seccompOf } from "./script-seccomp";
import type { ScriptPolicy, ScriptRequest, ScriptValues } from "./script-values";

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
  get ownIds() {
    return require("./own-ids") as typeof import("./own-ids");
  },
  get guardedFiles() {
    return require("../run/guarded-files") as typeof import("../run/guarded-files");
  },
};

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

/** Not for who makes sandboxes itself, or has asked for such a right. */
function isLandlocked(profile: string | undefined, capabilities: readonly string[]): boolean {
  const isUsual = profile === undefined || profile === "default";
  return isUsual && goesWithLandlock(capabilities) && letsFilesMove();
}

/** What config.json's linux is made from. */
interface LinuxParts {
  base: Linux | undefined;
  ids: ScriptIds | undefined;
  identity: ScriptIdentity;
  masked: readonly string[];
  seccomp: ScriptSeccomp | undefined;
  namespace: ScriptNetwork["namespace"] | undefined;
  devices: readonly ScriptDevice[];
}

function linuxOf(
  values: ScriptValues,
  { base, ids, identity, masked, seccomp, namespace, devices }: LinuxParts,
): Linux {
  return {
    ...base,
    ...identity.one?.linux,
    ...ids?.maps,
    ...(seccomp === undefined ? {} : { seccomp: seccomp.profile }),
    ...(masked.length === 0 ? {} : { maskedPaths: [...(base?.maskedPaths ?? []), ...masked] }),
    namespaces: [
      ...namespacesOf(base?.namespaces ?? [], namespace),
      ...(ids?.mapsOwners ? [{ type: "user" as const }] : []),
    ],
    ...(devices.length === 0 ? {} : { devices: devices.map(({ node }) => node) }),
    resources: scriptResources(values, base?.resources, devices),
  };
}

/** The bundle of `hako run --rootfs`: the default configuration, changed by flags. */
export function scriptBundle(values: ScriptValues, request: ScriptRequest): Bundle {
  const { id, rootless = !maySetUpAlone(), image, ids, changes, policy, directory = "" } = request;
  const { "read-only": readonly, hostname, seccomp: profile, weaker, workdir } = values;
  const settings = imageSettings(image);
  const args = values.idle ? NO_COMMAND : imageCommand(settings, request.command, values.entrypoint);
  const rootfs = image?.rootfs ?? rootfsOf(values.rootfs);
  const name = hostname ?? id.slice(0, 63);
  const network = networkOf(values, rootfs, directory, name);
  if (changes !== undefined) rare.changedLayers.refuseWithChanges(values);
  const overlay = overlayOf(values, rootfs, image !== undefined, changes !== undefined);
  const base = defaultConfig({ rootless });
  const view = rootless && rootfs === "/" ? rare.hostView : undefined;
  if (policy !== undefined) checkMounts(policy);
  const given = givenMounts(values);
  const hasNetwork = network?.plan !== undefined;
  const guards = scriptGuards(values, request, { rootfs, overlay, given, hasNetwork });
  const copies = directory === "" ? undefined : view?.ownedCopies(directory);
  const own = [...(network?.mounts ?? []), ...(copies?.mounts ?? [])];
  const files = new Map([network, copies].flatMap((each) => Array.from(each?.files ?? [])));
  const usual = [
    ...withSharedMemory(view?.usualMounts(base) ?? base.mounts ?? []),
    ...volumeMounts(settings, readonly),
    ...own,
  ];
  const mounts = inOrder(rootfs, usual, [...given, ...(guards?.covers ?? [])]);
  const caller = asCaller(rootfs, workdir ?? settings.workdir);
  const host = view?.hostView(caller.cwd, mounts, changes?.knownPlaces);
  const keepsWrites = overlay?.writes !== undefined;
  const identity = scriptIdentity(values, request, settings, { rootfs, rootless, keepsWrites });
  const { granted } = identity.capabilities;
  const seccomp = seccompOf(profile, granted);
  const devices = values.device.map((spec) => rare.devices.scriptDeviceOf(spec, rootless));
  const env = [...caller.env, ...(host?.env ?? []), ...settings.env, ...(network?.env ?? [])];
  const masked = guards?.masked ?? [];
  const config: Config = {
    ...base,
    root: { path: rootfs, readonly },
    hostname: name,
    process: scriptProcess(values, base.process, identity, { args, cwd: caller.cwd, env }),
    mounts: mounts.map(({ mount }) =>
      ids?.mapsOwners && !own.includes(mount) ? rare.ownIds.withMappedOwners(mount) : mount,
    ),
    annotations: annotationsOf(identity, policy, guards, settings),
    linux: {
      ...linuxOf(values, {
        ...{ base: base.linux, ids, identity, masked, seccomp, devices },
        namespace: network?.namespace,
      }),
      ...(readonly ? readonlyTree(base, host?.below ?? mountsBelow(rootfs, mounts)) : {}),
    },
  };
  const places = mounts.map(({ place }) => place);
  const mountPoints = overlay === undefined ? lackingMountPoints(rootfs, mounts, files) : [];
  return {
    path: rootfs,
    rootfs,
    config,
    // last of all: what is wrong with other flags leaves nothing behind
    overlay: withLayers(host?.overlay ?? overlay, request, rootfs, host, [caller.cwd, ...places]),
    mapsOwners: ids?.mapsOwners,
    held: guards?.held,
    landlocked: isLandlocked(profile, granted),
    lenient: { hostname: hostname === undefined, loopback: true, proc: weaker === "proc" },
    mountPoints,
    files,
    network: network?.plan,
    filter: seccomp?.filter,
  };
}

/** What is wrong with a policy's mounts is told with its name, and not as a flag's of the caller. */
function checkMounts({ name, mounts }: ScriptPolicy): void {
  during(`policy ${name}`, () => givenMounts({ mount: [], write: [], ...mounts }));
}

/** With `--changes`, what is written is kept: the places that the program has are named for that. */
function withLayers(
  overlay: Bundle["overlay"],
  { changes, image }: Pick<ScriptRequest, "changes" | "image">,
  rootfs: string,
  view: HostView | undefined,
  places: readonly string[],
): Bundle["overlay"] {
  if (overlay === undefined || changes === undefined) return overlay;
  return { ...overlay, ...rare.changedLayers.changedLayers(changes, rootfs, image, view, places) };
}

function annotationsOf(
  { one }: ScriptIdentity,
  policy: ScriptPolicy | undefined,
  guards: Guards | undefined,
  { stopSignal }: ImageSettings,
): Record<string, string> {
  const replaceable = guards?.replaceable ?? [];
  return {
    ...one?.annotations,
    ...policy?.annotations,
    ...(replaceable.length === 0 ? {} : rare.guardedFiles.guardedAnnotation(replaceable, policy?.gitIndex)),
    ...(stopSignal === undefined ? {} : { [STOP_SIGNAL]: stopSignal }),
  };
}
