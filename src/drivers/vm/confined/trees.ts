import { HakoError } from "../../../base/errors";
import { AT, MNT } from "../../../linux/call/constants";
import type { Fd } from "../../../linux/call/fd";
import type { Step } from "../../../linux/call/step";
import { attachStep, attributeStep } from "../../../linux/mount/mount-steps";
import { openProcess } from "../../../linux/process/process";
import { effectiveUser } from "../../../linux/process/rootless";
import { performIn } from "../../../linux/remote/namespace-root";
import type { ProcessRecord } from "../../../state/record";
import { TREES } from "./confined-root";

/**
 * Mounts a detached tree where a confined process has those of containers: with `attributes` (ATTR) of all its mounts, and with `ofTop` of the first
 * one.
 */
export function giveTree(holder: ProcessRecord, name: string, tree: Fd, attributes: number, ofTop = 0): void {
  const place = `${TREES}/${name}`;
  act(holder, [
    { what: `mkdir ${place}`, call: "mkdirat", args: [AT.FDCWD, place, 0o755] },
    attributeStep(tree.number, attributes, true),
    attributeStep(tree.number, ofTop),
    attachStep(tree.number, AT.FDCWD, place),
  ]);
}

/** Unmounts a tree, for lookups at once. */
export function takeTree(holder: ProcessRecord, name: string): void {
  const place = `${TREES}/${name}`;
  act(holder, [
    { what: `umount2 ${place}`, call: "umount2", args: [place, MNT.DETACH] },
    { what: `rmdir ${place}`, call: "unlinkat", args: [AT.FDCWD, place, AT.REMOVEDIR] },
  ]);
}

function act({ pid, startTime }: ProcessRecord, steps: readonly Step[]): void {
  using pidfd = openProcess(pid, startTime);
  if (pidfd === undefined)
    throw new HakoError({
      code: "state",
      message: `process ${pid}, which has the containers' files, has ended`,
    });
  performIn(pidfd, effectiveUser() !== 0, steps);
}
