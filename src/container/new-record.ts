import type { OwnInitOptions } from "../drivers/interface/driver";
import { processStatus } from "../linux/process/process";
import { sandboxOf } from "../oci/container-type";
import { type ContainerId, sandboxId } from "../oci/id";
import { type ContainerRecord, DEFAULT_DRIVER, type DriverName, FORMAT } from "../state/record";
import type { Bundle } from "./bundle";
import { callerStreamNames } from "./io/criu-stream-names";

export interface NewContainer {
  id: ContainerId;
  bundle: Bundle;
  noNewKeyring: boolean;
  driver: DriverName;
  output?: string | undefined;
  ownInit?: OwnInitOptions | undefined;
}

/** The record of a container that this command is about to make. */
export function newRecord({
  id,
  bundle,
  noNewKeyring,
  driver,
  output,
  ownInit,
}: NewContainer): ContainerRecord {
  const { config } = bundle;
  const annotations = config.annotations ?? {};
  const pidNamespace = config.linux?.namespaces?.find(({ type }) => type === "pid");
  return {
    format: FORMAT,
    driver: driver === DEFAULT_DRIVER ? undefined : driver,
    id,
    sandbox: sandboxId(sandboxOf(annotations) ?? id),
    ociVersion: config.ociVersion,
    bundle: bundle.path,
    configFile: bundle.configFile,
    rootfs: bundle.rootfs,
    annotations,
    created: new Date().toISOString(),
    creator: { pid: process.pid, startTime: processStatus(process.pid)?.startTime ?? 0 },
    init: undefined,
    ownPidNamespace: pidNamespace !== undefined && !pidNamespace.path,
    cgroup: undefined,
    hooks: config.hooks,
    noNewKeyring,
    streams: config.process?.terminal === true ? [] : callerStreamNames(),
    output,
    ownInit: ownInit && (ownInit.idle ? "idle" : true),
  };
}
