import type { HakoError } from "../errors";
import { type ErrnoName, errnoNumber } from "../linux/errno";
import type { Sight, SightPlace } from "../linux/execution-error";
import type { Fd } from "../linux/fd";
import { hasErrno, readText } from "../linux/file";
import { cleanPath, O, openAt, openInRoot } from "../linux/path";
import { type FileStatus, statusOf } from "../linux/stat";
import { type Step, stepError } from "../linux/steps";
import type { Process } from "../oci/config";
import { environmentOf, notExecuted, notFound, placesOf } from "./program";

const ANY_EXECUTE = 0o111;

/** A program of a container, looked up from outside: nothing of ours is in there, and no path leads out. */
export class ProgramOutside implements Disposable {
  readonly args: readonly string[];
  readonly environment: readonly string[];
  /** Files that may be the program, in the order of PATH; the kernel decides which the user may execute. */
  readonly places: readonly string[];
  /** The container's root directory. */
  readonly root: Fd;
  readonly #process: Process;
  readonly #pid: number;

  /** `pid` is the container's first process. */
  constructor(pid: number, process: Process) {
    this.#pid = pid;
    this.#process = process;
    this.args = process.args ?? [];
    this.environment = environmentOf(process);
    const name = this.args[0] ?? "";
    const places = placesOf(name, this.environment);
    this.root = openAt(undefined, `/proc/${pid}/root`, O.PATH | O.DIRECTORY);
    // of a path the kernel says itself what is wrong with it
    this.places = name.includes("/") ? places : places.filter((path) => this.#mayBeProgram(path));
    if (this.places.length > 0) return;
    this.root.close();
    throw notFound(name, this.environment);
  }

  [Symbol.dispose](): void {
    this.root.close();
  }

  /** The error of one of the steps that end in the program's execution. */
  failure(steps: readonly Step[], [index, result]: readonly [step: number, result: number]): HakoError {
    const step = steps[index];
    const path = step?.args[0];
    if (step?.call !== "execve" || typeof path !== "string") return stepError(steps, [index, result]);
    const denied = -result === errnoNumber("EACCES") ? (this.places[0] ?? path) : path;
    return notExecuted(this.args[0] ?? "", denied, -result, this.#look(denied));
  }

  #absolute(path: string): string {
    return cleanPath(path.startsWith("/") ? path : `${this.#process.cwd}/${path}`);
  }

  #mayBeProgram(path: string): boolean {
    try {
      using file = openInRoot(this.root, this.#absolute(path), O.PATH);
      return statusOf(file).type !== "directory";
    } catch (error) {
      return !hasErrno(error, "ENOENT", "ENOTDIR");
    }
  }

  #look(path: string): Sight {
    const { lookAtProgram } =
      require("../linux/execution-error") as typeof import("../linux/execution-error");
    const { formatOfFile, READ_FLAGS } =
      require("../linux/executable") as typeof import("../linux/executable");
    const place: SightPlace = {
      open: (name) => this.#open(name, O.PATH),
      format: (name) => {
        using file = this.#open(name, READ_FLAGS);
        return file === undefined ? undefined : formatOfFile(file);
      },
      errno: (name) => this.#errno(name),
      user: this.#process.user.uid,
    };
    return lookAtProgram(path, place);
  }

  #open(path: string, flags: number): Fd | undefined {
    try {
      return openInRoot(this.root, this.#absolute(path), flags);
    } catch {
      return undefined;
    }
  }

  /** Why the user may not execute what is there, as far as modes say. */
  #errno(path: string): ErrnoName | undefined {
    try {
      using file = openInRoot(this.root, this.#absolute(path), O.PATH);
      return this.#mayExecute(statusOf(file)) ? undefined : "EACCES";
    } catch (error) {
      return (error as HakoError).errno;
    }
  }

  #mayExecute({ type, mode, uid, gid }: FileStatus): boolean {
    const { user, capabilities } = this.#process;
    if (capabilities?.effective?.includes("CAP_DAC_OVERRIDE") === true) {
      return type === "directory" || (mode & ANY_EXECUTE) !== 0;
    }
    if (uid === this.onHost("uid", user.uid)) return (mode & 0o100) !== 0;
    const groups = [user.gid, ...(user.additionalGids ?? [])].map((id) => this.onHost("gid", id));
    return (mode & (groups.includes(gid) ? 0o010 : 0o001)) !== 0;
  }

  /** What the host calls an id of the container's user namespace (user_namespaces(7)). */
  onHost(kind: "uid" | "gid", id: number): number {
    for (const line of readText(`/proc/${this.#pid}/${kind}_map`).split("\n")) {
      const [inside = -1, outside = -1, size = 0] = line.trim().split(/\s+/).map(Number);
      if (id >= inside && id < inside + size) return outside + id - inside;
    }
    return id;
  }
}
