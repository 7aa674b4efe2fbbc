import { HakoError } from "../../base/errors";

/** What docker's users say though it is so anyway. The contrary would be something else, and is refused. */

export const INTERACTIVE = {
  type: "boolean",
  alias: "i",
  tristate: true,
  description: "for users of docker: standard input is always connected",
} as const;

export const REMOVED_AT_END = {
  type: "boolean",
  tristate: true,
  description: "for users of docker: run --rootfs deletes the container at its end, without --keep",
} as const;

export function checkInteractive(interactive: boolean | undefined): void {
  if (interactive === false)
    throw HakoError.usage(
      "--interactive=false: standard input is always connected",
      "an empty one: </dev/null",
    );
}

/** Whether `run --rootfs --rm` can be kept. */
export function checkRemoved({
  rm,
  keep,
  detach,
}: {
  rm: boolean | undefined;
  keep: boolean;
  detach: boolean;
}) {
  if (rm === undefined) return;
  if (!rm && !keep)
    throw HakoError.usage("--rm=false: the container is deleted at its end", "--keep keeps it");
  if (rm && keep) throw HakoError.usage("--rm and --keep contradict each other");
  if (rm && detach)
    throw HakoError.usage("--rm and --detach: nothing stays that could delete it", "hako delete ID does");
}
