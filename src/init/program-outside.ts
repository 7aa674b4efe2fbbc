import { asHakoError, type HakoError } from "../errors";
import { type ErrnoName, errnoNumber } from "../linux/errno";
import type { Sight, SightPlace } from "../linux/execution-error";
import type { Fd } from "../linux/fd";
import { hasErrno } from "../linux/file";
import { hostId } from "../linux/id-map";
import { O, openInRoot } from "../linux/path";
import { components, dirname } from "../linux/path-text";
import { type FileStatus, filesystemOf, statusOf } from "../linux/stat";
import { MAGIC } from "../linux/statfs";
import { type Step, stepError } from "../linux/steps";
import { systemError } from "../linux/syscall";
import type { Process } from "../oci/config";
import { mayExecute } from "./may-execute";
import { environmentOf, notExecuted, notFound, placesOf } from "./program";
import type { ExecOptions } from "./spawn-exec";

/** A file that may be the program. */
interface Place {
  path: string;
  /** Whether something is there; false where we, who are not its user, may not look. */
  seen: boolean;
}

/** `pid` is the first process of the program's container, `rootfs` the root directory of its mount namespace. */
type Container = Pick<ExecOptions, "pid" | "rootfs" | "process" | "homeOf" | "keepsGroups">;

/** A program of a container, looked up from outside: nothing of ours is in there, and no path leads out. */
export class ProgramOutside {
  readonly args: readonly string[];
  readonly environment: readonly string[];
  /** In the order of PATH; the kernel decides which the user may execute. */
  readonly places: readonly Place[];
  readonly #process: Process;
  readonly #keepsGroups: boolean;
  private readonly pid: number;
  private readonly root: Fd;

  constructor({ pid, rootfs, process, homeOf, keepsGroups }: Container) {
    this.pid = pid;
    this.root = rootfs;
    this.#process = process;
    this.#keepsGroups = keepsGroups;
    this.args = process.args ?? [];
    this.environment = environmentOf(process, homeOf);
    const name = this.args[0] ?? "";
    const places = placesOf(name, this.environment);
    // of a path the kernel says itself what is wrong with it
    this.places = name.includes("/")
      ? places.map((path) => ({ path, seen: true }))
      : places.map((path) => this.#placeAt(path)).filter((place) => place !== undefined);
    if (this.places.length === 0) throw notFound(name, this.environment);
  }

  /** The error of one of the steps that end in the program's execution. */
  failure(steps: readonly Step[], [index, result]: readonly [step: number, result: number]): HakoError {
    const step = steps[index];
    const path = step?.args[0];
    if (step?.call !== "execve" || typeof path !== "string") return stepError(steps, [index, result]);
    const name = this.args[0] ?? "";
    const seen = this.places.find((place) => place.seen)?.path;
    const EACCES = errnoNumber("EACCES");
    // nothing is at the last place of PATH, where we could not look: then it is as if that were not in PATH
    const nothing =
      this.places.some((place) => place.path === path && !place.seen) &&
      [errnoNumber("ENOENT"), errnoNumber("ENOTDIR")].includes(-result);
    if (nothing && seen === undefined) return notFound(name, this.environment);
    const code = nothing ? EACCES : -result;
    const denied = code === EACCES ? (seen ?? path) : path;
    return notExecuted(name, denied, code, this.#look(denied));
  }

  #absolute(path: string): string {
    return path.startsWith("/") ? path : `${this.#process.cwd}/${path}`;
  }

  #placeAt(path: string): Place | undefined {
    const absolute = this.#absolute(path);
    try {
      using file = openInRoot(this.root, absolute, O.PATH);
      return statusOf(file).type === "directory" ? undefined : { path, seen: true };
    } catch (error) {
      const missing = hasErrno(error, "ENOENT", "ENOTDIR") && this.#isMissing(absolute);
      return missing ? undefined : { path, seen: false };
    }
  }

  /** Whether nothing is there for the container either: in its procfs it finds itself (/proc/self), and we do not. */
  #isMissing(path: string): boolean {
    try {
      using directory = openInRoot(this.root, dirname(path), O.PATH | O.DIRECTORY);
      if (filesystemOf(directory) === MAGIC.proc) return false;
      // a link that leads nowhere for us
      openInRoot(this.root, path, O.PATH | O.NOFOLLOW).close();
      return false;
    } catch (error) {
      return hasErrno(error, "ENOENT") && (error as HakoError).path === path;
    }
  }

  #look(path: string): Sight {
    const { lookAtProgram } =
      require("../linux/execution-error") as typeof import("../linux/execution-error");
    const { readFormat } = require("../linux/executable") as typeof import("../linux/executable");
    const place: SightPlace = {
      open: (name) => {
        try {
          return this.#openAsUser(name);
        } catch {
          return undefined;
        }
      },
      // what was looked at, not what somebody has put there since
      format: (_, found) => readFormat(found.path),
      errno: (name) => this.#errno(name),
      user: this.#process.user.uid,
    };
    return lookAtProgram(path, place);
  }

  /** Opens what is there only to look at it; the user must have the right to search the directories, as far as modes say. */
  #openAsUser(path: string): Fd {
    const absolute = this.#absolute(path);
    const names = components(absolute);
    for (let count = 0; count < names.length; count++) {
      using directory = openInRoot(this.root, `/${names.slice(0, count).join("/")}`, O.PATH | O.DIRECTORY);
      if (!this.#mayExecute(statusOf(directory))) throw systemError("open", "EACCES", absolute);
    }
    return openInRoot(this.root, absolute, O.PATH);
  }

  /** Why the user may not execute what is there, as far as modes say. */
  #errno(path: string): ErrnoName | undefined {
    try {
      using file = this.#openAsUser(path);
      return this.#mayExecute(statusOf(file)) ? undefined : "EACCES";
    } catch (error) {
      return asHakoError(error).errno;
    }
  }

  #mayExecute(status: FileStatus): boolean {
    return mayExecute(status, this.#process, this.#keepsGroups, (kind, id) => this.onHost(kind, id));
  }

  /** What the host calls an id of the container's user namespace. */
  onHost(kind: "uid" | "gid", id: number): number {
    return hostId(this.pid, kind, id);
  }
}
