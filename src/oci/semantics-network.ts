import type { Config, Problem } from "./config";
import { pointer } from "./json";
import { hasNamespace } from "./namespaces";
import { unifiedFileProblem } from "./unified-files";

/** What the kernel takes as the name of an interface (net/core/dev.c, dev_valid_name); "%d" is for it to number. */
function isInterfaceName(name: string): boolean {
  return /^[^\s/:]{1,15}$/.test(name) && name !== "." && name !== ".." && !/%(?!d)|%d.*%/.test(name);
}

/** linux.netDevices: their names, and a network namespace to move them into. */
export function netDevicesProblems(config: Config): Problem[] {
  const devices = Object.entries(config.linux?.netDevices ?? {});
  const namespace = hasNamespace(config, "network");
  const used = new Set<string>();
  return devices.flatMap(([name, { name: inside }]) => {
    const at = pointer(["linux", "netDevices", name]);
    const wanted = inside || name;
    const problems: Problem[] = [];
    const add = (where: string, message: string) => problems.push({ pointer: where, message });
    if (!namespace) add(at, "needs a network namespace to be moved into");
    if (!isInterfaceName(name)) add(at, "is no name of a network interface");
    if (inside && !isInterfaceName(inside))
      add(`${at}/name`, `${JSON.stringify(inside)} is no name of a network interface`);
    if (used.has(wanted) && !wanted.includes("%d")) add(at, `${wanted} is there twice`);
    used.add(wanted);
    return problems;
  });
}

/** resources.rdma: each device with a limit; unified: files that are limits'; intelRdt: lines that are lines. */
export function deviceLimitProblems({ linux }: Config): Problem[] {
  const problems: Problem[] = [];
  for (const [device, limits] of Object.entries(linux?.resources?.rdma ?? {})) {
    const at = pointer(["linux", "resources", "rdma", device]);
    if (device === "" || /\s/.test(device)) problems.push({ pointer: at, message: "is no name of a device" });
    if (limits.hcaHandles === undefined && limits.hcaObjects === undefined) {
      problems.push({ pointer: at, message: "hcaHandles or hcaObjects is missing" });
    }
  }
  (linux?.resources?.network?.priorities ?? []).forEach(({ name }, index) => {
    const at = `/linux/resources/network/priorities/${index}/name`;
    if (!isInterfaceName(name))
      problems.push({ pointer: at, message: `${JSON.stringify(name)} is no name of a network interface` });
  });
  for (const file of Object.keys(linux?.resources?.unified ?? {})) {
    const message = unifiedFileProblem(file);
    if (message !== undefined) {
      problems.push({ pointer: pointer(["linux", "resources", "unified", file]), message });
    }
  }
  const { closID = "", l3CacheSchema = "", memBwSchema = "", schemata = [] } = linux?.intelRdt ?? {};
  const base = "/linux/intelRdt";
  if (
    closID !== "/" &&
    (/[/\n]/.test(closID) || [".", "..", "info", "mon_groups", "mon_data"].includes(closID))
  ) {
    problems.push({ pointer: `${base}/closID`, message: `${JSON.stringify(closID)} is no name of a class` });
  }
  const lines = [
    ["l3CacheSchema", l3CacheSchema, /^(L3[^\n]*)?$/, "L3:"],
    ["memBwSchema", memBwSchema, /^(MB:[^\n]*)?$/, "MB:"],
    ...schemata.map((line, index) => [`schemata/${index}`, line, /^[^\n]*$/, "a name"] as const),
  ] as const;
  for (const [field, line, form, start] of lines) {
    if (form.test(line)) continue;
    problems.push({
      pointer: `${base}/${field}`,
      message: `expected one line that begins with ${start}, got ${JSON.stringify(line)}`,
    });
  }
  return problems;
}
