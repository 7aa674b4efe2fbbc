import { HakoError } from "../base/errors";
import { realPath } from "../linux/file/file";
import { cleanPath, isAtOrBelow, resolve } from "../linux/file/path-text";
import { isNetworkRule } from "../network/rule";
import { POLICY_ANNOTATION, UNPROTECTED_ANNOTATION } from "../oci/annotations";
import type { NamedPath } from "./path-pattern";
import type { Policy } from "./policy";
import { hiddenAnd, mountTargets, type PolicyPlace, type PolicyPlaces, policyPlaces } from "./policy-places";
import { readPolicy } from "./read-policy";

/** The flags of `run` that a policy adds to. */
export interface PolicyValues {
  rootfs: string | undefined;
  write: string[];
  volume: string[];
  mount: string[];
  tmpfs: string[];
  env: string[];
  network: string[];
  forward: string[];
  publish: string[];
  "inject-header": string[];
  memory: string | undefined;
  cpus: string | undefined;
  pids: string | undefined;
  timeout: string | undefined;
  changes: string | undefined;
}

/** What a policy hides and protects of a container. Paths are absolute. */
export interface PolicyGuards {
  hide: readonly NamedPath[];
  protect: readonly NamedPath[];
  /** Of the host and without links: what is hidden wherever it would be seen. */
  hideOnHost: readonly string[];
  /** The same of what has something mounted in its place, or shows by a flag: it is hidden in all other places. */
  hideElsewhere: readonly string[];
}

/** A policy, with what its paths are here and now. */
export class AppliedPolicy {
  readonly policy: Policy;
  readonly places: PolicyPlaces;

  constructor(name: string) {
    this.policy = readPolicy(name);
    this.places = policyPlaces(this.policy);
  }

  /** What can't be held, for it isn't there, and what it is in may be written. */
  get unprotected(): string[] {
    return this.places.protect.filter(({ isThere }) => !isThere).map(({ path }) => path);
  }

  /**
   * The flags with the policy's added, and beside them what it hides and protects: flags' texts may be patterns, these are paths, by names with any letters. A
   * flag wins where both are about the same: a place that it mounts something on, a limit, the network. With `--changes` nothing is written but there.
   * A volume or tmpfs of the policy's own is in place of what those that it extends hide, too.
   */
  addedTo<T extends PolicyValues>(flags: T): { args: T & { rootfs: string }; guards: PolicyGuards } {
    const { policy, places } = this;
    const mounted = mountedPlaces(flags);
    const isFree = (path: string) => !mounted.has(path);
    const writable = pathsOf(places.write).filter(isFree);
    const write = flags.changes === undefined ? writable : [];
    const isReplaced = !flags.network.every(isNetworkRule);
    const read = pathsOf(places.read).filter((path) => isFree(path) && !writable.includes(path));
    const args = {
      ...flags,
      rootfs: flags.rootfs ?? "/",
      write: [...write, ...flags.write],
      volume: [...read.map(asReadOnly), ...places.volume, ...flags.volume],
      tmpfs: [...policy.tmpfs, ...flags.tmpfs],
      env: [...policy.env, ...flags.env],
      network: withNetworks(policy.network, flags.network),
      forward: [...policy.forward, ...flags.forward],
      publish: [...policy.publish, ...flags.publish],
      "inject-header": [...(isReplaced ? [] : policy["inject-header"]), ...flags["inject-header"]],
      memory: flags.memory ?? policy.memory,
      cpus: flags.cpus ?? policy.cpus,
      pids: flags.pids ?? policy.pids,
      timeout: flags.timeout ?? policy.timeout,
    };
    const isHost = args.rootfs === "/";
    const covered = new Set([...mounted, ...mountTargets(args)]);
    const hidden = thereOf(places.hide).filter(({ path }) => !covered.has(path));
    const elsewhere = pathsOf(places.hide).filter((path) => covered.has(path));
    const both = hidden.find(({ path }) => writable.includes(path))?.path;
    if (both !== undefined) throw hiddenAnd(policy.name, both, "written");
    const guards = {
      hide: isHost ? hidden : [],
      protect: this.#protectedIn([...writable, ...flags.write]),
      hideOnHost: isHost ? [] : hidden.map(({ path }) => realPath(path)),
      hideElsewhere: elsewhere.map(realPath),
    };
    return { args, guards };
  }

  /** What a container's record keeps of it. */
  get annotations(): Record<string, string> {
    const { policy, unprotected } = this;
    return { [POLICY_ANNOTATION]: policy.name, [UNPROTECTED_ANNOTATION]: JSON.stringify(unprotected) };
  }

  /** Of what it protects that which is written, now or when changes are applied; an ordinary user's container may not even show other places. */
  #protectedIn(written: readonly string[]): NamedPath[] {
    const tops = written.map((path) => resolve(path));
    return thereOf(this.places.protect).filter(({ path }) => tops.some((top) => isAtOrBelow(path, top)));
  }
}

function thereOf(places: readonly PolicyPlace[]): PolicyPlace[] {
  return places.filter(({ isThere }) => isThere);
}

function pathsOf(places: readonly PolicyPlace[]): string[] {
  return thereOf(places).map(({ path }) => path);
}

/** What both say of the network: rules add to rules; a flag that is none takes the place of what the policy says. */
function withNetworks(ofPolicy: readonly string[], ofFlags: readonly string[]): string[] {
  if (!ofFlags.every(isNetworkRule)) return [...ofFlags];
  return [...(ofFlags.length === 0 ? ofPolicy : ofPolicy.filter(isNetworkRule)), ...ofFlags];
}

/** A bind mount at the same place. */
function asReadOnly(path: string): string {
  if (!path.includes(":")) return `${path}:${path}:ro`;
  throw new HakoError({ code: "config", message: `a policy's read: ${JSON.stringify(path)} has a colon` });
}

/** The places on which flags mount something. */
function mountedPlaces({ write, volume, tmpfs, mount }: PolicyValues): Set<string> {
  const targets = mount.map((text) => /(?:^|,)(?:target|destination|dst)=([^,]*)/.exec(text)?.[1]);
  return new Set([
    ...write.map((path) => resolve(path)),
    ...mountTargets({ volume, tmpfs }),
    ...targets.flatMap((path) => (path === undefined ? [] : cleanPath(path))),
  ]);
}
