import type { DeviceRule } from "../../oci/config";
import type { CgroupVersion } from "./layout";

/** The container's directory in one hierarchy; plain JSON. */
export interface CgroupNode {
  mountpoint: string;
  /** "memory", "cpu,cpuacct", "name=systemd"; "" is the unified hierarchy. */
  name: string;
  /** Of a v1 hierarchy. */
  controllers: string[];
  unified: boolean;
  /** Below the mount point. */
  path: string;
  /** The directories that `makeNode` made, outermost first. */
  made: string[];
  /** Why the directory could not be made, where a container may go without. */
  skipped?: string | undefined;
}

/** A scope of systemd's, which makes the directories and knows the limits too. */
export interface UnitRecord {
  name: string;
  /** Whose systemd: the host's or a user's. */
  scope: "system" | "user";
  description: string;
  /** False until systemd was asked to start it. */
  started: boolean;
  /** On v1, where systemd writes them anew with each change of a limit. */
  devices?: DeviceRule[] | undefined;
}

/** What is stored of a container's cgroups; plain JSON. */
export interface CgroupRecord {
  version: CgroupVersion;
  nodes: CgroupNode[];
  unit?: UnitRecord | undefined;
  /** Device rules are in force. */
  devices?: boolean | undefined;
}
