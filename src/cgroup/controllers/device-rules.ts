import type { DeviceRule } from "../../oci/config";
import { deviceAccess } from "../../oci/device-access";
import { RULE_TYPES } from "../../oci/device-types";

/** A device rule in one form. An undefined number stands for all numbers. */
export interface AccessRule {
  allow: boolean;
  type: "a" | "b" | "c";
  major: bigint | undefined;
  minor: bigint | undefined;
  /** Letters of "rwm", in that order. */
  access: string;
}

function allow(type: "b" | "c", major?: number, minor?: number, access = "rwm"): AccessRule {
  const number = (value: number | undefined) => (value === undefined ? undefined : BigInt(value));
  return { allow: true, type, major: number(major), minor: number(minor), access };
}

/** The devices of every container (config-linux.md, "Default Devices"), and the making of nodes, which opens nothing. */
export const DEFAULT_DEVICES: readonly AccessRule[] = [
  allow("c", undefined, undefined, "m"),
  allow("b", undefined, undefined, "m"),
  allow("c", 1, 3), // null
  allow("c", 1, 5), // zero
  allow("c", 1, 7), // full
  allow("c", 1, 8), // random
  allow("c", 1, 9), // urandom
  allow("c", 5, 0), // tty
  allow("c", 5, 2), // ptmx
  allow("c", 10, 200), // net/tun, which does nothing without CAP_NET_ADMIN in a network namespace
  allow("c", 136), // pts/*
];

/** A device rule of config.json, complete. */
export function accessRule(rule: DeviceRule): AccessRule {
  // -1 is how some engines write "all"
  const number = (value: number | undefined) =>
    value === undefined || value < 0 ? undefined : BigInt(value);
  return {
    allow: rule.allow,
    type: RULE_TYPES[rule.type ?? ""],
    major: number(rule.major),
    minor: number(rule.minor),
    access: deviceAccess(rule),
  };
}

/** A rule as devices.allow and devices.deny take it: "c 1:* rw". */
export function ruleText(rule: AccessRule): string {
  return `${rule.type} ${rule.major ?? "*"}:${rule.minor ?? "*"} ${rule.access}`;
}
