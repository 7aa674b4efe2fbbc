import type { ErrnoName } from "../../../base/errno";
import { errnoHint } from "../../../base/errno-hints";
import { asHakoError, HakoError } from "../../../base/errors";
import { ACCESS } from "../../../linux/call/constants";
import type { Step } from "../../../linux/call/step";
import { checkAccess, hasErrno, writeValueTo } from "../../../linux/file/file";
import { isRootless } from "../../../linux/process/rootless";
import { writeSteps } from "../../../linux/steps/child-steps";

const what = (score: number) => `config /process/oomScoreAdj: set to ${score}`;

function hintOf(errno: ErrnoName | undefined): string | undefined {
  return errnoHint("set an oom_score_adj", errno);
}

/**
 * Sets the oom_score_adj of whoever makes these system calls, and of its children. It must not have left the host's namespaces or hidden
 * itself yet. `number` is the lowest descriptor that it has free.
 */
export function outOfMemoryScoreSteps(score: number | undefined, number: number): Step[] {
  if (score === undefined) return [];
  // an ordinary user's goes without
  const rest = { what: what(score), hint: hintOf, optional: isRootless() };
  return writeSteps("/proc/self/oom_score_adj", String(score), number, rest);
}

/** Sets the oom_score_adj of another process, which has no right to in its own user namespace. */
export function setOutOfMemoryScore(pid: number, score: number | undefined): void {
  if (score === undefined) return;
  // as runc: an ordinary user's container goes without
  if (isRootless() && !mayWrite(`/proc/${pid}/oom_score_adj`)) return;
  try {
    writeValueTo(`/proc/${pid}/oom_score_adj`, String(score));
  } catch (thrown) {
    const cause = asHakoError(thrown);
    const { code, errno } = cause;
    throw new HakoError({ code, errno, hint: hintOf(errno), message: what(score), cause });
  }
}

function mayWrite(path: string): boolean {
  try {
    checkAccess(path, ACCESS.W_OK);
    return true;
  } catch (error) {
    if (hasErrno(error, "EACCES", "EPERM")) return false;
    throw error;
  }
}
