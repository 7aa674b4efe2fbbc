import * as v from "valibot";
import { IO_CLASSES, POLICIES, SCHEDULER_FLAGS } from "../linux/process/scheduler";
import { between, int32, list, nameOf, object, optional, text, uint64 } from "./schema";

/** Parts of `process` of config.json (runtime-spec config.md "Linux Process"). */

export const scheduler = object({
  policy: nameOf(POLICIES),
  nice: v.nullish(between(-20, 19), 0),
  priority: v.nullish(int32, 0),
  flags: list(nameOf(SCHEDULER_FLAGS)),
  runtime: v.nullish(uint64, 0),
  deadline: v.nullish(uint64, 0),
  period: v.nullish(uint64, 0),
});

export const ioPriority = object({
  class: nameOf(IO_CLASSES),
  priority: v.nullish(between(0, 7), 0),
});

export const execCPUAffinity = object({ initial: optional(text), final: optional(text) });
