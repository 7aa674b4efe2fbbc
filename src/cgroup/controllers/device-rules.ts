import { HakoError } from "../../base/errors";
import type { DeviceRule } from "../../oci/config";
import { deviceAccess, deviceAccessProblem } from "../../oci/device-access";
import { RULE_TYPES } from "../../oci/device-types";

/** A checked rule. An undefined number stands for all numbers. */
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

/** Checks one rule of config.json. */
export function parseDeviceRule(rule: DeviceRule, pointer: string): AccessRule {
  const wrong = (field: string, message: string) =>
    new HakoError({ code: "config", message: `${pointer}/${field}: ${message}` });
  const number = (field: "major" | "minor") => {
    const value = rule[field];
    // -1 is how some engines write "all"
    if (value === undefined || BigInt(value) === -1n) return undefined;
    if (BigInt(value) < 0n || BigInt(value) > 0x7fffffffn) throw wrong(field, `${value} is no device number`);
    return BigInt(value);
  };
  const problem = deviceAccessProblem(rule);
  if (problem !== undefined) throw wrong("access", problem);
  return {
    allow: rule.allow,
    type: RULE_TYPES[rule.type ?? ""],
    major: number("major"),
    minor: number("minor"),
    access: deviceAccess(rule),
  };
}

/** A rule as devices.allow and devices.deny take it: "c 1:* rw". */
export function ruleText(rule: AccessRule): string {
  return `${rule.type} ${rule.major ?? "*"}:${rule.minor ?? "*"} ${rule.access}`;
}
