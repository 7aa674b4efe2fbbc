/** The state of a container (runtime.md "State"); what `state` prints and hooks read. */
export interface State {
  ociVersion: string;
  id: string;
  /** The spec's creating, created, running, stopped, and paused, which runc and crun say too. */
  status: string;
  /** 0 when there is no process. */
  pid: number;
  bundle: string;
  annotations: Record<string, string>;
}
