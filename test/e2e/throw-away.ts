// The machine's own root, of which what a script changes below /etc, /usr, /var, /root and /run is gone afterwards.
import { mkdirSync } from "node:fs";
import { type Box, execute, type Result } from "./support";

const PREPARE = `
  mount --make-rprivate /
  mount -t tmpfs tmpfs "$SCRATCH"
  for dir in etc usr var root run; do
    mkdir "$SCRATCH/$dir" "$SCRATCH/$dir.work"
    mount -t overlay -o "lowerdir=/$dir,upperdir=$SCRATCH/$dir,workdir=$SCRATCH/$dir.work" overlay "/$dir"
  done
  exec bash -euo pipefail -c "$SCRIPT"
`;

/** Runs lines of shell there, as root. */
export function throwAway(
  box: Box,
  cwd: string,
  script: string,
  env: Record<string, string>,
  timeout: number,
): Result {
  const scratch = box.path("scratch");
  mkdirSync(scratch);
  const variables = { ...env, SCRATCH: scratch, SCRIPT: script };
  return execute("unshare", ["--mount", "sh", "-euc", PREPARE], { cwd, env: variables, timeout });
}
