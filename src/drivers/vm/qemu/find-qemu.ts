import { during, HakoError } from "../../../base/errors";
import { ACCESS } from "../../../linux/call/constants";
import { callerVariables } from "../../../linux/file/caller-environment";
import { checkAccess } from "../../../linux/file/file";
import { SETTINGS_FILE } from "../../../settings/settings";
import { installLine } from "../host/distribution";
import { type FoundProgram, firstProgram } from "../host/find-program";
import { checkQemuVersion, type QemuVersion } from "./qemu-arguments";

/** In PATH, and where distributions put programs that people don't call. */
const QEMU = ["qemu-system-x86_64", "/usr/libexec/qemu-kvm", "/usr/bin/qemu-kvm"] as const;
export interface FoundQemu extends FoundProgram {
  version: QemuVersion;
}

/** Where QEMU is: `given` is what the settings say. */
export function findQemuProgram(given: string | undefined): FoundProgram {
  if (given !== undefined) {
    during(`${SETTINGS_FILE}: /machine/qemu`, () => checkAccess(given, ACCESS.X_OK));
    return { path: given, from: "settings" };
  }
  const path = firstProgram(QEMU);
  if (path !== undefined) return { path, from: "host" };
  throw new HakoError({ code: "unsupported", message: "no QEMU for x86-64", hint: installLine("qemu") });
}

/** QEMU, and its version, for which it is called. */
export function findQemu(given: string | undefined): FoundQemu {
  const found = findQemuProgram(given);
  const version = versionOf(found.path);
  checkQemuVersion(version, found.path);
  return { ...found, version };
}

function versionOf(path: string): QemuVersion {
  const { stdout } = Bun.spawnSync([path, "--version"], { stderr: "ignore", env: callerVariables() });
  const version = parseQemuVersion(stdout.toString());
  if (version !== undefined) return version;
  throw new HakoError({ code: "unsupported", message: `${path} --version tells no version of QEMU's` });
}

/** The version of what QEMU tells of itself. */
export function parseQemuVersion(text: string): QemuVersion | undefined {
  const [, version = ""] = /^QEMU emulator version (\d+\.\d+\.\d+)/m.exec(text) ?? [];
  return parseVersionNumber(version);
}

export function parseVersionNumber(text: string): QemuVersion | undefined {
  const [, major, minor, micro] = /^(\d+)\.(\d+)\.(\d+)$/.exec(text) ?? [];
  return major === undefined ? undefined : [Number(major), Number(minor), Number(micro)];
}
