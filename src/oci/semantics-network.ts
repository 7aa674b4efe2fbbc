import type { Config, Problem } from "./config";
import { pointer } from "./json";
import { hasNamespace } from "./namespaces";

/** Whether the kernel takes a text as the name of an interface (net/core/dev.c, dev_valid_name). It replaces "%d" by a number. */
export function isInterfaceName(name: string): boolean {
  return /^[^\s/:]{1,15}$/.test(name) && name !== "." && name !== ".." && !/%(?!d)|%d.*%/.test(name);
}

/** Checks linux.netDevices: the names, and that there is a network namespace to move the interfaces into. */
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
