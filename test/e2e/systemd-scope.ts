import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import {
  Box,
  type BundleConfig,
  execute,
  isV2,
  type Needs,
  needsHako,
  needsProgram,
  type Result,
} from "./support";

export const needsSystemd: Needs = existsSync("/run/systemd/private")
  ? undefined
  : "no systemd runs here (scripts/with-systemd starts one)";

export const NEEDS = [needsHako, needsSystemd, needsProgram("systemctl")];

/** Of the user that scripts/with-systemd makes, with a systemd of its own. */
export const USER = Number(process.env.HAKO_SYSTEMD_USER ?? 0);

export const needsUserSystemd: Needs =
  USER !== 0 && existsSync(`/run/user/${USER}/systemd/private`) ? undefined : "no user's systemd runs here";

export const needsV2: Needs = isV2 ? undefined : "cgroup v2 is not mounted";

export const MIB = 1024 * 1024;

export function systemctl(...args: string[]): Result {
  return execute("systemctl", args);
}

/** Properties of a unit, in the order that they are asked for. */
export function show(unit: string, ...names: string[]): string[] {
  const lines = systemctl("show", unit, ...names.map((name) => `--property=${name}`)).stdout.split("\n");
  return names.map((name) => lines.find((line) => line.startsWith(`${name}=`))?.slice(name.length + 1) ?? "");
}

/** What systemd knows of units with such names. */
export function units(pattern: string): string {
  return systemctl("list-units", "--all", "--no-legend", "--plain", pattern).stdout;
}

/** The directory of a process in the hierarchy of a controller; "" is the unified one. */
export function cgroupOf(pid: number, controller: string): string {
  const wanted = isV2 ? "" : controller;
  const line = readFileSync(`/proc/${pid}/cgroup`, "utf8")
    .split("\n")
    .find((each) => each.split(":")[1]?.split(",").includes(wanted));
  const path = line?.split(":")[2] ?? "";
  return isV2 ? `/sys/fs/cgroup${path}` : `/sys/fs/cgroup/${controller}${path}`;
}

export function fileOf(pid: number, controller: string, v1: string, v2: string): string {
  return readFileSync(join(cgroupOf(pid, controller), isV2 ? v2 : v1), "utf8").trim();
}

/** A container of systemd's: its id, its unit's name, and a bundle whose cgroupsPath is systemd's. */
export class Scope implements Disposable {
  readonly box = new Box();
  readonly id = this.box.id();
  readonly unit: string;
  readonly path: string;

  constructor(readonly slice = "") {
    this.unit = `hako-${this.id}.scope`;
    this.path = `${slice}:hako:${this.id}`;
  }

  bundle(args: string[], change: (config: BundleConfig) => void = () => {}): string {
    return this.box.bundle(args, (config) => {
      config.linux.cgroupsPath = this.path;
      change(config);
    });
  }

  hako(...args: string[]): Result {
    return this.box.hako("--systemd-cgroup", ...args);
  }

  /** A command that must succeed. */
  ok(...args: string[]): Result {
    return this.box.ok("--systemd-cgroup", ...args);
  }

  /** Makes and starts the container; its pid. */
  start(args: string[], change: (config: BundleConfig) => void = () => {}): number {
    this.ok("create", "--bundle", this.bundle(args, change), this.id);
    this.ok("start", this.id);
    return this.box.state(this.id).pid;
  }

  [Symbol.dispose](): void {
    this.box[Symbol.dispose]();
    systemctl("stop", this.unit);
    systemctl("reset-failed", this.unit);
  }
}
