import { errnoNumber } from "../../../base/errno";
import type { HakoError } from "../../../base/errors";
import type { Sight } from "../../../explain/execution";
import { O } from "../../../linux/call/constants";
import type { Fd } from "../../../linux/call/fd";
import type { Step } from "../../../linux/call/step";
import { stepError } from "../../../linux/call/walk";
import { openIfThere } from "../../../linux/file/path";
import { fileStatusOf } from "../../../linux/file/stat";
import { hostId } from "../../../linux/process/id-map";
import type { Process } from "../../../oci/config";
import type { EnvironmentLine } from "../../../oci/environment";
import { absoluteIn, environmentOf, notExecuted, notFound, placesOf } from "../program/program-file";
import type { ExecMaterial } from "./exec-material";

/** Loaded on first use. */
const rare = {
  get explainExecution() {
    return require("../../../explain/execution") as typeof import("../../../explain/execution");
  },
  get sightOutside() {
    return require("../program/sight-outside") as typeof import("../program/sight-outside");
  },
};

/** A file that may be the program. */
interface Place {
  path: string;
  /** Whether something is there, for us; hidden is where we, who are not its user, may not look. */
  here: "found" | "missing" | "hidden";
}

/** `pid` is the first process of the program's container, `rootfs` the root directory of its mount namespace. */
type Container = Pick<ExecMaterial, "pid" | "rootfs" | "process" | "homeOf" | "keepsGroups">;

/** A program of a container, looked up from outside: nothing of ours is in there, and no path leads out. */
export class ProgramOutside {
  readonly args: readonly string[];
  readonly environment: readonly EnvironmentLine[];
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
      ? places.map((path) => ({ path, here: "found" }))
      : places.map((path) => this.#placeAt(path)).filter((place) => place !== undefined);
    if (this.places.length === 0) throw notFound(name, this.environment);
  }

  /** The error of one of the steps that end in the program's execution. */
  failure(steps: readonly Step[], [index, result]: readonly [step: number, result: number]): HakoError {
    const step = steps[index];
    const path = step?.args[0];
    if (step?.call !== "execve" || typeof path !== "string") return stepError(steps, [index, result]);
    const name = this.args[0] ?? "";
    const found = this.places.find(({ here }) => here === "found")?.path;
    const EACCES = errnoNumber("EACCES");
    // the last place of PATH may be one where nothing is, or which the user may not look at: then it is as if that were not in PATH
    const here = this.places.find((place) => place.path === path)?.here;
    const absent = [errnoNumber("ENOENT"), errnoNumber("ENOTDIR")].includes(-result);
    const nothing = here === "missing" ? absent || -result === EACCES : here === "hidden" && absent;
    if (nothing && found === undefined) return notFound(name, this.environment);
    const code = nothing ? EACCES : -result;
    const denied = code === EACCES ? (found ?? path) : path;
    return notExecuted(name, denied, code, this.#look(denied));
  }

  /** In its procfs a process of the container finds itself (/proc/self), and we do not: so what is missing is tried all the same. */
  #placeAt(path: string): Place | undefined {
    try {
      using file = openIfThere(this.root, absoluteIn(this.#process, path), O.PATH);
      if (file === undefined) return { path, here: "missing" };
      return fileStatusOf(file).type === "directory" ? undefined : { path, here: "found" };
    } catch {
      return { path, here: "hidden" };
    }
  }

  #look(path: string): Sight {
    const place = rare.sightOutside.sightOutside({
      root: this.root,
      process: this.#process,
      keepsGroups: this.#keepsGroups,
      onHost: (kind, id) => this.onHost(kind, id),
    });
    return rare.explainExecution.lookAtProgram(path, place);
  }

  /** What the host calls an id of the container's user namespace. */
  onHost(kind: "uid" | "gid", id: number): number {
    return hostId(this.pid, kind, id);
  }
}
