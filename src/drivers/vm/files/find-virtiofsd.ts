import { during, HakoError } from "../../../base/errors";
import { ACCESS } from "../../../linux/call/constants";
import { callerVariables } from "../../../linux/file/caller-environment";
import { checkAccess } from "../../../linux/file/file";
import { SETTINGS_FILE } from "../../../settings/settings";
import { installLine } from "../host/distribution";
import { type FoundProgram, firstProgram } from "../host/find-program";

/** In PATH, and where distributions put programs that people don't call; QEMU's own, which it had until 7.2, is the last. */
const PLACES = [
  ...["virtiofsd", "/usr/libexec/virtiofsd", "/usr/lib/virtiofsd", "/usr/lib/qemu/virtiofsd"],
] as const;
/** The oldest of QEMU's own, and of the one in Rust: the first with all of the arguments. */
const OLDEST = { qemu: [7, 2], rust: [1, 5] } as const;

/** Which of the two programs of this name it is: their arguments differ. */
export type VirtiofsdKind = keyof typeof OLDEST;

export interface FoundVirtiofsd extends FoundProgram {
  kind: VirtiofsdKind;
  version: string;
}

/** The program that serves files of the host's which guests write: `given` is what the settings say. */
export function findVirtiofsd(given: string | undefined): FoundVirtiofsd {
  if (given !== undefined) {
    during(`${SETTINGS_FILE}: /machine/virtiofsd`, () => checkAccess(given, ACCESS.X_OK));
    return { path: given, from: "settings", ...versionOf(given) };
  }
  const path = firstProgram(PLACES);
  if (path !== undefined) return { path, from: "host", ...versionOf(path) };
  throw new HakoError({ code: "unsupported", message: "no virtiofsd", hint: installLine("virtiofsd") });
}

function versionOf(path: string): Pick<FoundVirtiofsd, "kind" | "version"> {
  const { stdout, stderr } = Bun.spawnSync([path, "--version"], { env: callerVariables() });
  const found = parseVirtiofsdVersion(`${stdout}${stderr}`);
  if (found === undefined)
    throw new HakoError({
      code: "unsupported",
      message: `${path} --version tells no version of virtiofsd's`,
    });
  const [major = 0, minor = 0] = found.version.split(".").map(Number);
  const [leastMajor, leastMinor] = OLDEST[found.kind];
  if (major > leastMajor || (major === leastMajor && minor >= leastMinor)) return found;
  throw new HakoError({
    code: "unsupported",
    message: `${path} is virtiofsd ${found.version}; machines need ${leastMajor}.${leastMinor} or newer`,
    hint: installLine("virtiofsd"),
  });
}

/** QEMU's own says "virtiofsd version 7.2.22 (...)", the one in Rust "virtiofsd 1.13.2", with "backend" between in some versions. */
export function parseVirtiofsdVersion(text: string): Pick<FoundVirtiofsd, "kind" | "version"> | undefined {
  const [, word, version] = /^virtiofsd (version |backend )?v?(\d+\.\d+(?:\.\d+)?)/m.exec(text) ?? [];
  return version === undefined ? undefined : { kind: word === "version " ? "qemu" : "rust", version };
}
