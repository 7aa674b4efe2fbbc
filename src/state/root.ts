import { asHakoError, HakoError } from "../base/errors";
import {
  hasErrno,
  listNames,
  makeDirectories,
  makeNewDirectory,
  removeDirectory,
  removeTree,
  statusAt,
} from "../linux/file/file";
import { join, resolve } from "../linux/file/path-text";
import { effectiveUser } from "../linux/process/rootless";
import { type ContainerId, containerId, MAPPINGS } from "../oci/id";
import { checkWay } from "./trusted-path";
import { checkPrivateRoot, keepUserRoot, makePrivateRoot } from "./user-root";

/** Loaded on first use. */
const rare = {
  get mount() {
    return require("../linux/mount/mount-calls") as typeof import("../linux/mount/mount-calls");
  },
};

/** Rights of the group and of others. */
const OTHERS_WRITE = 0o022;
const OTHERS = 0o077;
export const RECORD = "state.json";
/** A copy of the config.json that the container was made from: later changes of the bundle don't matter. */
export const CONFIG = "config.json";
/** The compiled filter, if there is one. */
export const FILTER = "seccomp.bpf";

/** The socket at which a created container waits for `start`; gone when its program has been started. */
export const START_SOCKET = "start.sock";

/** A file that the first process is mounted on, to keep how it ended (kept-process.ts). */
export const KEPT_PROCESS = "init.pidfd";

/** What a first process of hako's says of the program's end (program-end.ts). */
export const PROGRAM_END = "program.end";

/** What the guest's agent has told of what a container in a machine has used (drivers/vm/figures.ts). */
export const FIGURES = "figures";

/** What a container has in place of /etc/resolv.conf, /etc/hosts and the host's certificates, where rules say what its network reaches. */
export const RESOLVER = "resolv.conf";
export const HOSTS = "hosts";
export const CERTIFICATES = "ca-certificates.crt";
/** Copies of root's files that an ordinary user's program has to own: a name with the number of each. */
export const COPY = "copy-";
const COPIES = new RegExp(`^${COPY}\\d+$`);
/** The socket at which `hako policy allow` adds to the rules. */
export const RULES = "rules";

/** Where the overlay of `run --rootfs /` or of an image is mounted in the container, and what takes the writes. */
export const OVERLAY = "rootfs";
export const SCRATCH = `${OVERLAY}.scratch`;

/** All files that create, start and restore make in a container's directory. Their mounts are not seen on the host. */
const OWN_FILES: ReadonlySet<string> = new Set([
  ...[RECORD, `${RECORD}.new`, CONFIG, FILTER, START_SOCKET, KEPT_PROCESS, PROGRAM_END, FIGURES],
  ...[RESOLVER, HOSTS, CERTIFICATES, RULES],
]);
const OWN_DIRECTORIES: ReadonlySet<string> = new Set(["notify", OVERLAY, SCRATCH, "criu-root"]);

const checked = new Set<string>();

/**
 * Refuses a state directory that another user may write to: its files say which processes hako kills, and which programs it runs as hooks.
 */
export function checkRoot(root: string): void {
  if (checked.has(root)) return;
  if (resolve(root) === "/") {
    const message = "--root /: the root directory can't be the state directory";
    throw new HakoError({ code: "usage", message });
  }
  checkPrivateRoot(root);
  checkWay("--root", root);
  const status = statusAt(root);
  if (status === undefined) return;
  if (status.type !== "directory") {
    const message = `--root ${root}: it is not a directory`;
    throw new HakoError({ code: "usage", message, errno: "ENOTDIR", path: root });
  }
  const { uid, mode } = status;
  const foreign = uid !== 0 && uid !== effectiveUser();
  if (foreign || (mode & OTHERS_WRITE) !== 0) {
    throw new HakoError({
      code: "state",
      message: `--root ${root}: ${foreign ? `belongs to user ${uid}` : "others may write to it"}, and would decide what hako does`,
      hint: "use a directory that only this user or root can write to",
      path: root,
    });
  }
  checked.add(root);
}

export function containerDirectory(root: string, id: ContainerId): string {
  return join(resolve(root), id);
}

/** Claims an id by making its directory: of several processes exactly one succeeds. */
export function claimId(root: string, id: ContainerId): void {
  makePrivateRoot(root);
  checkRoot(root);
  makeDirectories(root, 0o711);
  keepUserRoot(root);
  checkRoot(root);
  if (makeNewDirectory(containerDirectory(root, id), 0o711)) return;
  const message = `container id "${id}" already exists`;
  const hint = hasRecord(root, id)
    ? `choose another, or hako delete ${id} when it has ended`
    : `it has no record: hako delete --force ${id} removes what is left of it`;
  throw new HakoError({ code: "exists", message, hint });
}

/** Gives back an id that nothing was made for yet. */
export function unclaimId(root: string, id: ContainerId): void {
  try {
    removeDirectory(containerDirectory(root, id));
  } catch (error) {
    // another command has claimed or removed it meanwhile
    if (!hasErrno(error, "ENOTEMPTY", "ENOENT")) throw error;
  }
}

/**
 * The name of a file that hako never makes in a container's directory; undefined if there is none. Neither somebody else's directory nor one that
 * a killed `create` left has a record: this tells them apart.
 */
export function foreignName(root: string, id: ContainerId): string | undefined {
  const directory = containerDirectory(root, id);
  const names = listNames(directory);
  return names.find((name) => {
    const path = join(directory, name);
    const status = statusAt(path, false);
    if (status === undefined) return false;
    // a bundle has a config.json too, but seldom one that its owner alone may read
    if (name === CONFIG && !names.includes(RECORD) && (status.mode & OTHERS) !== 0) return true;
    if (status.type !== "directory") return !OWN_FILES.has(name) && !COPIES.test(name);
    return !OWN_DIRECTORIES.has(name) || listNames(path).some((inner) => inner !== "notify.sock");
  });
}

export function removeContainerDirectory(root: string, id: ContainerId): void {
  const directory = containerDirectory(root, id);
  if (statusAt(directory, false)?.type === "directory") {
    // the record goes last: as long as anything is left, it says what that is
    for (const name of listNames(directory)) {
      if (name === RECORD) continue;
      if (name === KEPT_PROCESS) rare.mount.detachIfMounted(join(directory, name));
      removeTree(join(directory, name));
    }
  }
  removeTree(directory);
}

/** Whether a container has a directory. */
export function hasDirectory(root: string, id: ContainerId): boolean {
  return statusAt(containerDirectory(root, id))?.type === "directory";
}

/** Whether a container has a record. `create` writes it under the lock, before it makes anything else. */
export function hasRecord(root: string, id: ContainerId): boolean {
  return statusAt(join(containerDirectory(root, id), RECORD)) !== undefined;
}

/** The ids of the containers below `root`, in order. Other directories are left out. */
export function containerIds(root: string): ContainerId[] {
  checkRoot(root);
  let names: string[];
  try {
    names = listNames(root);
  } catch (thrown) {
    const error = asHakoError(thrown);
    if (error.errno === "ENOENT") return [];
    throw error;
  }
  const ids = names.sort().filter((name) => name !== MAPPINGS && /^[A-Za-z0-9_+.-]+$/.test(name));
  return ids.map(containerId);
}
