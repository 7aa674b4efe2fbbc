import { KEEP_GROUPS_ANNOTATION } from "./annotations";
import type { Config } from "./config";

/**
 * Whether the program keeps the supplementary groups of hako's caller in place of config.json's. It then has also groups that its user
 * namespace does not map, and reaches files that only those may open.
 */
export function keepsGroups({ annotations = {} }: Pick<Config, "annotations">): boolean {
  return annotations[KEEP_GROUPS_ANNOTATION] === "1";
}
