import type { Spent } from "../../cgroup/stats/spent";
import type { RefusedDestination } from "../../network/attempts";
import type { Container, ContainerRecord } from "../../state/record";
import type { WatchedEnding } from "./foreground";

/** How the program of a `run` or an `exec` in the foreground ended. */
export interface RunEnd {
  /** It is still there; undefined for a command that has none (run --weaker namespaces). */
  container: Container | undefined;
  /** What is told of it beside what it came to. */
  about: Pick<ContainerRecord, "annotations" | "weaker" | "landlock">;
  /** What its cgroups have counted. */
  spent: Spent;
  /** undefined where hako has stopped to wait: nobody reads the program's output any more. */
  ending: WatchedEnding | undefined;
  /** The time limit was reached. */
  timedOut: boolean;
  /** When hako saw the program run, and for how many milliseconds. */
  started: Date;
  wallMs: number;
  /** What the program wanted to reach and rules don't allow; undefined of one that has no rules. */
  refused?: readonly RefusedDestination[] | undefined;
}
