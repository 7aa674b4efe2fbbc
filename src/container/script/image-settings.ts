import { HakoError } from "../../base/errors";
import type { ImageConfig } from "../../image/documents";
import type { Mount } from "../../oci/config";
import { type EnvironmentLine, isEnvironmentLine } from "../../oci/environment";

/** An image whose files are unpacked. */
export interface ScriptImage {
  /** As the command line names it. */
  text: string;
  rootfs: string;
  /** undefined for an archive that is no image's. */
  config: ImageConfig | undefined;
}

/** What an image's configuration says of its containers (image spec, config.md and conversion.md). */
export interface ImageSettings {
  env: EnvironmentLine[];
  entrypoint: readonly string[];
  cmd: readonly string[];
  workdir: string | undefined;
  user: string | undefined;
  stopSignal: string | undefined;
  volumes: readonly string[];
}

const NONE: ImageSettings = {
  env: [],
  entrypoint: [],
  cmd: [],
  workdir: undefined,
  user: undefined,
  stopSignal: undefined,
  volumes: [],
};

export function imageSettings(image: ScriptImage | undefined): ImageSettings {
  const config = image?.config?.config;
  if (config === undefined || config === null) return NONE;
  return {
    env: (config.Env ?? []).filter(isEnvironmentLine),
    entrypoint: config.Entrypoint ?? [],
    cmd: config.Cmd ?? [],
    workdir: config.WorkingDir || undefined,
    user: config.User || undefined,
    stopSignal: config.StopSignal || undefined,
    volumes: Object.keys(config.Volumes ?? {}),
  };
}

/** The program and its arguments. As with docker: words of the caller's replace CMD, another entrypoint replaces both. */
export function imageCommand(
  { entrypoint, cmd }: ImageSettings,
  given: readonly string[],
  otherEntrypoint: string | undefined,
): string[] {
  const first = otherEntrypoint === undefined ? entrypoint : otherEntrypoint === "" ? [] : [otherEntrypoint];
  const rest = given.length > 0 || otherEntrypoint !== undefined ? given : cmd;
  const command = [...first, ...rest];
  if (command.length === 0)
    throw HakoError.usage("missing COMMAND", "hako run --rootfs DIR [--name ID] -- COMMAND");
  return command;
}

/** Volumes stay writable where the rest isn't: they are in memory, and begin with what the image has there. */
export function volumeMounts({ volumes }: ImageSettings, readonly: boolean): Mount[] {
  if (!readonly) return [];
  return volumes.map((destination) => ({
    destination,
    type: "tmpfs",
    source: "tmpfs",
    options: ["nosuid", "nodev", "tmpcopyup"],
  }));
}
