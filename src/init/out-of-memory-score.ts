import { asHakoError, HakoError } from "../errors";
import { checkAccess, hasErrno, writeValueTo } from "../linux/file";
import { isRootless } from "../linux/rootless";

const W_OK = 2;

/** Sets a process's oom_score_adj from outside: in its user namespace the process has no right to. */
export function setOutOfMemoryScore(pid: number, score: number | undefined): void {
  if (score === undefined) return;
  // as runc: an ordinary user's container goes without
  if (isRootless() && !mayWrite(`/proc/${pid}/oom_score_adj`)) return;
  try {
    writeValueTo(`/proc/${pid}/oom_score_adj`, String(score));
  } catch (thrown) {
    const cause = asHakoError(thrown);
    const hint = hasErrno(cause, "EACCES", "EPERM") ? "lowering it needs CAP_SYS_RESOURCE" : undefined;
    const { code, errno } = cause;
    throw new HakoError({
      code,
      errno,
      hint,
      message: `config /process/oomScoreAdj: set to ${score}`,
      cause,
    });
  }
}

function mayWrite(path: string): boolean {
  try {
    checkAccess(path, W_OK);
    return true;
  } catch (error) {
    if (hasErrno(error, "EACCES", "EPERM")) return false;
    throw error;
  }
}
