import { type AccessRule, DEFAULT_DEVICES } from "../controllers/device-rules";
import type { CgroupVersion } from "../hierarchy/layout";
import type { Property } from "./manager";
import { stringVariant } from "./variants";

/** The first version of systemd that takes numbers from "char-136" and from paths; for older ones the device must exist. */
const NUMBERS_SINCE = 240;

type Allowed = Omit<AccessRule, "allow" | "type"> & { type: "b" | "c" };

/** The allowed devices as a list; undefined if the rules, in their order, can't be said as a list. */
type AllowList = Allowed[] | "everything" | undefined;

function covers(wide: Omit<AccessRule, "allow" | "access">, narrow: Allowed): boolean {
  const number = (a: bigint | undefined, b: bigint | undefined) => a === undefined || a === b;
  return (
    (wide.type === "a" || wide.type === narrow.type) &&
    number(wide.major, narrow.major) &&
    number(wide.minor, narrow.minor)
  );
}

function overlaps(a: Omit<AccessRule, "allow" | "access">, b: Allowed): boolean {
  const number = (x: bigint | undefined, y: bigint | undefined) =>
    x === undefined || y === undefined || x === y;
  return (a.type === "a" || a.type === b.type) && number(a.major, b.major) && number(a.minor, b.minor);
}

/** The rules as a list. The last rule that fits a device decides, and a device that no rule names is denied. */
export function allowList(rules: readonly AccessRule[]): AllowList {
  let list: Allowed[] | "everything" = [];
  for (const { allow, type, major, minor, access } of rules) {
    const isAll = type === "a" && major === undefined && minor === undefined && access === "rwm";
    if (isAll) {
      list = allow ? "everything" : [];
    } else if (list === "everything") {
      if (!allow) return undefined;
    } else if (allow) {
      for (const each of type === "a" ? (["b", "c"] as const) : [type]) {
        list.push({ type: each, major, minor, access });
      }
    } else {
      const denied = { type, major, minor };
      const hit = (entry: Allowed) =>
        overlaps(denied, entry) && [...access].some((letter) => entry.access.includes(letter));
      if (list.some((entry) => hit(entry) && !covers(denied, entry))) return undefined;
      list = list
        .map((entry) =>
          hit(entry)
            ? { ...entry, access: [...entry.access].filter((letter) => !access.includes(letter)).join("") }
            : entry,
        )
        .filter((entry) => entry.access !== "");
    }
  }
  return list;
}

/** A device as DeviceAllow= writes it (systemd.resource-control(5)); undefined if it can't be written so. */
function pattern({ type, major, minor }: Allowed, systemd: number): string | undefined {
  const kind = type === "b" ? "block" : "char";
  if (major === undefined) return minor === undefined ? `${kind}-*` : undefined;
  if (systemd < NUMBERS_SINCE) return undefined;
  return minor === undefined ? `${kind}-${major}` : `/dev/${kind}/${major}:${minor}`;
}

/**
 * On v1 a unit has a devices cgroup only while it, or a unit beside it, has a list of devices. So every container's unit gets a list: else
 * its processes would be moved out of their cgroup when the last unit beside it that has one ends.
 */
const EVERYTHING = [
  ["char-*", "rwm"],
  ["block-*", "rwm"],
] as const;

function properties(policy: "auto" | "strict", list: readonly (readonly [string, string])[]): Property[] {
  const allow = (value: readonly (readonly [string, string])[]): Property => [
    "DeviceAllow",
    { signature: "a(ss)", value },
  ];
  // an empty list takes away what an annotation may have added
  return [allow([]), ["DevicePolicy", stringVariant(policy)], ...(list.length === 0 ? [] : [allow(list)])];
}

/**
 * The device rules as properties of the unit. On v2 systemd has a program of its own beside hako's, and a device must be allowed by both: where
 * systemd can't express the rules it gets none, and hako's program alone decides. On v1 both write the same list, and systemd writes it anew now
 * and then: where it can't express the rules it gets the default devices only.
 */
export function deviceProperties(
  rules: readonly AccessRule[],
  version: CgroupVersion,
  systemd: number,
): Property[] {
  const list = allowList([...rules, ...DEFAULT_DEVICES]);
  if (list === "everything")
    return version === "v2" ? properties("auto", []) : properties("strict", EVERYTHING);
  const entries = list?.map((entry) => [pattern(entry, systemd), entry.access] as const);
  const known = entries?.filter((entry): entry is readonly [string, string] => entry[0] !== undefined);
  if (entries !== undefined && known !== undefined && (entries.length === known.length || version !== "v2")) {
    return properties("strict", known);
  }
  return version === "v2" ? properties("auto", []) : deviceProperties([], version, systemd);
}
