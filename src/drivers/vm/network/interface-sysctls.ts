import { sysctlPath } from "../../namespaces/program/sysctl";

/** Of /linux/sysctl: values by names of parameters. */
export type Sysctls = Readonly<Record<string, string>>;

/** Of an interface, which is there later than the container; "all" and "default" are none, and lo is there from the beginning. */
const OF_INTERFACE = /^net\/[^/]+\/(conf|neigh)\/(?!(all|default|lo)\/)/;

/** Kernel parameters of network interfaces, and all others. */
export function divideSysctls(sysctls: Sysctls = {}): { interfaces: Sysctls; others: Sysctls } {
  const divided = Object.groupBy(Object.entries(sysctls), ([name]) =>
    OF_INTERFACE.test(sysctlPath(name)) ? "interfaces" : "others",
  );
  return {
    interfaces: Object.fromEntries(divided.interfaces ?? []),
    others: Object.fromEntries(divided.others ?? []),
  };
}
