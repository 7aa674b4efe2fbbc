import type { ClaimedChanges } from "../../changes/changes-directory";
import type { PolicyGuards } from "../../policy/applied-policy";
import type { ScriptImage } from "./image-settings";
import type { ScriptIds } from "./script-ids";
import type { NetworkValues } from "./script-network";

/** What `hako run --rootfs` is told on its command line. */
export interface ScriptValues extends NetworkValues {
  rootfs: string;
  memory: string | undefined;
  cpus: string | undefined;
  pids: string | undefined;
  env: readonly string[];
  mount: readonly string[];
  volume: readonly string[];
  user: string | undefined;
  workdir: string | undefined;
  "read-only": boolean;
  hostname: string | undefined;
  tty: boolean;
  seccomp: string | undefined;
  tmpfs: readonly string[];
  "no-init": boolean;
  idle: boolean;
  "cap-add": readonly string[];
  "cap-drop": readonly string[];
  device: readonly string[];
  ulimit: readonly string[];
  entrypoint: string | undefined;
  discard: boolean;
  "keep-writes": string | undefined;
  changes: string | undefined;
  "map-root": boolean;
  userns: string | undefined;
  hide: readonly string[];
  write: readonly string[];
  protect: readonly string[];
  weaker: string | undefined;
}

/** What a policy says beside flags. */
export interface ScriptPolicy {
  name: string;
  /** Those of its mounts that are words of flags, as the flags have them too. */
  mounts: Pick<ScriptValues, "volume" | "tmpfs">;
  guards: PolicyGuards;
  annotations: Readonly<Record<string, string>>;
  /** The index of the project's repository, of which the end is told. */
  gitIndex: string | undefined;
}

/** What a run of `--rootfs` has beside its flags. */
export interface ScriptRequest {
  id: string;
  command: readonly string[];
  /** Whether an ordinary user makes the container; this one, if undefined. */
  rootless?: boolean | undefined;
  image?: ScriptImage | undefined;
  ids?: ScriptIds | undefined;
  changes?: ClaimedChanges | undefined;
  policy?: ScriptPolicy | undefined;
  /** The container's own. */
  directory?: string | undefined;
}
