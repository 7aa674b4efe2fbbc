import { asHakoError, HakoError } from "../../base/errors";
import { replaceDeviceProgram } from "../../linux/kernel/bpf";
import { isRootless } from "../../linux/process/rootless";
import type { DeviceRule, Resources } from "../../oci/config";
import { ValueFile } from "../hierarchy/files";
import { directoryOf } from "../hierarchy/node";
import type { CgroupNode } from "../hierarchy/record";
import { deviceProgram } from "./device-program";
import { type AccessRule, accessRule, DEFAULT_DEVICES, ruleText } from "./device-rules";
import type { Target } from "./target";

/**
 * Writes the device rules, and after them those that allow the default devices of every container.
 *
 * The first time this is done without rules too: then only the default devices are allowed. Later, resources without device rules
 * leave those that are in force.
 */
export function applyDevices(target: Target, { devices }: Resources): void {
  if (devices === undefined && target.record.devices === true) return;
  applyRules(target, devices ?? []);
  target.record.devices = true;
}

function applyRules(target: Target, rules: readonly DeviceRule[]): void {
  const parsed = rules.map(accessRule);
  // An ordinary user can make no device nodes anyway, and the rules can't be set.
  if (isRootless()) return;
  const node = target.find("devices") ?? (target.record.version === "v1" ? undefined : target.find(""));
  if (node === undefined) {
    // A container without device rules could open every disk of the host, so missing cgroups are an error, with two exceptions: a user
    // who may not make cgroups may not open devices either, and on a host without any cgroups only a rule that forbids needs them.
    const { nodes } = target.record;
    const asked = nodes.length > 0 || rules.some((rule) => !rule.allow);
    if (asked && !nodes.some((each) => each.skipped !== undefined)) target.need("devices", "/devices");
    return;
  }
  if (node.unified) applyProgram(node, [...parsed, ...DEFAULT_DEVICES]);
  else applyList(target, node, parsed);
}

function applyProgram(node: CgroupNode, rules: readonly AccessRule[]): void {
  const dir = directoryOf(node);
  try {
    replaceDeviceProgram(dir, deviceProgram(rules));
  } catch (thrown) {
    throw new HakoError({
      code: "system",
      errno: asHakoError(thrown).errno,
      message: `/linux/resources/devices: attach the device rules to cgroup ${dir}`,
      hint: "it takes root, and a kernel with CONFIG_CGROUP_BPF",
      cause: thrown,
    });
  }
}

function isEverything(rule: AccessRule): boolean {
  return rule.type === "a" && rule.major === undefined && rule.minor === undefined && rule.access === "rwm";
}

/** Writes rules on v1. The kernel has a list of exceptions to "allow all" or to "deny all", and begins with the latter. */
function applyList(target: Target, node: CgroupNode, rules: readonly AccessRule[]): void {
  const dir = directoryOf(node);
  // these files can't be read, so there are no old values that could be put back
  using allow = new ValueFile(`${dir}/devices.allow`);
  using deny = new ValueFile(`${dir}/devices.deny`);
  const write = (rule: AccessRule, index: number) => {
    const file = rule.allow ? "devices.allow" : "devices.deny";
    // to the kernel type "a" means every device, whatever the numbers: narrower rules are written once for each type
    const types = rule.type === "a" && !isEverything(rule) ? (["b", "c"] as const) : [rule.type];
    for (const type of types) {
      const text = isEverything(rule) ? "a" : ruleText({ ...rule, type });
      try {
        (rule.allow ? allow : deny).write(text);
      } catch (thrown) {
        throw target.failure(`/devices${index < 0 ? "" : `/${index}`}`, asHakoError(thrown), file);
      }
    }
  };
  checkHoles(target, rules);
  if (rules[0] === undefined || !isEverything(rules[0])) {
    write({ allow: false, type: "a", major: undefined, minor: undefined, access: "rwm" }, -1);
  }
  rules.forEach(write);
  DEFAULT_DEVICES.forEach((rule) => {
    write(rule, -1);
  });
}

/**
 * Refuses rules that v1's list can't express: "all of these but not that one", and the opposite. The kernel would take them and do
 * something else.
 */
function checkHoles(target: Target, rules: readonly AccessRule[]): void {
  let allowed = false;
  let exceptions: AccessRule[] = [];
  for (const [index, rule] of rules.entries()) {
    if (isEverything(rule)) {
      allowed = rule.allow;
      exceptions = [];
      continue;
    }
    if (rule.allow !== allowed) {
      exceptions.push(rule);
      continue;
    }
    const wider = exceptions.find((other) => overlaps(other, rule) && !sameDevices(other, rule));
    if (wider === undefined) continue;
    const hint = `it overlaps "${ruleText(wider)}": list the devices one by one, or use cgroup v2`;
    throw target.refuse(`/devices/${index}`, `cgroup v1 cannot express "${ruleText(rule)}" here`, hint);
  }
}

function overlaps(a: AccessRule, b: AccessRule): boolean {
  const same = (x: bigint | undefined, y: bigint | undefined) =>
    x === undefined || y === undefined || x === y;
  const types = a.type === "a" || b.type === "a" || a.type === b.type;
  const access = [...a.access].some((letter) => b.access.includes(letter));
  return types && same(a.major, b.major) && same(a.minor, b.minor) && access;
}

function sameDevices(a: AccessRule, b: AccessRule): boolean {
  return (a.type === b.type || b.type === "a") && a.major === b.major && a.minor === b.minor;
}
