import type { Container } from "../../state/record";
import type { WatchedEnding } from "../io/foreground";

/** How the program of a `run` in the foreground ended. */
export interface RunEnd {
  /** It is still there, with what its cgroups have counted. */
  container: Container;
  /** undefined where hako has stopped to wait: nobody reads the program's output any more. */
  ending: WatchedEnding | undefined;
  /** The time limit was reached. */
  timedOut: boolean;
  /** When hako saw the program run, and for how many milliseconds. */
  started: Date;
  wallMs: number;
}
