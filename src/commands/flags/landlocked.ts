import { HakoError } from "../../base/errors";
import type { Arguments } from "../../cli/arguments";

/** Flags of `run` that mean something without a container. */
const KEPT: ReadonlySet<string> = new Set([
  ...[
    "rootfs",
    "policy",
    "weaker",
    "network",
    "env",
    "hide",
    "write",
    "protect",
    "workdir",
    "cap-drop",
    "ulimit",
  ],
  ...[
    "timeout",
    "grace",
    "report",
    "quiet",
    "die-with",
    "die-with-parent",
    "preserve-fds",
    "interactive",
    "rm",
  ],
]);

/** Whether there is no container, but a command that Landlock and seccomp confine. */
export function isLandlocked(weaker: string | undefined): boolean {
  return weaker === "namespaces" || weaker === "attributes";
}

/** Refuses what only a container can have. */
export function refuseContainerFlags(args: Record<string, unknown>, flags: Arguments): void {
  for (const [name, { default: usual }] of Object.entries(flags)) {
    const value = args[name];
    const unsaid = value === undefined || value === false || value === usual;
    if (KEPT.has(name) || unsaid || (Array.isArray(value) && value.length === 0)) continue;
    throw HakoError.usage(
      `--weaker ${args.weaker} and ${name === "container" ? "an id" : `--${name}`} contradict each other`,
      "without namespaces there is no container",
    );
  }
}
