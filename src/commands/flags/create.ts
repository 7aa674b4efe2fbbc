import type { Arguments, ArgumentValues } from "../../cli/arguments";
import type { Globals } from "../../cli/global-flags";
import { callerNotifySocket } from "../../container/io/inherited-descriptors";
import { basename } from "../../linux/file/path-text";
import { containerId } from "../../oci/id";
import { DRIVER_NAMES, type DriverName } from "../../state/record";
import { BUNDLE, PIDFD_SOCKET } from "./common";

/** Flags of create and run. */
export const CREATE_FLAGS = {
  bundle: BUNDLE,
  config: {
    type: "string",
    alias: "f",
    valueHint: "FILE",
    description: "in place of the bundle's config.json, as with crun",
  },
  "console-socket": {
    type: "string",
    valueHint: "SOCK",
    description: "unix socket that receives the terminal's master",
  },
  "pidfd-socket": PIDFD_SOCKET,
  "pid-file": {
    type: "string",
    valueHint: "FILE",
    description: "write the first process's pid to this file",
  },
  "no-pivot": {
    type: "boolean",
    description: "enter the rootfs by chroot, not pivot_root: for hosts that run from their initramfs",
  },
  "no-new-keyring": { type: "boolean", description: "keep the caller's session keyring" },
  driver: {
    type: "enum",
    options: [...DRIVER_NAMES],
    valueHint: DRIVER_NAMES.join("|"),
    description: "what isolates the container: namespaces (default), or a virtual machine of its own",
  },
  "preserve-fds": {
    type: "string",
    valueHint: "N",
    description: "hand N descriptors from 3 on to the program",
    default: "0",
  },
} as const satisfies Arguments;

/** What isolates containers where nobody says it: the name of the executable does. */
const BY_NAME: Readonly<Record<string, DriverName>> = { "hako-vm": "vm" };

/** The driver that was asked for: by a flag, or by the executable's name. */
export function driverName(given?: string): DriverName | undefined {
  return DRIVER_NAMES.find((name) => name === given) ?? BY_NAME[basename(process.argv0)];
}

/** The options of create that flags say and the caller hands on; the bundle comes beside them. */
export function createOptions(
  globals: Globals,
  id: string,
  values: ArgumentValues<typeof CREATE_FLAGS>,
  preserveFds: number,
) {
  return {
    root: globals.root,
    rootless: globals.rootless,
    cgroupManager: globals.cgroupManager,
    driver: driverName(values.driver),
    id: containerId(id),
    pidFile: values["pid-file"],
    pidfdSocket: values["pidfd-socket"],
    noPivot: values["no-pivot"],
    noNewKeyring: values["no-new-keyring"],
    preserveFds,
    notifySocket: callerNotifySocket(),
  };
}
