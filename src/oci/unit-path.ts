import { HakoError } from "../base/errors";

/** The prefix of the unit's name where config.json has no cgroupsPath. */
const DEFAULT_PREFIX = "hako";
/** systemd's UNIT_NAME_MAX. */
const MAX_NAME = 255;
const SUFFIX = ".slice";

/** The place of a container in systemd: a scope in a slice. */
export interface UnitPlace {
  unit: string;
  slice: string;
}

function wrong(message: string): HakoError {
  return new HakoError({ code: "config", message });
}

/** Whether a cgroupsPath has systemd's form "slice:prefix:name", which callers use together with `--systemd-cgroup`. */
export function isSystemdPath(path: string): boolean {
  return /^[^:/@]+:[^:/]+:[^:/]+$/.test(path);
}

/**
 * The unit for a cgroupsPath "slice:prefix:name" (runc's docs/systemd.md): PREFIX-NAME.scope in SLICE. An empty slice, and a missing
 * path, mean the defaults.
 */
export function unitPlace(cgroupsPath: string | undefined, id: string, rootless: boolean): UnitPlace {
  const path = cgroupsPath === undefined || cgroupsPath === "" ? `:${DEFAULT_PREFIX}:${id}` : cgroupsPath;
  const parts = path.split(":");
  const [slice = "", prefix = "", name = ""] = parts;
  if (parts.length !== 3 || name === "") {
    throw wrong(
      `${JSON.stringify(path)} is not of the form slice:prefix:name, which --systemd-cgroup needs, as system.slice:hako:web`,
    );
  }
  if (name.endsWith(SUFFIX)) {
    throw wrong(`${JSON.stringify(name)} is a slice, which holds no processes: name a scope`);
  }
  // an empty prefix leaves the dash, as with runc and crun
  const unit = `${prefix}-${name}.scope`;
  if (unit.length > MAX_NAME || !/^[A-Za-z0-9:_.\\@-]+$/.test(unit)) {
    throw wrong(
      `${JSON.stringify(unit)} is not a unit name: letters, digits and :_.\\@-, at most ${MAX_NAME} of them`,
    );
  }
  const place = { unit, slice: slice === "" ? (rootless ? "user.slice" : "system.slice") : slice };
  slicePath(place.slice);
  return place;
}

/** The directory of a slice below systemd's own: "a-b.slice" is "/a.slice/a-b.slice" (systemd.slice(5)); "-.slice" is the root. */
export function slicePath(slice: string): string {
  const names = slice.endsWith(SUFFIX) ? slice.slice(0, -SUFFIX.length) : undefined;
  if (names === "-") return "";
  const parts = names?.split("-") ?? [""];
  if (parts.some((part) => !/^[A-Za-z0-9:_.\\@]+$/.test(part)) || slice.length > MAX_NAME) {
    throw wrong(`${JSON.stringify(slice)} is not the name of a slice, as machine.slice or machine-web.slice`);
  }
  return parts.map((_, index) => `/${parts.slice(0, index + 1).join("-")}${SUFFIX}`).join("");
}
