import { during, HakoError } from "../errors";
import { callerVariable } from "../linux/environment";
import { exists, realPath, statusAt } from "../linux/file";
import { resolve } from "../linux/path-text";
import { effectiveUser } from "../linux/rootless";
import { workingDirectory } from "../linux/working-directory";
import type { Config, Mount } from "../oci/config";
import { defaultConfig } from "../oci/default";
import type { Bundle } from "./create";
import { parseSize } from "./size";
import { userOf } from "./user";

/** What `hako run --rootfs` is told on its command line. */
export interface ScriptValues {
  rootfs: string;
  memory: string | undefined;
  cpus: string | undefined;
  pids: string | undefined;
  network: string | undefined;
  env: readonly string[];
  mount: readonly string[];
  volume: readonly string[];
  user: string | undefined;
  workdir: string | undefined;
  "read-only": boolean;
  hostname: string | undefined;
  tty: boolean;
}

const CPU_PERIOD_US = 100_000;
/** What ordinary programs of root need, and no more: docker's and podman's sets without raw sockets and device nodes. */
const CAPABILITIES = [
  "CAP_CHOWN",
  "CAP_DAC_OVERRIDE",
  "CAP_FOWNER",
  "CAP_FSETID",
  "CAP_KILL",
  "CAP_NET_BIND_SERVICE",
  "CAP_SETFCAP",
  "CAP_SETGID",
  "CAP_SETPCAP",
  "CAP_SETUID",
  "CAP_SYS_CHROOT",
];

function usage(message: string, hint?: string): HakoError {
  return new HakoError({ code: "usage", message, hint });
}

function memoryOf(text: string): number {
  const bytes = parseSize(text);
  if (bytes !== undefined && bytes > 0) return bytes;
  throw usage(`--memory: ${JSON.stringify(text)} is not a size`, "a number with K, M or G, as 64M");
}

function quotaOf(text: string): number {
  const quota = Math.round(Number(text) * CPU_PERIOD_US);
  // the kernel's least quota is 1 ms
  if (!/^\d+(\.\d+)?$/.test(text) || !Number.isSafeInteger(quota) || quota < 1000) {
    throw usage(`--cpus: ${JSON.stringify(text)} is not a number of processors`, "0.01 is the least");
  }
  return quota;
}

function pidsOf(text: string): number {
  if (!/^[1-9]\d{0,8}$/.test(text)) throw usage(`--pids: ${JSON.stringify(text)} is not a number above 0`);
  return Number(text);
}

type Namespaces = NonNullable<NonNullable<Config["linux"]>["namespaces"]>;

function namespacesOf(base: Namespaces, network: string): Namespaces {
  const others = base.filter(({ type }) => type !== "network");
  if (network === "host") return others;
  if (network === "none") return [...others, { type: "network" }];
  if (!network.startsWith("/")) {
    throw usage(`--network: ${JSON.stringify(network)} is neither none nor host nor an absolute path`);
  }
  return [...others, { type: "network", path: network }];
}

/** Here, where the flag can be named; config.json's mounts have only a number. */
function withSource(flag: string, spec: string, mount: Mount): Mount {
  if (mount.type !== "bind" || mount.source === undefined || exists(mount.source)) return mount;
  throw new HakoError({
    code: "config",
    message: `${flag} ${JSON.stringify(spec)}: ${mount.source} does not exist`,
    hint: "make it first",
    path: mount.source,
  });
}

/** "type=bind,source=A,target=B,ro": docker's words for a mount. */
export function mountOf(spec: string): Mount {
  const wrong = (why: string) =>
    usage(`--mount ${JSON.stringify(spec)}: ${why}`, "as type=bind,source=DIR,target=DIR,ro");
  let type = "bind";
  let source: string | undefined;
  let destination: string | undefined;
  const options: string[] = [];
  for (const part of spec.split(",")) {
    const equals = part.indexOf("=");
    const name = equals < 0 ? part : part.slice(0, equals);
    const value = equals < 0 ? "" : part.slice(equals + 1);
    if (name === "type") type = value;
    else if (name === "source" || name === "src") source = value;
    else if (["target", "destination", "dst"].includes(name)) destination = value;
    else if (name === "readonly") options.push("ro");
    else if (part !== "") options.push(part);
  }
  if (destination === undefined || !destination.startsWith("/"))
    throw wrong("target must be an absolute path");
  if (type === "tmpfs") return { destination, type, source: "tmpfs", options };
  if (type !== "bind") throw wrong("type must be bind or tmpfs");
  if (source === undefined || source === "") throw wrong("source is missing");
  return { destination, type, source: resolve(source), options: ["rbind", ...options] };
}

/** "SOURCE:TARGET[:OPTION,...]": docker's short form of a bind mount. */
export function volumeOf(spec: string): Mount {
  const [source = "", destination = "", options = "", ...more] = spec.split(":");
  if (source === "" || !destination.startsWith("/") || more.length > 0) {
    throw usage(
      `--volume ${JSON.stringify(spec)} is not SOURCE:TARGET[:ro] with an absolute target`,
      "--mount takes paths with colons",
    );
  }
  const words = options.split(",").filter((word) => word !== "");
  return { destination, type: "bind", source: resolve(source), options: ["rbind", ...words] };
}

function rootfsOf(text: string): string {
  return during(`--rootfs ${text}`, () => {
    const path = realPath(text);
    if (statusAt(path)?.type !== "directory") throw usage("it is not a directory");
    return path;
  });
}

/** A name without a value takes the caller's, and is left out if the caller has none, as with docker. */
export function environmentOf(
  base: readonly string[],
  given: readonly string[],
  callersValue = callerVariable,
): string[] {
  const lines = given.flatMap((line) => {
    const equals = line.indexOf("=");
    if (equals > 0) return [line];
    if (equals === 0 || line === "") throw usage(`--env ${JSON.stringify(line)} is not NAME or NAME=VALUE`);
    const value = callersValue(line);
    return value === undefined ? [] : [`${line}=${value}`];
  });
  return [...base, ...lines];
}

/** ./script works on the host's own files; another user than the caller may have no right to the caller's directory. */
function startDirectory(rootfs: string, user: string | undefined): string {
  return rootfs === "/" && user === undefined ? workingDirectory() : "/";
}

/** The bundle of `hako run --rootfs`: the default configuration, changed by flags. */
export function scriptBundle(
  id: string,
  values: ScriptValues,
  command: readonly string[],
  rootless = effectiveUser() !== 0,
): Bundle {
  if (command.length === 0) throw usage("missing COMMAND", "hako run --rootfs DIR ID -- COMMAND");
  const rootfs = rootfsOf(values.rootfs);
  const base = defaultConfig({ rootless });
  const memory = values.memory === undefined ? undefined : { limit: memoryOf(values.memory) };
  const cpu = values.cpus === undefined ? undefined : { quota: quotaOf(values.cpus), period: CPU_PERIOD_US };
  const pids = values.pids === undefined ? undefined : { limit: pidsOf(values.pids) };
  const capabilities = { bounding: CAPABILITIES, effective: CAPABILITIES, permitted: CAPABILITIES };
  const config: Config = {
    ...base,
    root: { path: rootfs, readonly: values["read-only"] },
    hostname: values.hostname ?? id.slice(0, 63),
    process: {
      ...base.process,
      terminal: values.tty,
      args: [...command],
      env: environmentOf(base.process?.env ?? [], values.env),
      cwd: values.workdir ?? startDirectory(rootfs, values.user),
      user: userOf(rootfs, values.user),
      capabilities,
      // the caller's
      rlimits: [],
      noNewPrivileges: true,
    },
    mounts: [
      ...(base.mounts ?? []),
      ...values.mount.map((spec) => withSource("--mount", spec, mountOf(spec))),
      ...values.volume.map((spec) => withSource("--volume", spec, volumeOf(spec))),
    ],
    linux: {
      ...base.linux,
      namespaces: namespacesOf(base.linux?.namespaces ?? [], values.network ?? "none"),
      resources: {
        ...base.linux?.resources,
        ...(memory === undefined ? {} : { memory }),
        ...(cpu === undefined ? {} : { cpu }),
        ...(pids === undefined ? {} : { pids }),
      },
    },
  };
  if (rootless && rootfs === "/") {
    // clone_private_mount() in fs/namespace.c: overlay takes no tree with mounts that a user namespace locks
    throw new HakoError({
      code: "unsupported",
      message: "--rootfs / needs root: the kernel lays nothing over the host's mounts for an ordinary user",
      hint: "--rootfs with a directory of your own that holds a root file system",
    });
  }
  return { path: rootfs, rootfs, config, overlayOfHost: rootfs === "/" };
}
