import { KEEP_GROUPS_ANNOTATION } from "./annotations";
import type { Config } from "./config";

/**
 * Whether the program keeps the groups of who calls us in place of those of config.json: also such as its user namespace
 * has no name for, so that it can reach what only they may.
 */
export function keepsGroups({ annotations = {} }: Pick<Config, "annotations">): boolean {
  return annotations[KEEP_GROUPS_ANNOTATION] === "1";
}
