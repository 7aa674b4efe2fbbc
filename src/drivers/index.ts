import { HakoError } from "../base/errors";
import { DRIVER_ANNOTATION } from "../oci/annotations";
import type { Config } from "../oci/config";
import { type ContainerRecord, DEFAULT_DRIVER, type DriverName } from "../state/record";
import type { Abilities, SandboxDriver } from "./interface/driver";
import { namespacesDriver } from "./namespaces";

/** Loaded on first use. */
const rare = {
  get vm() {
    return require("./vm") as typeof import("./vm");
  },
};

/** A driver that few containers have is loaded when it is asked for. */
const DRIVERS: Readonly<Record<DriverName, () => SandboxDriver>> = {
  namespaces: () => namespacesDriver,
  vm: () => rare.vm.vmDriver,
};

/** The driver of a container that there is. */
export function driverOf({ driver = DEFAULT_DRIVER }: Pick<ContainerRecord, "driver">): SandboxDriver {
  return DRIVERS[driver]();
}

/** All drivers, for a container without a record: one of them has made it. First those whose containers are some of another driver's, too. */
export function allDrivers(): SandboxDriver[] {
  return Object.values(DRIVERS)
    .map((load) => load())
    .toReversed();
}

/**
 * The driver that makes a new container: that of a name, or the one that an annotation asks for, which can be no weaker. What config.json asks
 * for and the driver can't do is refused by name.
 */
export function driverFor(config: Config, name?: DriverName): SandboxDriver {
  const asked = config.annotations?.[DRIVER_ANNOTATION] === "vm" ? "vm" : (name ?? DEFAULT_DRIVER);
  const driver = DRIVERS[asked]();
  checkAbilities(driver, config);
  return driver;
}

/** Refuses what config.json asks for and a driver can't do. */
export function checkAbilities(driver: SandboxDriver, { linux }: Config): void {
  if (linux?.seccomp?.listenerPath !== undefined)
    need(driver, "seccompListener", "config /linux/seccomp/listenerPath");
  if (linux?.intelRdt !== undefined) need(driver, "intelRdt", "config /linux/intelRdt");
}

/** Refuses what a driver can't do; `what` is what the caller has asked for. */
export function need({ name, can }: SandboxDriver, ability: keyof Abilities, what: string): void {
  if (can[ability]) return;
  const message = `${what}: the driver ${JSON.stringify(name)} can't do this`;
  throw new HakoError({ code: "unsupported", message });
}
