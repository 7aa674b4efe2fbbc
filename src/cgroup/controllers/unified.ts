import type { Resources } from "../../oci/config";
import { pointer } from "../../oci/json";
import type { Target } from "./target";

/** Writes linux.resources.unified: files of cgroup v2 by their names. */
export function applyUnified(target: Target, { unified = {} }: Resources): void {
  for (const [file, value] of Object.entries(unified)) {
    const field = pointer(["unified", file]);
    const controller = file.slice(0, file.indexOf("."));
    const root = target.need("", field);
    const node = target.exists(root, file) || controller === "cgroup" ? root : target.need(controller, field);
    if (!node.unified) {
      const hint = "use the field for this limit instead of unified";
      throw target.refuse(field, `the ${controller} controller is on cgroup v1 here`, hint);
    }
    // one line a write: io.max takes one device at a time
    for (const line of value.split("\n").filter((text) => text !== "")) target.write(node, file, line, field);
  }
}
