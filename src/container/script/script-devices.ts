import { HakoError } from "../../base/errors";
import { statusAt } from "../../linux/file/file";
import type { LinuxDevice, Resources } from "../../oci/config";

type DeviceRule = NonNullable<Resources["devices"]>[number];

/** A device node of the host's that the container gets, and the rule that lets it be used. */
export interface ScriptDevice {
  node: LinuxDevice;
  rule: DeviceRule;
}

/** `--device HOST[:CONTAINER][:rwm]`, as docker has it. */
export function scriptDeviceOf(spec: string, rootless: boolean): ScriptDevice {
  const wrong = (why: string, hint = "as /dev/fuse, /dev/fuse:/dev/fuse:rw") =>
    HakoError.usage(`--device ${JSON.stringify(spec)}: ${why}`, hint);
  const parts = spec.split(":");
  const [source = "", second, third, ...more] = parts;
  // of two the second is a path, or says what may be done
  const access = third ?? (second !== undefined && !second.startsWith("/") ? second : "rwm");
  const path = second?.startsWith("/") ? second : third === undefined ? source : "";
  if (!source.startsWith("/") || path === "" || more.length > 0)
    throw wrong("not HOST[:CONTAINER][:rwm] with absolute paths");
  if (!/^[rwm]+$/.test(access) || new Set(access).size < access.length)
    throw wrong(`${JSON.stringify(access)} is not made of r, w and m`);
  // without cgroups of its own, an ordinary user's container has no rules for devices
  if (rootless && access !== "rwm")
    throw new HakoError({
      code: "unsupported",
      message: `--device ${JSON.stringify(spec)}: a rule needs root`,
      hint: "leave the letters out: the node's mode says what may be done",
    });
  // who may make no nodes gets the host's, at their place
  if (rootless && path !== source)
    throw new HakoError({
      code: "unsupported",
      message: `--device ${JSON.stringify(spec)}: at another place it needs root`,
      hint: `-v ${source}:${path} binds it`,
    });
  const status = statusAt(source);
  if (status === undefined) throw wrong(`${source} does not exist`);
  const type = status.type === "character" ? "c" : status.type === "block" ? "b" : undefined;
  if (type === undefined) throw wrong(`${source} is not a device`, "-v is for files and directories");
  const { major, minor, mode, uid, gid } = status;
  return {
    node: { path, type, major, minor, fileMode: mode & 0o777, uid, gid },
    rule: { allow: true, type, major, minor, access },
  };
}
