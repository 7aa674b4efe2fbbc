import type { CgroupMounts } from "../cgroup";
import { type Fd, FdList } from "../linux/fd";
import { O, openAt } from "../linux/path";
import { effectiveUser, inUserNamespace } from "../linux/rootless";
import type { SeccompFilter } from "../linux/seccomp";
import type { Config } from "../oci/config";
import { keepsGroups } from "../oci/groups";
import { bindSources } from "./bind-sources";
import { withPossibleGroups } from "./groups";
import { madeDevices } from "./made-devices";
import { madeOverlays } from "./made-overlays";
import { mappedMounts } from "./mapped-mounts";
import { NamespacePlan, writeIdMaps } from "./namespaces";
import { setOutOfMemoryScore } from "./out-of-memory-score";
import { ownerOf } from "./owner";
import type { InitConfig, InitRequest } from "./protocol";
import { type StagePlan, type StageProcess, startStage } from "./stage-process";

/** What the process is told as the caller says it. */
type Told = Pick<
  InitRequest,
  | "bundle"
  | "rootfs"
  | "overlay"
  | "noPivot"
  | "noNewKeyring"
  | "preserveFds"
  | "openFiles"
  | "joinsFirst"
  | "state"
>;

/** What a container's first process is made from. */
export interface InitOptions extends Told {
  config: Config;
  /** Where the host keeps what belongs to the container. */
  directory: string;
  filter(): SeccompFilter | undefined;
  /** The v2 cgroup that it is born in; ours if undefined. */
  born: string | undefined;
  /** Done while its own start takes its time; what is known of the cgroups then. */
  meanwhile(): Pick<Given, "mounts"> & { files: readonly string[] };
  startSocket: Fd;
  consoleSocket: Fd | undefined;
  warn(message: string): void;
  explainEnd: StagePlan["explainEnd"];
}

/** Makes the container's first process in its namespaces, which begins to work on what it is told. */
export function spawnInit(options: InitOptions): StageProcess {
  const { config, startSocket, consoleSocket, preserveFds, born, warn } = options;
  using plan = new NamespacePlan(config);
  using trees = new FdList();
  const mapped = mappedMounts(config, options.bundle, trees);
  const outside = plan.has("user") && plan.created.has("mount") && effectiveUser() === 0;
  if (outside) for (const [index, tree] of madeOverlays(config, trees)) mapped.set(index, tree);
  const others = [startSocket, consoleSocket, plan.mount].filter((fd) => fd !== undefined);
  const keep = [...others, ...trees.all];
  const init = startStage({
    flags: plan.flags,
    lateFlags: plan.lateFlags,
    join: plan.joinSteps,
    born,
    owner: plan.has("user") ? ownerOf(config) : undefined,
    keepsGroups: keepsGroups(config),
    preserveFds,
    keep,
    writeIdMaps: plan.created.has("user")
      ? (pid) => writeIdMaps(pid, "/linux", config.linux ?? {})
      : undefined,
    warn,
    explainEnd: options.explainEnd,
  });
  try {
    setOutOfMemoryScore(init.pid, config.process?.oomScoreAdj);
    using files = new FdList();
    const { files: paths, mounts } = options.meanwhile();
    for (const path of paths) files.add(openAt(undefined, path, O.WRONLY | O.CLOEXEC));
    using opened = new FdList();
    const given: Given = {
      mounts,
      files: files.all,
      mapped,
      sources: outside ? bindSources(init.pid, config, options.bundle, mapped, opened) : NOTHING,
      devices: outside ? madeDevices(init.pid, config, options.directory, opened) : NOTHING,
    };
    const { sources, devices } = given;
    const told = { ...options, config: withGroups(options, init.pid) };
    init.begin(requestOf(told, plan, given), [files.all, [...sources.values()], [...devices.values()]]);
    init.giveFilter(options.filter());
    return init;
  } catch (error) {
    init[Symbol.dispose]();
    throw error;
  }
}

const NOTHING: ReadonlyMap<number, Fd> = new Map();

/** What the process is given of the host's, most of it as descriptors. */
interface Given {
  mounts: CgroupMounts | undefined;
  /** Of cgroups. */
  files: readonly Fd[];
  mapped: ReadonlyMap<number, Fd>;
  sources: ReadonlyMap<number, Fd>;
  devices: ReadonlyMap<number, Fd>;
}

function withGroups({ config, warn }: InitOptions, pid: number): Config {
  if (config.process === undefined || keepsGroups(config)) return config;
  return { ...config, process: withPossibleGroups(config.process, pid, warn) };
}

/** A profile has hundreds of names, and the process would wait for all of them. */
function initConfig({ linux, ...config }: Config): InitConfig {
  if (linux === undefined) return config;
  const { seccomp: _, resources: __, ...rest } = linux;
  return { ...config, linux: rest };
}

function requestOf(
  options: InitOptions,
  plan: NamespacePlan,
  { mounts, files, mapped, sources, devices }: Given,
): InitRequest {
  const { startSocket, consoleSocket } = options;
  return {
    config: initConfig(options.config),
    bundle: options.bundle,
    rootfs: options.rootfs,
    overlay: options.overlay,
    noPivot: options.noPivot,
    noNewKeyring: options.noNewKeyring,
    preserveFds: options.preserveFds,
    openFiles: options.openFiles,
    joinsFirst: options.joinsFirst,
    state: options.state,
    cgroup: mounts,
    startSocket: startSocket.number,
    consoleSocket: consoleSocket?.number,
    mountNamespace: plan.mount?.number,
    mappedMounts: [...mapped].map(([index, fd]): [number, number] => [index, fd.number]),
    bindSources: [...sources.keys()],
    madeDevices: [...devices.keys()],
    cgroupFiles: files.length,
    newCgroupNamespace: plan.created.has("cgroup"),
    newNetworkNamespace: plan.created.has("network"),
    newTimeNamespace: plan.lateTime,
    userNamespace: plan.has("user") || inUserNamespace(),
  };
}
