import { errnoHint } from "../../base/errno-hints";
import { asHakoError, HakoError } from "../../base/errors";
import { exists } from "../../linux/file/file";
import type { Integer } from "../../oci/json";
import { skippedHint } from "../hierarchy/delegation";
import { tryReadValue, tryWriteValue } from "../hierarchy/files";
import { controllersIn, directoryOf, enableController } from "../hierarchy/node";
import type { CgroupNode, CgroupRecord } from "../hierarchy/record";

const BASE = "/linux/resources";

/** The cgroups that limits are written to. Errors name the field of config.json that asked for the limit. */
export class Target {
  readonly record: CgroupRecord;
  /** The files that were written and their old values, in this order. */
  readonly #before: { file: string; value: string }[] = [];

  /** New cgroups: no old values are put back there. */
  readonly #made: ReadonlySet<CgroupNode>;

  constructor(record: CgroupRecord, made: ReadonlySet<CgroupNode> = new Set()) {
    this.record = record;
    this.#made = made;
  }

  /** The container's node with a controller; "" is the unified hierarchy. */
  find(controller: string): CgroupNode | undefined {
    const nodes = this.record.nodes.filter((node) => node.skipped === undefined);
    const v1 = nodes.find((node) => node.controllers.includes(controller));
    if (v1 !== undefined) return v1;
    const unified = nodes.find((node) => node.unified);
    if (unified === undefined || controller === "") return unified;
    return controllersIn(directoryOf(unified)).includes(V2_NAMES[controller] ?? controller)
      ? unified
      : undefined;
  }

  /** The container's node with a controller that the field at `pointer` needs; an error if there is none. */
  need(controller: string, pointer: string): CgroupNode {
    const found = this.find(controller);
    if (found !== undefined) return found;
    const name = V2_NAMES[controller] ?? controller;
    const unified = this.record.nodes.find((node) => node.unified && node.skipped === undefined);
    const skipped = this.record.nodes.find(
      (node) => node.skipped !== undefined && (node.unified || node.controllers.includes(controller)),
    );
    const message = `${BASE}${pointer}: no ${controller === "" ? "cgroup v2 hierarchy" : `${controller} controller`} for this container`;
    if (skipped !== undefined) {
      throw new HakoError({
        code: "unsupported",
        message: `${message}: ${skipped.skipped}`,
        hint: skippedHint(skipped),
      });
    }
    if (unified !== undefined) {
      try {
        enableController(unified, name);
        return unified;
      } catch (thrown) {
        throw new HakoError({ code: "unsupported", message, cause: asHakoError(thrown) });
      }
    }
    throw new HakoError({
      code: "unsupported",
      message,
      hint:
        this.record.nodes.length === 0
          ? "no cgroups are mounted here: mount -t cgroup2 cgroup2 /sys/fs/cgroup"
          : `remove the limit, or enable it: mount -t cgroup -o ${controller} … (see /proc/cgroups)`,
    });
  }

  exists(node: CgroupNode, file: string): boolean {
    return exists(`${directoryOf(node)}/${file}`);
  }

  read(node: CgroupNode, file: string): string | undefined {
    return tryReadValue(`${directoryOf(node)}/${file}`);
  }

  /** Writes a limit; an error names the field at `pointer`. */
  write(node: CgroupNode, file: string, value: string | Integer, pointer: string): void {
    const failed = this.tryWrite(node, file, value);
    if (failed !== undefined) throw this.failure(pointer, failed, file);
  }

  tryWrite(node: CgroupNode, file: string, value: string | Integer): HakoError | undefined {
    const path = `${directoryOf(node)}/${file}`;
    const before = this.#made.has(node) ? undefined : tryReadValue(path);
    const failed = tryWriteValue(path, String(value));
    if (failed === undefined && before !== undefined) this.#before.push({ file: path, value: before });
    return failed;
  }

  /** Puts all old values back, in reverse order: a failed update leaves no trace. Device rules stay. */
  takeBack(): void {
    for (const { file, value } of this.#before.splice(0).reverse()) {
      if (value !== "" && !value.includes("\n")) tryWriteValue(file, value);
    }
  }

  failure(pointer: string, cause: HakoError, file: string, hint?: string): HakoError {
    const missing = cause.errno === "ENOENT";
    return new HakoError({
      code: missing ? "unsupported" : "system",
      message: `${BASE}${pointer}`,
      errno: cause.errno,
      path: cause.path,
      hint: hint ?? errnoHint("set a limit of a cgroup", cause.errno, { file }),
      cause,
    });
  }

  /** The error for a field that this version of cgroups can't express. */
  refuse(pointer: string, message: string, hint: string): HakoError {
    return new HakoError({ code: "unsupported", message: `${BASE}${pointer}: ${message}`, hint });
  }

  wrong(pointer: string, message: string, hint?: string): HakoError {
    return new HakoError({ code: "config", message: `${BASE}${pointer}: ${message}`, hint });
  }
}

/** Controllers that have another name on v2. */
const V2_NAMES: Record<string, string> = { blkio: "io", cpuacct: "cpu" };
