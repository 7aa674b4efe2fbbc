import { during, HakoError } from "../../base/errors";
import type { HeldPlace } from "../../drivers/interface/driver";
import { O } from "../../linux/call/constants";
import { mayExist, realPath, statusAt, unlessDenied } from "../../linux/file/file";
import { openAt, readLink } from "../../linux/file/path";
import { cleanPath, components, isAtOrBelow, resolve } from "../../linux/file/path-text";
import type { FileStatus } from "../../linux/file/stat";
import { workingDirectory } from "../../linux/file/working-directory";
import { type MountEntry, readMountinfo, visibleMounts } from "../../linux/mount/mountinfo";
import type { Mount } from "../../oci/config";
import { isBind, isReadOnlyMount } from "../../oci/mount-options";
import { isPattern, type NamedPath, namedPaths, refuseBrackets } from "../../policy/path-pattern";
import { MAX_SYMLINKS, type OrderedMount } from "./mount-order";
import { moved, pathsOfFile } from "./paths-of-file";

/**
 * What `run --rootfs` hides and protects (`--hide`, `--protect`). A place is guarded wherever the container shows it: at its own path, in a bind
 * mount of a directory above it, and where the host itself has it mounted a second time.
 */

/** The flags' values, and what they are about. */
export interface Guarded {
  /** Absolute, without links. "/" is the host's root file system. */
  rootfs: string;
  /** Whether what is written to the rootfs stays. */
  keepsWrites: boolean;
  /** Whether it is kept as changes. */
  keepsChanges?: boolean;
  hide: readonly string[];
  protect: readonly string[];
  /** The same of a policy, in whose paths nothing is a pattern any more. */
  ofPolicy?: Record<"hide" | "protect", readonly NamedPath[]> | undefined;
  /** Paths of the host, absolute and without links, of what is hidden wherever it would be seen. */
  hideOnHost?: readonly string[];
  /** The same of what flags show, or have something else in place of: in all other places. */
  hideElsewhere?: readonly string[];
  /** The same of directories of hako's own, in whose place no others may be made. */
  stateDirectories?: readonly string[];
  /** Mounts that the caller has asked for. */
  given: readonly OrderedMount[];
}

export interface Guards {
  /** What is masked: linux.maskedPaths. */
  masked: string[];
  /** File systems in memory over hidden directories in which the caller's mounts are. */
  covers: Mount[];
  held: HeldPlace[];
  /** Files of the host's, of which these are mounts: who replaces one outside, by rename(2) too, takes the mount away (detach_mounts in fs/namespace.c). */
  replaceable: string[];
}

/** A place of the container at which a file of the host is, and the topmost directory of what it is in that is written. */
interface View {
  path: string;
  top: string | undefined;
}

/** A path that is guarded, as the container has it. */
interface Followed {
  /** As it was named; absolute. */
  path: string;
  /** Where it leads to, also in bind mounts. */
  place: string;
  /** Links on its way that could be replaced: others would lead elsewhere then. */
  links: readonly string[];
  /** Of what a pattern has found: where the directory is that it was looked for in. */
  foundAt: string | undefined;
  /** Whether a link led a pattern out of what it was looked for in: anybody may have made it. */
  isLedOut: boolean;
  isAnywhere: boolean;
}

/** An empty directory, which others can be mounted in; root of the container can't write it. */
const COVER = { type: "tmpfs", source: "tmpfs", options: ["ro", "nosuid", "nodev", "noexec", "mode=755"] };

/** Directories that no program can do without, with all below them; and such as have to be there themselves. */
const SYSTEM = [
  "/usr",
  "/bin",
  "/sbin",
  "/lib",
  "/lib32",
  "/lib64",
  "/libx32",
  "/nix",
  "/dev",
  "/proc",
  "/sys",
];
const NEEDED = ["/etc", "/var", "/run", "/tmp"];

const MISSING = [
  "it does not exist",
  "what is not there can't be kept from being made: make it first",
] as const;

export function guardedPlaces(guarded: Guarded): Guards {
  return new Guarding(guarded).guards();
}

class Guarding {
  readonly #guarded: Guarded;
  /** Bind mounts of the caller's, with their sources' own paths. */
  readonly #binds: readonly { place: string; source: string; writable: boolean }[];
  readonly #mounts: readonly MountEntry[] = visibleMounts(readMountinfo());
  readonly #masked = new Set<string>();
  readonly #covers: Mount[] = [];
  readonly #held = new Map<string, HeldPlace>();
  readonly #replaceable = new Set<string>();
  /** What is at paths of the host, of which many places have the same ones on their way. */
  readonly #statuses = new Map<string, FileStatus | undefined>();

  constructor(guarded: Guarded) {
    this.#guarded = guarded;
    this.#binds = guarded.given.flatMap(({ mount, place }) =>
      isBind(mount) && mount.source !== undefined
        ? [{ place, source: realPath(mount.source), writable: !isReadOnlyMount(mount) }]
        : [],
    );
  }

  guards(): Guards {
    const { hide, protect, ofPolicy } = this.#guarded;
    const { hideOnHost = [], hideElsewhere = [], stateDirectories = [] } = this.#guarded;
    for (const path of hideOnHost) this.#hideOnHost(path);
    const elsewhere = hideElsewhere.flatMap((each) => this.#mask(this.#viewsOf(each)));
    for (const { path, top } of [...elsewhere, ...stateDirectories.flatMap((each) => this.#hideOnHost(each))])
      if (top !== undefined) this.#holdAbove(path, top);
    const hides = [...(ofPolicy?.hide ?? []), ...hide.flatMap((text) => this.#named("--hide", text))];
    const followed = hides.flatMap((named) => this.#hide(named) ?? []);
    const hidden = followed.map(({ place }) => place);
    for (const each of followed) this.#holdHidden(each, hidden);
    const protects = protect.flatMap((text) => this.#named("--protect", text));
    for (const each of [...(ofPolicy?.protect ?? []), ...protects]) this.#protect(each, hidden);
    const depth = ({ path }: HeldPlace) => components(path).length;
    const held = Array.from(this.#held.values()).toSorted((one, other) => depth(one) - depth(other));
    for (const { path } of held) this.#mayBeReplaced(path);
    return { masked: [...this.#masked], covers: this.#covers, held, replaceable: [...this.#replaceable] };
  }

  /**
   * The paths that a flag's value stands for. Of a pattern all that there are, what has its very name among them: the program can make that, and an
   * image can have it.
   */
  #named(flag: string, text: string): NamedPath[] {
    const wrong = refusal(flag, text);
    // whatever it is
    this.#absolute(text, wrong);
    refuseBrackets(text, (each) => this.#statusOf(this.#absolute(each, wrong)) !== undefined, wrong);
    if (!isPattern(text)) return [{ path: text }];
    if (this.#guarded.rootfs !== "/") throw wrong("patterns are for --rootfs /", "name the paths");
    const found = during(flag, () => namedPaths(text, text.startsWith("/") ? "/" : workingDirectory(), true));
    // what is hidden may be missing
    if (found.length === 0 && flag === "--protect") throw wrong(...MISSING);
    return found;
  }

  /** Hides a place; gives back where it is. undefined of one that stays as it is. */
  #hide(named: NamedPath): Followed | undefined {
    const wrong = refusal("--hide", named.path);
    const followed = this.#followed(named, wrong);
    const { path, place } = followed;
    if (followed.isLedOut && this.#isNeeded(place)) return undefined;
    if (place === "/") throw wrong("nothing would be left");
    const { given } = this.#guarded;
    if (given.some((mount) => mount.place === place)) throw wrong("another flag mounts something there");
    const isAbove = given.some((mount) => isAtOrBelow(mount.place, place));
    // by what it leads to as well: a link can be exchanged from outside
    if (!isAbove) for (const each of [path, place]) this.#masked.add(each);
    else if (this.#statusOf(place)?.type === "directory") this.#covers.push({ ...COVER, destination: path });
    const others = this.#mask(this.#otherViews(place));
    for (const each of [place, ...others.map((view) => view.path)]) this.#mayBeReplaced(each);
    return followed;
  }

  /**
   * What is hidden of what is really written stays where the next run hides it, too: neither can directories on the way to it be moved, nor links by which it
   * is named. Of what a pattern would find wherever it is there is no need.
   */
  #holdHidden({ place, links, foundAt, isAnywhere }: Followed, hidden: readonly string[]): void {
    const isThere = this.#mayBeThere(place);
    if (isThere) for (const link of links) this.#holdEverywhere(link, true);
    const own = { path: place, top: this.#writtenAbove(place) };
    for (const { path, top } of isThere ? [own, ...this.#otherViews(place)] : this.#coveredViews(place)) {
      if (top === undefined || this.#isInHidden(path, hidden)) continue;
      if (isAnywhere && foundAt !== undefined && isAtOrBelow(top, foundAt)) continue;
      this.#holdAbove(path, top);
    }
  }

  /** Whether a place is in what is hidden, of which nothing is there any more. */
  #isInHidden(place: string, hidden: readonly string[]): boolean {
    return hidden.some((top) => top !== place && isAtOrBelow(place, top) && !this.#isShownBelow(top, place));
  }

  /** What this user may not look at may be there. */
  #mayBeThere(place: string): boolean {
    const path = this.#hostPathOf(place);
    if (path === undefined) return false;
    return this.#statusOf(place) !== undefined || mayExist(path, false) !== false;
  }

  /** Notes a place in what is really written: there is no overlay between it and the host's file. */
  #mayBeReplaced(place: string): void {
    const path = this.#writtenAbove(place) === undefined ? undefined : this.#hostPathOf(place);
    if (path !== undefined && this.#statusOf(place) !== undefined) this.#replaceable.add(path);
  }

  #hideOnHost(path: string): readonly View[] {
    const within = this.#binds.find(({ source }) => isAtOrBelow(source, path));
    if (within !== undefined)
      throw HakoError.usage(`another flag shows ${within.source}, which is in ${path}`, "it is out of sight");
    return this.#mask(this.#viewsOf(path));
  }

  #mask(views: readonly View[]): readonly View[] {
    for (const view of views) this.#masked.add(view.path);
    return views;
  }

  /** Whether nothing could run without a directory; or it has the working directory in it, or is what another flag shows. */
  #isNeeded(place: string): boolean {
    const inside = [workingDirectory(), ...this.#guarded.given.map((mount) => mount.place)];
    if (inside.some((each) => isAtOrBelow(each, place))) return true;
    if (this.#statusOf(place)?.type !== "directory") return false;
    return NEEDED.includes(place) || SYSTEM.some((top) => isAtOrBelow(place, top));
  }

  #protect(named: NamedPath, hidden: readonly string[]): void {
    const wrong = refusal("--protect", named.path);
    const { place, links, isLedOut } = this.#followed(named, wrong);
    if (hidden.some((top) => isAtOrBelow(place, top) && !this.#isShownBelow(top, place))) return;
    const why = this.#unprotectable(place);
    if (why !== undefined && !isLedOut) throw wrong(...why);
    for (const link of links) this.#holdEverywhere(link, true);
    if (why !== undefined || (isLedOut && this.#isNeeded(place))) return;
    // what a link leads to may be nothing that is written, or shown
    if (links.length === 0 || this.#staysWritten(place)) this.#holdEverywhere(place, false);
  }

  /** Why a place can't be protected. */
  #unprotectable(place: string): readonly [why: string, hint?: string] | undefined {
    if (place === "/") return ["it is the root file system", "--read-only is about all of it"];
    const inside = this.#binds.find((bind) => bind.writable && isAtOrBelow(bind.place, place));
    if (inside !== undefined) return [`another flag has ${inside.place} written`];
    if (this.#hostPathOf(place) === undefined) return ["it is in memory, which ends with the container"];
    return this.#statusOf(place) === undefined ? MISSING : undefined;
  }

  /** Holds a place, and all others at which the same is and can be written. */
  #holdEverywhere(place: string, isLink: boolean): void {
    this.#hold(place, this.#writtenAbove(place), isLink);
    for (const { path, top } of this.#otherViews(place)) if (top !== undefined) this.#hold(path, top, isLink);
  }

  /** Whether a bind mount in a hidden directory shows a place. */
  #isShownBelow(top: string, place: string): boolean {
    const bind = this.#bindOf(place);
    return bind !== undefined && isAtOrBelow(bind.place, top);
  }

  /** A place is only read, and neither it nor a directory on the way to it can be moved out of what is written and stays. */
  #hold(place: string, top: string | undefined, isLink: boolean): void {
    this.#holdAbove(place, top);
    this.#held.set(place, { path: place, readonly: true, ...(isLink ? { isLink } : {}) });
  }

  #holdAbove(place: string, top: string | undefined): void {
    const names = components(place);
    const above = top === undefined ? names.length : components(top).length + 1;
    for (let length = above; length < names.length; length++) {
      const path = `/${names.slice(0, length).join("/")}`;
      if (!this.#held.has(path)) this.#held.set(path, { path, readonly: false });
    }
  }

  /** The topmost directory of what a place is in, if writes to that stay. */
  #writtenAbove(place: string): string | undefined {
    const bind = this.#bindOf(place);
    if (bind !== undefined) return bind.writable ? bind.place : undefined;
    return this.#guarded.keepsWrites ? "/" : undefined;
  }

  /** Whether what is made in place of a file would stay: of the topmost directory of what is written that can't be. */
  #staysWritten(place: string): boolean {
    const top = this.#writtenAbove(place);
    return top === undefined ? this.#guarded.keepsChanges === true : top !== place;
  }

  #absolute(text: string, wrong: Wrong): string {
    if (text === "") throw wrong("empty");
    if (text.startsWith("/")) return cleanPath(text);
    if (this.#guarded.rootfs !== "/") throw wrong("it must be an absolute path in the container");
    return resolve(text);
  }

  #followed({ path: text, foundIn, isAnywhere = false }: NamedPath, wrong: Wrong): Followed {
    const path = this.#absolute(text, wrong);
    const foundAt = foundIn === undefined ? undefined : this.#leadsTo(foundIn, wrong).place;
    const { place, links } = this.#leadsTo(path, wrong);
    const isLedOut =
      foundIn !== undefined && foundAt !== undefined && place !== moved(path, foundIn, foundAt);
    return { path, place, links, foundAt, isLedOut, isAnywhere };
  }

  #leadsTo(path: string, wrong: Wrong): Pick<Followed, "place" | "links"> {
    const links: string[] = [];
    const left = components(path);
    let place = "/";
    let count = 0;
    for (let name = left.shift(); name !== undefined; name = left.shift()) {
      const next = cleanPath(`${place}/${name}`);
      const target = this.#linkTarget(next);
      if (target === undefined) {
        place = next;
        continue;
      }
      if (count++ === MAX_SYMLINKS) throw wrong("links on its way lead to each other");
      if (this.#staysWritten(next)) links.push(next);
      if (target.startsWith("/")) place = "/";
      left.unshift(...target.split("/").filter((part) => part !== ""));
    }
    return { place, links };
  }

  /** What the link at a place says; undefined where none is. */
  #linkTarget(place: string): string | undefined {
    const path = this.#hostPathOf(place);
    if (path === undefined || this.#statusOf(place)?.type !== "symlink") return undefined;
    using link = openAt(undefined, path, O.PATH | O.NOFOLLOW);
    return readLink(link);
  }

  /** The deepest bind mount that a place is in, unless it is in a new file system. */
  #bindOf(place: string): { place: string; source: string; writable: boolean } | undefined {
    const mount = this.#mountOf(place);
    return this.#binds.find((bind) => bind.place === mount?.place);
  }

  #mountOf(place: string): OrderedMount | undefined {
    const { given } = this.#guarded;
    const above = given.filter((mount) => isAtOrBelow(place, mount.place));
    return above.toSorted((one, other) => other.place.length - one.place.length)[0];
  }

  /** What is at a place of the container's, by a path of the host; undefined for what is in a new file system. */
  #hostPathOf(place: string): string | undefined {
    const bind = this.#bindOf(place);
    if (bind !== undefined) return moved(place, bind.place, bind.source);
    return this.#mountOf(place) === undefined ? moved(place, "/", this.#guarded.rootfs) : undefined;
  }

  /** Not of what a link leads to. undefined where nothing is, or nothing that this user may look at. */
  #statusOf(place: string): FileStatus | undefined {
    const path = this.#hostPathOf(place);
    if (path === undefined) return undefined;
    if (!this.#statuses.has(path))
      this.#statuses.set(
        path,
        unlessDenied(() => statusAt(path, false)),
      );
    return this.#statuses.get(path);
  }

  /** Other places of the container at which the same is. */
  #otherViews(place: string): View[] {
    const path = this.#hostPathOf(place);
    const views = path === undefined ? [] : this.#viewsOf(path).filter((view) => view.path !== place);
    return [...views, ...this.#coveredViews(place)];
  }

  /** Places at which what the host has at a path is, where something else is mounted over that. */
  #coveredViews(place: string): View[] {
    if (this.#guarded.rootfs !== "/" || this.#hostPathOf(place) === place) return [];
    const path = hostPlace(place);
    return path === undefined ? [] : this.#viewsOf(path).filter((view) => view.path !== place);
  }

  /** All places of the container at which a file of the host is. */
  #viewsOf(path: string): View[] {
    const everywhere = pathsOfFile(path, this.#mounts);
    const { rootfs } = this.#guarded;
    const inRoot = everywhere
      .filter((each) => isAtOrBelow(each, rootfs))
      .map((each) => moved(each, rootfs, "/"))
      .filter((each) => this.#mountOf(each) === undefined)
      .map((each) => ({ path: each, top: this.#writtenAbove(each) }));
    const inBinds = this.#binds.flatMap((bind) =>
      everywhere
        .filter((each) => isAtOrBelow(each, bind.source) && each !== bind.source)
        .map((each) => moved(each, bind.source, bind.place))
        .filter((each) => this.#bindOf(each) === bind)
        .map((each) => ({ path: each, top: bind.writable ? bind.place : undefined })),
    );
    return [...inRoot, ...inBinds];
  }
}

/** Where a path leads to on the host; undefined where nothing is, or nothing that this user may know of. */
function hostPlace(path: string): string | undefined {
  return unlessDenied(() => (statusAt(path) === undefined ? undefined : realPath(path)));
}

type Wrong = (why: string, hint?: string) => HakoError;

function refusal(flag: string, text: string): Wrong {
  return (why, hint) => HakoError.usage(`${flag} ${JSON.stringify(text)}: ${why}`, hint);
}
