import type { HakoError } from "../errors";
import { errnoNumber } from "../linux/errno";
import type { Sight } from "../linux/execution-error";
import type { Fd } from "../linux/fd";
import { hasErrno } from "../linux/file";
import { hostId } from "../linux/id-map";
import { O, openInRoot } from "../linux/path";
import { dirname } from "../linux/path-text";
import { filesystemOf, statusOf } from "../linux/stat";
import { MAGIC } from "../linux/statfs";
import { type Step, stepError } from "../linux/steps";
import type { Process } from "../oci/config";
import { environmentOf, notExecuted, notFound, placesOf } from "./program";
import { absoluteIn } from "./sight-outside";
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

  #placeAt(path: string): Place | undefined {
    const absolute = absoluteIn(this.#process, path);
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
    const { sightOutside } = require("./sight-outside") as typeof import("./sight-outside");
    const place = sightOutside({
      root: this.root,
      process: this.#process,
      keepsGroups: this.#keepsGroups,
      onHost: (kind, id) => this.onHost(kind, id),
    });
    return lookAtProgram(path, place);
  }

  /** What the host calls an id of the container's user namespace. */
  onHost(kind: "uid" | "gid", id: number): number {
    return hostId(this.pid, kind, id);
  }
}
