/** The state of a container (runtime.md "State"): `hako state` prints it, and hooks get it on their standard input. */
export interface State {
  ociVersion: string;
  id: string;
  /** creating, created, running or stopped, as in the spec; or paused, as with runc and crun. */
  status: string;
  /** 0 when there is no process. */
  pid: number;
  bundle: string;
  annotations: Record<string, string>;
}
