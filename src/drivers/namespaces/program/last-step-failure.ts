import type { HakoError } from "../../../base/errors";
import { executionError, lookAtProgram, type Sight } from "../../../explain/execution";
import type { Fd } from "../../../linux/call/fd";
import { stepError } from "../../../linux/call/walk";
import type { FailedStep } from "../../../linux/remote/failed-step";
import type { Config } from "../../../oci/config";
import { keepsGroups } from "../../../oci/groups";
import { idsOnHost } from "./may-execute";
import { sightOutside } from "./sight-outside";

/** The error of a container's process that could not become its program, which is looked at from outside. */
export function lastStepFailure(
  { step, result }: FailedStep,
  config: Config,
  rootfs: Fd | undefined,
): HakoError {
  const { path } = step;
  if (path === undefined || result >= 0) return stepError([{ ...step, args: [] }], [0, result]);
  return executionError(path, -result, sightOf(path, config, rootfs));
}

function sightOf(path: string, config: Config, root: Fd | undefined): Sight {
  const { process } = config;
  if (process === undefined || root === undefined) return UNSEEN(path);
  const place = sightOutside({
    root,
    process,
    keepsGroups: keepsGroups(config),
    onHost: idsOnHost(config),
  });
  return lookAtProgram(path, place);
}

/** Where nobody can look. */
const UNSEEN = (path: string): Sight => ({
  path,
  errno: undefined,
  directory: false,
  rights: undefined,
  user: undefined,
  own: false,
  noexec: false,
  format: undefined,
  interpreter: undefined,
});
