import { during, HakoError } from "../../../base/errors";
import { ACCESS } from "../../../linux/call/constants";
import { callerVariables } from "../../../linux/file/caller-environment";
import { checkAccess, exists } from "../../../linux/file/file";
import { findHostProgram } from "../../../linux/process/execute";
import { SETTINGS_FILE } from "../../../settings/settings";
import { installLine } from "../host/distribution";
import { checkQemuVersion, type QemuVersion } from "./qemu-arguments";

/** In PATH, and where distributions put programs that people don't call. */
const QEMU = ["qemu-system-x86_64", "/usr/libexec/qemu-kvm", "/usr/bin/qemu-kvm"] as const;
const VIRTIOFSD = [
  "virtiofsd",
  "/usr/libexec/virtiofsd",
  "/usr/lib/virtiofsd",
  "/usr/lib/qemu/virtiofsd",
] as const;

export interface FoundProgram {
  path: string;
  from: "settings" | "host";
}

export interface FoundQemu extends FoundProgram {
  version: QemuVersion;
}

function firstOf(places: readonly string[]): string | undefined {
  for (const place of places) {
    const path = place.includes("/") ? (exists(place) ? place : undefined) : findHostProgram(place);
    if (path !== undefined) return path;
  }
  return undefined;
}

/** Where virtiofsd is; undefined where there is none. */
export function findVirtiofsd(): FoundProgram | undefined {
  const path = firstOf(VIRTIOFSD);
  return path === undefined ? undefined : { path, from: "host" };
}

/** Where QEMU is: `given` is what the settings say. */
export function findQemuProgram(given: string | undefined): FoundProgram {
  if (given !== undefined) {
    during(`${SETTINGS_FILE}: /machine/qemu`, () => checkAccess(given, ACCESS.X_OK));
    return { path: given, from: "settings" };
  }
  const path = firstOf(QEMU);
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

export function parseQemuVersion(text: string): QemuVersion | undefined {
  const [, major, minor, micro] = /^QEMU emulator version (\d+)\.(\d+)\.(\d+)/m.exec(text) ?? [];
  return major === undefined ? undefined : [Number(major), Number(minor), Number(micro)];
}
