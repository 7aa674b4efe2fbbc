import { asHakoError, during, HakoError } from "../../base/errors";
import type { Config, Resources } from "../../oci/config";
import { slicePath, unitPlace } from "../../oci/unit-path";
import { logWarning } from "../../output/log";
import { accessRule } from "../controllers/device-rules";
import { checkUsage } from "../controllers/memory";
import { Target } from "../controllers/target";
import { subdirectories } from "../hierarchy/files";
import { belowRoot, type CgroupVersion, readLayout } from "../hierarchy/layout";
import { directoryOf } from "../hierarchy/node";
import type { CgroupRecord, UnitRecord } from "../hierarchy/record";
import type { SubCgroups } from "../hierarchy/sub-cgroups";
import { annotatedProperties } from "../systemd/annotations";
import { deviceProperties } from "../systemd/device-properties";
import { Keeper } from "../systemd/keeper";
import { Manager, type Property } from "../systemd/manager";
import { type Circumstances, resourceProperties, withRoundedQuota } from "../systemd/properties";
import { startProperties } from "../systemd/start-properties";
import { systemdScope } from "../systemd/which";
import type { CgroupEntry } from "./cgroup";
import { Group } from "./group";

const DEFAULT_PERIOD = 100_000n;

type ScopeRecord = CgroupRecord & { unit: UnitRecord };

/** The scope of a container that is going to be made. systemd is asked for the place of its cgroups. */
export function openScope(config: Config, id: string): SystemdGroup {
  const { version, hierarchies } = readLayout();
  const scope = systemdScope();
  if (scope === "user" && version !== "v2") {
    throw new HakoError({
      code: "unsupported",
      message: `--systemd-cgroup: a user's systemd has no cgroups on cgroup ${version}`,
      hint: "leave it out, or start the kernel with cgroup v2",
    });
  }
  const { unit, slice } = during("config /linux/cgroupsPath", () =>
    unitPlace(config.linux?.cgroupsPath, id, scope === "user"),
  );
  const annotated = annotatedProperties(config.annotations ?? {});
  const manager = Manager.connect(scope);
  const path = `${manager.controlGroup()}${slicePath(slice)}/${unit}`;
  const nodes = hierarchies.map(({ mountpoint, root, name, controllers, unified }) => {
    return { mountpoint, name, controllers, unified, path: belowRoot(path, root), made: [] };
  });
  const { devices, unified } = config.linux?.resources ?? {};
  const systemd = manager.version();
  const oomGroup = unified?.["memory.oom.group"];
  const properties = startProperties({ id, slice, version, systemd, oomGroup, annotated });
  // On v1 systemd gives a unit the controllers that its properties need. That must not change later, so these come at the start.
  if (version !== "v2") {
    properties.push(...devicePropertiesOf(devices, version, systemd));
  }
  const description = String(properties.find(([name]) => name === "Description")?.[1].value);
  const record = { version, nodes, unit: { name: unit, scope, description, started: false } };
  return new SystemdGroup(record, { manager, properties });
}

function devicePropertiesOf(
  rules: Resources["devices"],
  version: CgroupVersion,
  systemd: number,
): Property[] {
  return deviceProperties((rules ?? []).map(accessRule), version, systemd);
}

/** A scope that has not been started yet. */
interface Planned {
  manager: Manager;
  properties: readonly Property[];
}

/**
 * Cgroups that systemd makes, as a scope. Limits become properties of the unit, so that systemd does not undo them. They are then also
 * written to the files: systemd has no property for some of them, and older versions have fewer.
 */
export class SystemdGroup extends Group {
  declare readonly record: ScopeRecord;
  readonly #planned: Planned | undefined;
  #manager: Manager | undefined;
  #keeper: Keeper | undefined;
  /** For a scope that this process plans: systemd has been asked to start it, and had no unit of this name. */
  #asked = false;

  constructor(record: ScopeRecord, planned?: Planned) {
    super(record);
    this.#planned = planned;
    this.#manager = planned?.manager;
  }

  /** systemd makes all directories at once. */
  override createUnified(): void {
    const { unit } = this.record;
    if (this.#planned === undefined) throw new Error("a scope is made once");
    this.#keeper = new Keeper();
    this.#asked = true;
    try {
      const pids: Property = ["PIDs", { signature: "au", value: [this.#keeper.pid] }];
      this.#connection().startScope(unit.name, [...this.#planned.properties, pids]);
    } catch (thrown) {
      // a unit of this name that was there is somebody else's: it is not to be stopped
      if (asHakoError(thrown).code === "exists") this.#asked = false;
      throw thrown;
    }
    unit.started = true;
    this.make(() => true);
    for (const node of this.nodes) {
      // systemd made the directory; it, and all below it, is removed with the container
      const leaf = directoryOf(node);
      if (!node.made.includes(leaf)) node.made.push(leaf);
      // On v1 systemd removes empty directories of controllers that it has no use for; the keeper holds them for the container.
      if (!node.unified) this.joinDirectory(this.#keeper.pid, leaf, false);
    }
  }

  override createOthers(): void {}

  override apply(resources: Resources): void {
    checkUsage(new Target(this.record), resources.memory);
    const { unit, devices: later } = this.record;
    const isV1 = this.version !== "v2";
    // while systemd writes the list anew, all devices are denied for a moment
    const rewrites = isV1 && later === true && this.#canRewriteDevices();
    const mustFreeze = rewrites && this.freezes && !this.frozen();
    if (mustFreeze) this.freeze();
    try {
      if (isV1 && later !== true) unit.devices = resources.devices;
      this.#applyBoth(rewrites ? { ...resources, devices: unit.devices } : resources);
    } finally {
      if (mustFreeze) this.thaw();
    }
  }

  /**
   * Whether v1's list of devices can be begun anew. With cgroups below this one it can't, not even by systemd
   * (security/device_cgroup.c, devcgroup_update_access).
   */
  #canRewriteDevices(): boolean {
    const node = this.nodes.find(({ controllers }) => controllers.includes("devices"));
    return node !== undefined && subdirectories(directoryOf(node)).length === 0;
  }

  #applyBoth(resources: Resources): void {
    const { unit, devices: later } = this.record;
    const now = this.#circumstances();
    const exact = withRoundedQuota(resources, now);
    const properties = [
      ...(later === true ? [] : devicePropertiesOf(resources.devices, now.version, now.systemd)),
      ...resourceProperties(exact, now),
    ];
    const names = new Set(properties.map(([name]) => name));
    const before = later === true ? this.#connection().scopeProperties(unit.name, names) : [];
    this.#connection().setProperties(unit.name, properties);
    try {
      super.apply(exact);
    } catch (thrown) {
      this.#takeBack(before);
      throw thrown;
    }
  }

  #takeBack(before: readonly Property[]): void {
    try {
      this.#connection().setProperties(this.record.unit.name, before);
    } catch (thrown) {
      logWarning(asHakoError(thrown).oneLine);
    }
  }

  #circumstances(): Circumstances {
    const target = new Target(this.record);
    const node = target.find("cpu");
    const read = (file: string) => (node === undefined ? undefined : target.read(node, file));
    const [quota, period] =
      this.version === "v2"
        ? (read("cpu.max") ?? "").split(" ")
        : [read("cpu.cfs_quota_us"), read("cpu.cfs_period_us")];
    return {
      version: this.version,
      systemd: this.#connection().version(),
      quota: quota === undefined || !/^\d+$/.test(quota) ? -1n : BigInt(quota),
      period: period === undefined || period === "" ? DEFAULT_PERIOD : BigInt(period),
      idle: read("cpu.idle") === "1",
    };
  }

  /** An ordinary user can't have a process created in the scope: clone would take it out of a cgroup that is not the user's. */
  override entry(below?: SubCgroups): CgroupEntry {
    const entry = super.entry(below);
    const { born } = entry;
    if (born === undefined || this.record.unit.scope === "system") return entry;
    return { ...entry, born: undefined, others: [born, ...entry.others] };
  }

  override settle(): void {
    this.#keeper?.[Symbol.dispose]();
    this.#keeper = undefined;
    // the bus would keep collecting messages for an open connection
    this.#manager?.[Symbol.dispose]();
    this.#manager = undefined;
  }

  protected override processesBelow(dir: string): number[] {
    return super.processesBelow(dir).filter((pid) => pid !== this.#keeper?.pid);
  }

  /** An ordinary user may not take a process out of its session's cgroup. The user's systemd has the host's do it. */
  protected override joinDirectory(pid: number, dir: string, unified: boolean): void {
    try {
      super.joinDirectory(pid, dir, unified);
    } catch (thrown) {
      const own = this.nodes.find((node) => node.unified);
      const root = own === undefined ? undefined : directoryOf(own);
      const isOurs = root !== undefined && (dir === root || dir.startsWith(`${root}/`));
      if (!isOurs || !["EACCES", "EPERM"].includes(asHakoError(thrown).errno ?? "")) throw thrown;
      this.#connection().attach(this.record.unit.name, dir.slice(root.length), [pid]);
    }
  }

  override kill(): void {
    if (this.#isOurs()) super.kill();
  }

  override destroy(): void {
    this.#keeper?.[Symbol.dispose]();
    this.#keeper = undefined;
    if (this.#isOurs()) {
      this.#stop(this.record.unit.name);
      super.destroy();
    }
    this.settle();
  }

  /**
   * Stops the unit. It would end by itself, without processes and cgroup; so a systemd that does not answer keeps nobody from deleting
   * the container.
   */
  #stop(name: string): void {
    try {
      this.#connection().stop(name);
    } catch (thrown) {
      logWarning(`systemd unit ${name} may be left: ${asHakoError(thrown).oneLine}`);
    }
  }

  /** Whether the unit of this name is the container's. A unit that is younger than the record may be somebody else's. */
  #isOurs(): boolean {
    if (this.#planned !== undefined) return this.#asked;
    const { name, started, description } = this.record.unit;
    if (started) return true;
    const wasThere = this.record.nodes.every((node) => !node.made.includes(directoryOf(node)));
    if (wasThere) return false;
    const there = this.#connection().unitState(name) !== "inactive";
    return !there || this.#connection().description(name) === description;
  }

  #connection(): Manager {
    this.#manager ??= Manager.connect(this.record.unit.scope);
    return this.#manager;
  }
}
