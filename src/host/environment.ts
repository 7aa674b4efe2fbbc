import { asHakoError } from "../base/errors";
import { COMMIT, SPEC_VERSION, VERSION } from "../base/hako-version";
import { sizeText } from "../base/size";
import { cgroupRoot, readLayout } from "../cgroup";
import { systemdVersion } from "../cgroup/systemd/version";
import { driverOf } from "../drivers";
import { exists, linkText, readText } from "../linux/file/file";
import { resolve } from "../linux/file/path-text";
import { readSettings, SETTINGS_FILE } from "../settings/settings";

type Section = Record<string, string | number | boolean>;

function field(text: string, name: string): string {
  return new RegExp(`^${name}\\s*[:=]\\s*"?([^"\\n]*)`, "m").exec(text)?.[1] ?? "";
}

function textOf(path: string): string {
  try {
    return readText(path);
  } catch {
    return "";
  }
}

function cgroups(): Section {
  const { version, hierarchies } = readLayout();
  const systemd = reachableSystemd();
  return hierarchies.length === 0 ? { version: "none", systemd } : { version, root: cgroupRoot(), systemd };
}

/** The version of the systemd that would make cgroups; "none" if there is none to ask. */
function reachableSystemd(): string {
  try {
    return systemdVersion();
  } catch {
    return "none";
  }
}

/** The settings of machines; "" of what is looked for. */
function machineSettings(): Section {
  try {
    const { qemu = "", virtiofsd = "", kernel = "", modules = "", ...rest } = readSettings().machine;
    const settings = exists(SETTINGS_FILE) ? SETTINGS_FILE : "none";
    return { settings, qemu, virtiofsd, kernel, modules, ...rest, memory: sizeText(rest.memory) };
  } catch (error) {
    return { settings: asHakoError(error).oneLine };
  }
}

/** What kata-env told: the runtime, the host, its kernel, and paths. */
export function environment(root: string): Record<string, Section> {
  const release = textOf("/etc/os-release");
  const processors = textOf("/proc/cpuinfo");
  return {
    runtime: {
      version: VERSION,
      commit: COMMIT,
      spec: SPEC_VERSION,
      path: linkText("/proc/self/exe"),
      root: resolve(root),
      driver: driverOf({}).name,
    },
    host: {
      distribution: field(release, "PRETTY_NAME"),
      architecture: process.arch === "arm64" ? "aarch64" : "x86_64",
      cpu: field(processors, "model name"),
      processors: (processors.match(/^processor\s*:/gm) ?? []).length,
      memory: `${field(textOf("/proc/meminfo"), "MemTotal").trim()}`,
      kvm: exists("/dev/kvm"),
    },
    kernel: {
      release: textOf("/proc/sys/kernel/osrelease").trim(),
      version: textOf("/proc/sys/kernel/version").trim(),
      parameters: textOf("/proc/cmdline").trim(),
      security: textOf("/sys/kernel/security/lsm").trim(),
    },
    cgroup: cgroups(),
    machine: machineSettings(),
  };
}
