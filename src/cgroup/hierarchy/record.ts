import type { DeviceRule } from "../../oci/config";
import type { CgroupVersion } from "./layout";

/** The container's directory in one hierarchy; plain JSON. */
export interface CgroupNode {
  mountpoint: string;
  /** "memory", "cpu,cpuacct", "name=systemd"; "" is the unified hierarchy. */
  name: string;
  /** The controllers of a v1 hierarchy; empty for the unified one. */
  controllers: string[];
  unified: boolean;
  /** The path below the mount point. */
  path: string;
  /** The directories that `makeNode` made, outermost first. */
  made: string[];
  /** Why the directory could not be made, where the container may do without it. */
  skipped?: string | undefined;
}

/** A container's scope in systemd, which makes the directories, and has to know the limits. */
export interface UnitRecord {
  name: string;
  /** Whose systemd it is: the host's or a user's. */
  scope: "system" | "user";
  description: string;
  /** False until systemd was asked to start it. */
  started: boolean;
  /** The device rules, on v1 alone: systemd writes them anew whenever a limit changes. */
  devices?: DeviceRule[] | undefined;
}

/** What is stored of a container's cgroups; plain JSON. */
export interface CgroupRecord {
  version: CgroupVersion;
  nodes: CgroupNode[];
  unit?: UnitRecord | undefined;
  /** Device rules are in force; without new ones they stay. */
  devices?: boolean | undefined;
}
