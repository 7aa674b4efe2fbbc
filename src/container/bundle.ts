import { resolve } from "../linux/file/path-text";
import type { CgroupManager } from "../oci/cgroup-managers";
import { checkedConfig } from "../oci/validate";
import type { Bundle } from "./create";

/**
 * The bundle at `path`, with its config.json or with another file, checked; lines of the environment that the caller adds
 * come last, so they win.
 */
export function checkedBundle(
  path: string,
  environment: readonly string[],
  manager: CgroupManager,
  file?: string,
): Bundle {
  const { config, bundle, rootfs } = checkedConfig(path, manager, file);
  const configFile = file === undefined ? undefined : resolve(file);
  if (environment.length > 0 && config.process !== undefined) {
    const process = { ...config.process, env: [...(config.process.env ?? []), ...environment] };
    return { path: bundle, configFile, rootfs, config: { ...config, process } };
  }
  return { path: bundle, configFile, rootfs, config };
}
