import { asHakoError } from "../../../base/errors";
import { directoryEntries, statusAt } from "../../../linux/file/file";
import { join, resolve } from "../../../linux/file/path-text";
import type { Config } from "../../../oci/config";
import { isBind } from "../../../oci/mount-options";
import { logDebug } from "../../../output/log";

/** As many are named as fit a line. */
const MOST_NAMED = 3;

/**
 * Unix sockets that config.json binds, or that are in a directory which it binds: in a machine nobody listens at them. What is further below is
 * not looked for. `bundle` is the directory from which sources are told.
 */
export function hostSockets({ mounts = [] }: Config, bundle: string): string[] {
  return mounts
    .filter(isBind)
    .flatMap(({ source = "" }) => (source === "" ? [] : socketsAt(resolve(bundle, source))));
}

function socketsAt(path: string): string[] {
  try {
    const type = statusAt(path)?.type;
    if (type === "socket") return [path];
    if (type !== "directory") return [];
    const sockets = directoryEntries(path).filter((entry) => entry.type === "socket");
    return sockets.map(({ name }) => join(path, name));
  } catch (error) {
    // whoever mounts it will say so
    logDebug(asHakoError(error).oneLine);
    return [];
  }
}

/** What is said of them; undefined of none. */
export function socketsWarning(sockets: readonly string[]): string | undefined {
  if (sockets.length === 0) return undefined;
  const [named, more] = [sockets.slice(0, MOST_NAMED).join(", "), sockets.length - MOST_NAMED];
  const rest = more > 0 ? `, and ${more} more` : "";
  return `${named}${rest}: a socket of the host, which a container in a machine can't connect to`;
}
