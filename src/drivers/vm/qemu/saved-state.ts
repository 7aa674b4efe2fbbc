import * as v from "valibot";
import { HakoError } from "../../../base/errors";
import type { Fd } from "../../../linux/call/fd";
import type { Qmp } from "./qmp";

/**
 * What a machine is beside its memory, in a file: QEMU's migration stream (docs/devel/migration.rst of QEMU). The memory is a file of its own, which
 * x-ignore-shared leaves out of the stream.
 */
const CAPABILITIES = { capabilities: [{ capability: "x-ignore-shared", state: true }] };
const NAME = "state";
/** QEMU tells of its progress only who asks. */
const PAUSE_MS = 1;
const progress = v.object({ status: v.optional(v.string()), "error-desc": v.optional(v.string()) });

/** Stops a machine and writes its state. */
export function saveState(monitor: Qmp, file: Fd, deadline: number): void {
  monitor.command("stop", {}, deadline);
  monitor.command("migrate-set-capabilities", CAPABILITIES, deadline);
  monitor.give(NAME, file, deadline);
  monitor.command("migrate", { uri: `fd:${NAME}` }, deadline);
  awaitEnd(monitor, deadline);
}

/** Has a machine that waits for it (`-incoming defer`) go on from a state. */
export function loadState(monitor: Qmp, file: Fd, deadline: number): void {
  monitor.command("migrate-set-capabilities", CAPABILITIES, deadline);
  monitor.give(NAME, file, deadline);
  monitor.command("migrate-incoming", { uri: `fd:${NAME}` }, deadline);
  while (monitor.status(deadline) === "inmigrate") pause(deadline);
  monitor.command("cont", {}, deadline);
}

function awaitEnd(monitor: Qmp, deadline: number): void {
  for (;;) {
    const answer = v.safeParse(progress, monitor.command("query-migrate", {}, deadline));
    if (!answer.success) throw monitor.lines.broken("no progress");
    const { status, "error-desc": why } = answer.output;
    if (status === "completed") return;
    if (status === "failed" || status === "cancelled")
      throw new HakoError({
        code: "system",
        message: `QEMU: saving the machine has ${status}: ${why ?? "no reason told"}`,
      });
    pause(deadline);
  }
}

function pause(deadline: number): void {
  if (performance.now() > deadline)
    throw new HakoError({ code: "system", message: "QEMU: the machine's state takes too long" });
  Bun.sleepSync(PAUSE_MS);
}
