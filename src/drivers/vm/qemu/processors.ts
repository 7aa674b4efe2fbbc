import * as v from "valibot";
import { HakoError } from "../../../base/errors";
import type { Qmp } from "./qmp";

const number = v.pipe(v.number(), v.integer(), v.minValue(0));
/** Of QEMU's answer to query-cpus-fast (qapi/machine.json). */
const processors = v.array(v.object({ "thread-id": number }));
/** Of its answer to query-hotpluggable-cpus: one that is there has a path. */
const places = v.array(
  v.object({
    type: v.string(),
    props: v.record(v.string(), number),
    "qom-path": v.optional(v.string()),
  }),
);

/** The threads that run the guest's instructions, as QEMU calls them. */
export function processorThreads(monitor: Qmp, deadline: number): number[] {
  const answer = v.safeParse(processors, monitor.command("query-cpus-fast", {}, deadline));
  if (!answer.success) throw monitor.lines.broken("no list of processors");
  return answer.output.map((each) => each["thread-id"]);
}

/** Plugs processors, which the guest's kernel has to bring online. */
export function plugProcessors(monitor: Qmp, count: number, deadline: number): void {
  const answer = v.safeParse(places, monitor.command("query-hotpluggable-cpus", {}, deadline));
  if (!answer.success) throw monitor.lines.broken("no list of places for processors");
  // QEMU tells of the last one first
  const free = answer.output.filter((each) => each["qom-path"] === undefined).toReversed();
  if (free.length < count)
    throw new HakoError({ code: "system", message: `QEMU has room for ${free.length} more processors` });
  for (const { type, props } of free.slice(0, count)) {
    const id = `processor-${Object.values(props).join("-")}`;
    monitor.command("device_add", { driver: type, id, ...props }, deadline);
  }
}
