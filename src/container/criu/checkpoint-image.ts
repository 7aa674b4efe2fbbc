import { asHakoError, HakoError } from "../../base/errors";
import { O } from "../../linux/call/constants";
import type { Fd } from "../../linux/call/fd";
import { hasErrno, makeDirectories, readText, removeFile, statusAt, writeText } from "../../linux/file/file";
import { openAt } from "../../linux/file/path";
import { join, resolve } from "../../linux/file/path-text";
import { NAMESPACE_FLAGS } from "../../linux/process/namespace";
import { CRIU_CONFIG_ANNOTATION } from "../../oci/annotations";
import type { Config } from "../../oci/config";
import type { SavedMounts } from "./checkpoint-mounts";
import { CGROUP_MODES, type CgroupMode, type CriuOptions } from "./criu-message";

const FILE = "hako.json";
/** criu logs errors, warnings, and what it does: a failure's log is read by people. */
const LOG_LEVEL = 4;
/** The administrator's settings of criu for container runtimes, under runc's name. */
const CONFIG_FILE = "/etc/criu/runc.conf";

/** What checkpoint and restore have in common. */
export interface CriuFlags {
  /** criu's name or path. */
  program: string;
  imagePath: string;
  /** Where criu's log and other files of its work go; the image's directory if not given. */
  workPath: string | undefined;
  tcpEstablished: boolean;
  externalUnixSockets: boolean;
  shellJob: boolean;
  fileLocks: boolean;
  autoDedup: boolean;
  lazyPages: boolean;
  cgroupMode: CgroupMode;
}

/** What a restore needs and criu does not save; kept beside criu's files. */
export interface CheckpointImage extends SavedMounts {
  /** criu's names of the standard streams that the container got from outside. */
  streams: string[];
}

export function writeImage(imagePath: string, image: CheckpointImage): void {
  writeText(join(imagePath, FILE), JSON.stringify(image), 0o600);
}

export function readImage(imagePath: string): CheckpointImage {
  try {
    return JSON.parse(readText(join(imagePath, FILE))) as CheckpointImage;
  } catch (thrown) {
    const hint = "--image-path names the directory that hako checkpoint wrote";
    const cause = thrown instanceof SyntaxError ? new Error("is broken") : asHakoError(thrown);
    throw new HakoError({ code: "config", message: `checkpoint ${resolve(imagePath)}`, cause, hint });
  }
}

/** The directories that criu works with, as descriptors, which is how criu takes them; and the path of its log. */
export class CriuDirectories implements Disposable {
  readonly image: Fd;
  readonly work: Fd | undefined;
  readonly log: string;

  /** Opens the directories in criu's mount namespace: criu mounts in them, which it can't do in those of another namespace. */
  constructor(flags: CriuFlags, logFile: string, criu: number) {
    const { imagePath, workPath } = flags;
    const open = (path: string): Fd => openFrom(`/proc/${criu}/root`, resolve(path));
    if (workPath !== undefined) makeDirectories(workPath, 0o700);
    this.image = open(imagePath);
    this.work = workPath === undefined ? undefined : open(workPath);
    this.log = join(resolve(workPath ?? imagePath), logFile);
    removeFile(this.log);
  }

  [Symbol.dispose](): void {
    this.image.close();
    this.work?.close();
  }
}

/** The options of criu that checkpoint and restore have in common. */
export function commonOptions(
  flags: CriuFlags,
  directories: CriuDirectories,
  logFile: string,
  config: Config,
): CriuOptions {
  return {
    imagesDirectory: directories.image.number,
    workDirectory: directories.work?.number,
    logLevel: LOG_LEVEL,
    logFile,
    notifyScripts: true,
    tcpEstablished: flags.tcpEstablished,
    externalUnixSockets: flags.externalUnixSockets,
    shellJob: flags.shellJob,
    fileLocks: flags.fileLocks,
    autoDedup: flags.autoDedup,
    lazyPages: flags.lazyPages,
    cgroupMode: CGROUP_MODES[flags.cgroupMode],
    // hooks or the caller make what is in a network namespace, so hako does not save it
    emptyNamespaces: NAMESPACE_FLAGS.network,
    orphanPtsMaster: true,
    configFile: configFile(config),
  };
}

/** The file of settings; an annotation names another one, or by an empty value none. */
function configFile(config: Config): string | undefined {
  const named = config.annotations?.[CRIU_CONFIG_ANNOTATION] ?? CONFIG_FILE;
  return named !== "" && statusAt(named)?.type === "file" ? named : undefined;
}

/** criu's names of namespaces that the container joined and that stay when it is gone. */
export const EXTERNAL_NAMESPACES = {
  network: { type: "net", key: "extRootNetNS" },
  pid: { type: "pid", key: "extRootPidNS" },
} as const;

/**
 * Opens a directory as criu sees it. A criu that has ended has no root directory any more. That is not told here: the next request to
 * criu fails, and says why criu ended.
 */
function openFrom(root: string, path: string): Fd {
  try {
    return openAt(undefined, `${root}${path}`, O.RDONLY | O.DIRECTORY);
  } catch (error) {
    if (!hasErrno(error, "ENOENT", "ESRCH")) throw error;
    return openAt(undefined, path, O.RDONLY | O.DIRECTORY);
  }
}
