import type { CgroupEntry } from "../cgroup";
import { type Fd, FdList } from "../linux/fd";
import { O, openAt } from "../linux/path";
import { effectiveUser, inUserNamespace } from "../linux/rootless";
import { keepsGroups } from "../oci/groups";
import { bindSources } from "./bind-sources";
import { madeDevices } from "./made-devices";
import { mappedMounts } from "./mapped-mounts";
import { NamespacePlan, writeIdMaps } from "./namespaces";
import { setOutOfMemoryScore } from "./out-of-memory-score";
import type { InitRequest } from "./protocol";
import { type StagePlan, type StageProcess, startStage } from "./stage-process";

/** What a container's first process is made from. */
export interface InitOptions
  extends Omit<
    InitRequest,
    | "startSocket"
    | "consoleSocket"
    | "mountNamespace"
    | "mappedMounts"
    | "bindSources"
    | "madeDevices"
    | "newCgroupNamespace"
    | "newNetworkNamespace"
    | "newTimeNamespace"
    | "userNamespace"
    | "cgroupFiles"
    | "filter"
  > {
  /** Where the host keeps what belongs to the container. */
  directory: string;
  filter(): InitRequest["filter"];
  entry: CgroupEntry;
  startSocket: Fd;
  consoleSocket: Fd | undefined;
  warn(message: string): void;
  explainEnd: StagePlan["explainEnd"];
}

/** Makes the container's first process in its namespaces; it begins to work with `advance("mounted")`. */
export function spawnInit(options: InitOptions): StageProcess {
  const { config, startSocket, consoleSocket, preserveFds, entry, warn } = options;
  using plan = new NamespacePlan(config);
  using files = new FdList();
  for (const path of entry.self) files.add(openAt(undefined, path, O.WRONLY | O.CLOEXEC));
  using trees = new FdList();
  const mapped = mappedMounts(config, options.bundle, trees);
  const others = [startSocket, consoleSocket, plan.mount].filter((fd) => fd !== undefined);
  const keep = [...others, ...files.all, ...trees.all];
  const init = startStage({
    flags: plan.flags,
    lateFlags: plan.lateFlags,
    join: plan.joinSteps,
    born: entry.born,
    userNamespace: plan.has("user"),
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
    using opened = new FdList();
    const outside = plan.has("user") && plan.created.has("mount") && effectiveUser() === 0;
    const given: Given = {
      files: files.all,
      mapped,
      sources: outside ? bindSources(init.pid, config, options.bundle, mapped, opened) : NOTHING,
      devices: outside ? madeDevices(init.pid, config, options.directory, opened) : NOTHING,
    };
    init.begin(requestOf(options, plan, given), [...given.sources.values(), ...given.devices.values()]);
    return init;
  } catch (error) {
    init[Symbol.dispose]();
    throw error;
  }
}

const NOTHING: ReadonlyMap<number, Fd> = new Map();

/** Descriptors for the process. */
interface Given {
  /** Of cgroups. */
  files: readonly Fd[];
  mapped: ReadonlyMap<number, Fd>;
  sources: ReadonlyMap<number, Fd>;
  devices: ReadonlyMap<number, Fd>;
}

function requestOf(
  options: InitOptions,
  plan: NamespacePlan,
  { files, mapped, sources, devices }: Given,
): InitRequest {
  const { warn: _, entry: __, explainEnd: ___, directory: ____, ...rest } = options;
  const { filter, startSocket, consoleSocket, ...plain } = rest;
  return {
    ...plain,
    // compiled now, while the process's own start takes its time
    filter: filter(),
    startSocket: startSocket.number,
    consoleSocket: consoleSocket?.number,
    mountNamespace: plan.mount?.number,
    mappedMounts: [...mapped].map(([index, fd]): [number, number] => [index, fd.number]),
    bindSources: [...sources.keys()],
    madeDevices: [...devices.keys()],
    cgroupFiles: files.map((fd) => fd.number),
    newCgroupNamespace: plan.created.has("cgroup"),
    newNetworkNamespace: plan.created.has("network"),
    newTimeNamespace: plan.lateTime,
    userNamespace: plan.has("user") || inUserNamespace(),
  };
}
