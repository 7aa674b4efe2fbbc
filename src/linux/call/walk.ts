import { errnoName } from "../../base/errno";
import { systemCallHint } from "../../base/errno-hints";
import { HakoError } from "../../base/errors";
import { currentActor } from "./actor";
import type { Step, Walk } from "./step";
import { isSuccess } from "./success";
import { systemError, trySyscallHere } from "./syscall";

export function stepError(
  steps: readonly Step[],
  [index, result]: readonly [step: number, result: number],
): HakoError {
  const step = steps[index];
  const what = step?.what ?? `step ${index}`;
  if (result >= 0) return new HakoError({ code: "system", message: `${what}: ended too soon` });
  const errno = errnoName(-result);
  const hint = systemCallHint(step?.call ?? "", errno) ?? step?.hint?.(errno);
  return systemError(what, -result, undefined, hint).with({ syscall: step?.call });
}

/** Has whoever acts make the steps; throws the error of the one that fails. */
export function perform(steps: readonly Step[]): void {
  checkWalk(steps, walkSteps(steps));
}

/** Throws the error of the step that a walk has ended at before the last one succeeded. */
export function checkWalk(steps: readonly Step[], walk: Walk): void {
  if (walk[0] < steps.length) throw stepError(steps, walk);
}

/** Has whoever acts make the steps, up to the first that is no success. */
export function walkSteps(steps: readonly Step[]): Walk {
  const actor = currentActor();
  return actor === undefined ? walkHere(steps) : actor.walk(steps);
}

/** Makes the steps by this thread, whoever acts. */
export function walkHere(steps: readonly Step[]): Walk {
  let result = 0;
  for (const [index, { call, args, success }] of steps.entries()) {
    result = trySyscallHere(call, ...args);
    if (!isSuccess(result, success)) return [index, result];
  }
  return [steps.length, result];
}
