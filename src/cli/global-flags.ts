import { parseBoolean } from "../base/boolean";
import { HakoError } from "../base/errors";
import { CGROUP_MANAGERS, type CgroupManager } from "../oci/cgroup-managers";
import { defaultRoot } from "../state/user-root";
import type { Arguments, ArgumentValues } from "./arguments";

/** The flags before the command's name. */
export const GLOBAL_FLAGS = {
  root: {
    type: "string",
    valueHint: "DIR",
    description:
      "where state is kept (default /run/hako; for ordinary users $XDG_RUNTIME_DIR/hako, /run/user/UID/hako, or hako-UID/hako in /tmp, or in /dev/shm where /tmp is read-only or not sticky)",
  },
  log: {
    type: "string",
    valueHint: "FILE",
    description: "append the error of a failed command to this file too; file:FILE as with crun",
  },
  "log-format": {
    type: "enum",
    options: ["text", "json"],
    description: "form of the log's lines",
    default: "text",
  },
  debug: { type: "boolean", description: "log each step" },
  "log-level": {
    type: "enum",
    options: ["error", "warning", "debug"],
    description: "as with crun: error leaves warnings out, debug is --debug",
  },
  "systemd-cgroup": {
    type: "boolean",
    description: "let systemd make the cgroups, as a scope: linux.cgroupsPath is then slice:prefix:name",
  },
  "cgroup-manager": {
    type: "enum",
    options: [...CGROUP_MANAGERS],
    valueHint: CGROUP_MANAGERS.join("|"),
    description:
      "who makes the cgroups: systemd is --systemd-cgroup; with disabled a container has none of its own",
  },
  rootless: {
    type: "string",
    valueHint: "auto|true|false",
    description: "containers of an ordinary user: false refuses to make them; auto and true make them",
    default: "auto",
  },
  criu: {
    type: "string",
    valueHint: "PROGRAM",
    description: "what checkpoint and restore call",
    default: "criu",
  },
  version: { type: "boolean", alias: "v", description: "print the version" },
  help: { type: "boolean", alias: "h", description: "print this text" },
} as const satisfies Arguments;

/** The global flags, read before the command's name. */
export interface Globals {
  root: string;
  log: string | undefined;
  "log-format": string;
  debug: boolean;
  cgroupManager: CgroupManager;
  /** Whether the caller has said it. */
  managerNamed: boolean;
  rootless: boolean | "auto";
  criu: string;
}

/** What the flags before the command's name say. */
export function globalsOf(values: ArgumentValues<typeof GLOBAL_FLAGS>): Globals {
  return {
    ...values,
    root: values.root ?? defaultRoot(),
    log: values.log?.replace(/^file:/, ""),
    debug: values.debug || values["log-level"] === "debug",
    cgroupManager: managerOf(values),
    managerNamed: values["systemd-cgroup"] || values["cgroup-manager"] !== undefined,
    rootless: rootlessOf(values.rootless),
  };
}

/** auto, or a boolean in one of Go's words, which runc takes too. */
function rootlessOf(text: string): Globals["rootless"] {
  const truth = text === "auto" ? text : parseBoolean(text);
  if (truth !== undefined) return truth;
  throw HakoError.usage(`--rootless: "${text}" is not auto, true or false`);
}

function managerOf(values: ArgumentValues<typeof GLOBAL_FLAGS>): CgroupManager {
  const manager = CGROUP_MANAGERS.find((each) => each === values["cgroup-manager"]);
  if (!values["systemd-cgroup"]) return manager ?? "cgroupfs";
  if (manager === undefined || manager === "systemd") return "systemd";
  throw HakoError.usage(`--systemd-cgroup and --cgroup-manager=${manager} contradict each other`);
}
