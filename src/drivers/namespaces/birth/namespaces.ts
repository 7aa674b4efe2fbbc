import { errnoHint } from "../../../base/errno-hints";
import { during, HakoError } from "../../../base/errors";
import { textOf } from "../../../linux/call/bytes";
import type { Fd } from "../../../linux/call/fd";
import type { Step } from "../../../linux/call/step";
import type { Success } from "../../../linux/call/success";
import { writeValueTo } from "../../../linux/file/file";
import { userName } from "../../../linux/file/passwd";
import { findHostProgram } from "../../../linux/process/execute";
import { NAMESPACE_FLAGS, type NamespaceType, openNamespace } from "../../../linux/process/namespace";
import { effectiveUser, isRootless, maySetUpAlone } from "../../../linux/process/rootless";
import type { Config, IdMapping } from "../../../oci/config";
import { timeSteps } from "./time-offsets";

/** Loaded on first use. */
const rare = {
  get explainClone() {
    return require("../../../explain/clone") as typeof import("../../../explain/clone");
  },
};

interface Joined {
  type: NamespaceType;
  fd: Fd;
}

/** Which namespaces a container gets, new or joined. Owns the descriptors of those that are joined. */
export class NamespacePlan implements Disposable {
  /** CLONE_NEW* flags of the new ones that exist from the first instruction on. */
  readonly flags: number;
  /** CLONE_NEW* flags of the new ones that the process makes itself, when it has ids of its user namespace. */
  readonly lateFlags: number;
  readonly joined: readonly Joined[];
  readonly created: ReadonlySet<NamespaceType>;
  /**
   * The pid namespace that the container's process is born in last of all, when there is nothing more to see of the host in it: others
   * are there, who may have CAP_SYS_PTRACE. Undefined where there is none to join.
   */
  readonly latePid: Fd | undefined;
  /**
   * The process joins that pid namespace, for its children, before it makes its user namespace: from in there it may not. None of its
   * children but the last may be born there.
   */
  readonly pidFirst: boolean;
  /** Whether the process makes its time namespace itself, because it may do so only in its user namespace. */
  readonly lateTime: boolean;
  readonly #time: readonly Step[];

  constructor(config: Config) {
    const joined: Joined[] = [];
    const created = new Set<NamespaceType>();
    try {
      (config.linux?.namespaces ?? []).forEach(({ type, path }, index) => {
        if (path === undefined || path === "") created.add(type);
        else joined.push({ type, fd: openJoined(path, type, index) });
      });
    } catch (error) {
      for (const { fd } of joined) fd.close();
      throw error;
    }
    this.joined = joined;
    this.created = created;
    this.latePid = joined.find(({ type }) => type === "pid")?.fd;
    this.pidFirst = this.latePid !== undefined && created.has("user");
    const time = created.has("time");
    this.lateTime = time && (isRootless() || !maySetUpAlone());
    this.#time = time && !this.lateTime ? timeSteps(config.linux?.timeOffsets) : [];
    let flags = 0;
    // The cgroup namespace's root is the cgroup that its first process is in: made after that has joined. The time
    // namespace's offsets are set before a process is in.
    for (const type of created) if (type !== "cgroup" && type !== "time") flags |= NAMESPACE_FLAGS[type];
    // mqueue's root belongs to whoever makes the ipc namespace: that must be an id of the user namespace
    const late = created.has("user") ? flags & NAMESPACE_FLAGS.ipc : 0;
    this.flags = flags & ~late & ~NAMESPACE_FLAGS.network;
    this.lateFlags = late;
  }

  has(type: NamespaceType): boolean {
    return this.created.has(type) || this.joined.some((namespace) => namespace.type === type);
  }

  /** Whether a process has to join something before it makes the container's. */
  get joins(): boolean {
    return this.joined.some(({ type }) => type !== "mount") || this.#time.length > 0;
  }

  /** The mount namespace to join. The process joins it later, for sources of mounts are looked up on the host. */
  get mount(): Fd | undefined {
    return this.joined.find(({ type }) => type === "mount")?.fd;
  }

  /**
   * How a helper joins the others. With a user namespace among them it may take its rights to join the others, so they
   * are tried both before and after it.
   */
  get joinSteps(): Step[] {
    const step = ({ type, fd }: Joined, success: Success): Step => ({
      what: `join the ${type} namespace: setns`,
      call: "setns",
      args: [fd.number, NAMESPACE_FLAGS[type]],
      success,
    });
    const others = this.joined.filter(
      ({ type }) => type !== "mount" && type !== "user" && (type !== "pid" || this.pidFirst),
    );
    const user = this.joined.find(({ type }) => type === "user");
    if (user === undefined)
      return [...others.map((namespace) => step(namespace, "not negative")), ...this.#time];
    return [
      ...others.map((namespace) => step(namespace, "anything")),
      step(user, "not negative"),
      // one that was joined before may be out of reach by now: what counts is checked by the kernel's first use
      ...others.map((namespace) => step(namespace, "anything")),
      ...this.#time,
    ];
  }

  /** Steps to a network namespace. The process makes it itself, while hako goes on: no other namespace takes the kernel as long. */
  get networkSteps(): Step[] {
    if (!this.created.has("network")) return [];
    return [{ what: "network namespace: unshare", call: "unshare", args: [NAMESPACE_FLAGS.network] }];
  }

  [Symbol.dispose](): void {
    for (const { fd } of this.joined) fd.close();
  }
}

/** Opens the namespace of a row of /linux/namespaces. */
export function openJoined(path: string, type: NamespaceType, index: number): Fd {
  return during(
    `config /linux/namespaces/${index}/path`,
    () => openNamespace(path, type),
    ({ errno }) =>
      errno === "ENOENT"
        ? { hint: "who owned it, the pod's sandbox perhaps, has ended: start that first" }
        : {},
  );
}

/** Where id maps come from: /linux of config.json, or one of its mounts. */
interface IdMaps {
  uidMappings?: IdMapping[] | undefined;
  gidMappings?: IdMapping[] | undefined;
}

/** Writes the maps of a process's new user namespace (user_namespaces(7)); `pointer` is where config.json has them. */
export function writeIdMaps(
  pid: number,
  pointer: string,
  { uidMappings = [], gidMappings = [] }: IdMaps,
): void {
  const maps = [
    ["gid", "gidMappings", gidMappings, process.getegid?.()],
    ["uid", "uidMappings", uidMappings, process.geteuid?.()],
  ] as const;
  for (const [kind, field, mappings, own] of maps) {
    during(
      `config ${pointer}/${field}`,
      () => {
        if (!maySetUpAlone() && isOwnOnly(mappings, own)) writeOwnMap(pid, kind, mappings);
        else if (effectiveUser() === 0) writeValueTo(`/proc/${pid}/${kind}_map`, mapText(mappings));
        else writeByHelper(pid, kind, mappings);
      },
      ({ hint, errno }) => ({ hint: hint === undefined ? mapHint(errno) : undefined }),
    );
  }
}

/** Who has no rights over other ids may map its own one, and no other. */
function isOwnOnly(mappings: readonly IdMapping[], own: number | undefined): boolean {
  const [only] = mappings;
  return mappings.length === 1 && only?.size === 1 && only.hostID === own;
}

function writeOwnMap(pid: number, kind: "uid" | "gid", mappings: readonly IdMapping[]): void {
  // else somebody could leave a group that a file's mode shuts out
  if (kind === "gid") writeValueTo(`/proc/${pid}/setgroups`, "deny");
  writeValueTo(`/proc/${pid}/${kind}_map`, mapText(mappings));
}

/** newuidmap(1) and newgidmap(1) know what /etc/subuid and /etc/subgid give to this user. */
function writeByHelper(pid: number, kind: "uid" | "gid", mappings: readonly IdMapping[]): void {
  const name = `new${kind}map`;
  const path = findHostProgram(name);
  if (path === undefined) {
    const hint = `install it (uidmap), or map your own id only: hostID ${kind === "uid" ? process.geteuid?.() : process.getegid?.()}, size 1`;
    throw new HakoError({ code: "unsupported", message: `${name} is not installed`, hint });
  }
  const words = mappings.flatMap(({ containerID, hostID, size }) => [containerID, hostID, size].map(String));
  const done = Bun.spawnSync([path, String(pid), ...words], { stderr: "pipe" });
  if (done.exitCode === 0) return;
  const said = lowerErrno(textOf(done.stderr).trim().replaceAll("\n", "; "));
  throw new HakoError({
    code: "system",
    message: said || `${name}: status ${done.exitCode}`,
    hint: said.includes("not allowed") ? subordinateHint(kind, mappings) : helperHint(name, path, said),
  });
}

/** The ids of /etc/subuid and /etc/subgid that the maps ask for, as a line for that file. */
function subordinateHint(kind: "uid" | "gid", mappings: readonly IdMapping[]): string {
  const user = userName(effectiveUser());
  const own = kind === "uid" ? process.geteuid?.() : process.getegid?.();
  const lines = mappings
    .filter(({ hostID, size }) => size !== 1 || hostID !== own)
    .map(({ hostID, size }) => `${user}:${hostID}:${size}`);
  return `have root add ${lines.join(" and ")} to /etc/sub${kind}, or map ids that are there`;
}

function helperHint(name: string, path: string, said: string): string | undefined {
  if (!said.includes("operation not permitted")) return undefined;
  return `${path} needs its setuid bit or file capability (setcap cap_set${name.slice(3, 6)}+ep), on a mount without nosuid`;
}

/** Errno texts as everywhere here; the helpers' are the libc's. */
function lowerErrno(text: string): string {
  return text.replaceAll(
    /Operation not permitted|Permission denied|Invalid argument|No such file or directory/g,
    (words) => words.toLowerCase(),
  );
}

function mapHint(errno: string | undefined): string | undefined {
  if (errno !== "EPERM" && errno !== "EACCES") return errnoHint("write an id map", errno);
  return rare.explainClone.mapRefused();
}

function mapText(mappings: readonly IdMapping[]): string {
  return mappings.map(({ containerID, hostID, size }) => `${containerID} ${hostID} ${size}\n`).join("");
}
