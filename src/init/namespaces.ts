import { during, HakoError } from "../errors";
import type { Fd } from "../linux/fd";
import { writeValueTo } from "../linux/file";
import { NAMESPACE_FLAGS, type NamespaceType, openNamespace } from "../linux/namespace";
import type { Step } from "../linux/steps";
import type { Config, IdMapping } from "../oci/config";

interface Joined {
  type: NamespaceType;
  fd: Fd;
}

/** Which namespaces a container gets, new or joined. Owns the descriptors of those that are joined. */
export class NamespacePlan implements Disposable {
  /** CLONE_NEW* flags of the new ones that exist from the first instruction on. */
  readonly flags: number;
  /** Those of new ones that the process makes itself, when it has an identity in its user namespace. */
  readonly lateFlags: number;
  readonly joined: readonly Joined[];
  readonly created: ReadonlySet<NamespaceType>;

  constructor(config: Config) {
    const joined: Joined[] = [];
    const created = new Set<NamespaceType>();
    try {
      (config.linux?.namespaces ?? []).forEach(({ type, path }, index) => {
        if (!Object.hasOwn(NAMESPACE_FLAGS, type)) throw unknownNamespace(type, index);
        const known = type as NamespaceType;
        if (path === undefined || path === "") created.add(known);
        else {
          const fd = during(`config /linux/namespaces/${index}/path`, () => openNamespace(path, known));
          joined.push({ type: known, fd });
        }
      });
    } catch (error) {
      for (const { fd } of joined) fd.close();
      throw error;
    }
    this.joined = joined;
    this.created = created;
    let flags = 0;
    // The cgroup namespace's root is the cgroup that its first process is in: made after that has joined. The time
    // namespace's offsets are set before a process is in.
    for (const type of created) if (type !== "cgroup" && type !== "time") flags |= NAMESPACE_FLAGS[type];
    // mqueue's root belongs to whoever makes the ipc namespace: that must be an id of the user namespace
    const late = created.has("user") ? flags & NAMESPACE_FLAGS.ipc : 0;
    this.flags = flags & ~late;
    this.lateFlags = late;
  }

  has(type: NamespaceType): boolean {
    return this.created.has(type) || this.joined.some((namespace) => namespace.type === type);
  }

  /** The mount namespace to join; the process does it itself, later: our executable isn't there. */
  get mount(): Fd | undefined {
    return this.joined.find(({ type }) => type === "mount")?.fd;
  }

  /**
   * How a helper joins the others. With a user namespace among them it may take its rights to join the others, so they
   * are tried both before and after it.
   */
  get joinSteps(): Step[] {
    const step = ({ type, fd }: Joined, optional: boolean): Step => ({
      what: `join the ${type} namespace: setns`,
      call: "setns",
      args: [fd.number, NAMESPACE_FLAGS[type]],
      optional,
    });
    const others = this.joined.filter(({ type }) => type !== "mount" && type !== "user");
    const user = this.joined.find(({ type }) => type === "user");
    if (user === undefined) return others.map((namespace) => step(namespace, false));
    return [
      ...others.map((namespace) => step(namespace, true)),
      step(user, false),
      // one that was joined before may be out of reach by now: what counts is checked by the kernel's first use
      ...others.map((namespace) => step(namespace, true)),
    ];
  }

  [Symbol.dispose](): void {
    for (const { fd } of this.joined) fd.close();
  }
}

function unknownNamespace(type: string, index: number): HakoError {
  return new HakoError({
    code: "config",
    message: `config /linux/namespaces/${index}/type: unknown namespace ${JSON.stringify(type)}`,
    hint: `known are ${Object.keys(NAMESPACE_FLAGS).join(", ")}`,
  });
}

/** Where id maps come from: /linux of config.json, or one of its mounts. */
interface IdMaps {
  uidMappings?: IdMapping[] | undefined;
  gidMappings?: IdMapping[] | undefined;
}

/** Writes the maps of a process's new user namespace (user_namespaces(7)); `pointer` is where config.json has them. */
export function writeIdMaps(pid: number, pointer: string, { uidMappings, gidMappings }: IdMaps): void {
  const maps = [
    ["gid_map", "gidMappings", gidMappings],
    ["uid_map", "uidMappings", uidMappings],
  ] as const;
  for (const [file, field, mappings] of maps) {
    during(`config ${pointer}/${field}`, () => writeValueTo(`/proc/${pid}/${file}`, mapText(mappings ?? [])));
  }
}

function mapText(mappings: readonly IdMapping[]): string {
  return mappings.map(({ containerID, hostID, size }) => `${containerID} ${hostID} ${size}\n`).join("");
}
