import { HakoError } from "../../base/errors";
import type { Arguments, ArgumentValues } from "../../cli/arguments";
import type { Globals } from "../../cli/global-flags";
import type { CriuFlags } from "../../container/criu/checkpoint-image";
import type { CgroupMode } from "../../container/criu/criu-message";

/** Flags of checkpoint and restore. */
export const CRIU_FLAGS = {
  "image-path": {
    type: "string",
    valueHint: "DIR",
    description: "directory of the saved processes",
    default: "checkpoint",
  },
  "work-path": {
    type: "string",
    valueHint: "DIR",
    description: "directory for criu's log and other files of its work; the images' if not given",
  },
  "tcp-established": { type: "boolean", description: "with open TCP connections" },
  "ext-unix-sk": { type: "boolean", description: "with unix sockets that lead out of the container" },
  "shell-job": { type: "boolean", description: "with a terminal from outside of the container" },
  "file-locks": { type: "boolean", description: "with locks of files, which others must not take meanwhile" },
  "manage-cgroups-mode": {
    type: "enum",
    options: ["soft", "full", "strict", "ignore"] as string[],
    description: "what of cgroups' settings is saved and restored",
    default: "soft",
  },
  "empty-ns": {
    type: "string",
    valueHint: "network",
    multiple: true,
    description: "a namespace that is made without what was in it; network always is",
  },
  "auto-dedup": { type: "boolean", description: "drop pages of memory that a later image holds" },
  "lazy-pages": { type: "boolean", description: "hand out pages of memory when they are needed" },
} as const satisfies Arguments;

export function criuFlags(values: ArgumentValues<typeof CRIU_FLAGS>, { criu }: Globals): CriuFlags {
  const other = values["empty-ns"].find((type) => type !== "network");
  if (other !== undefined) {
    throw HakoError.usage(
      `--empty-ns: a ${JSON.stringify(other)} namespace can't be left empty`,
      "network is the only one",
    );
  }
  return {
    program: criu,
    imagePath: values["image-path"],
    workPath: values["work-path"],
    tcpEstablished: values["tcp-established"],
    externalUnixSockets: values["ext-unix-sk"],
    shellJob: values["shell-job"],
    fileLocks: values["file-locks"],
    autoDedup: values["auto-dedup"],
    lazyPages: values["lazy-pages"],
    cgroupMode: values["manage-cgroups-mode"] as CgroupMode,
  };
}
