/** Whether nobody reads a process's output here: it runs on, and its output goes to a terminal that somebody else holds. */
export function noNeedForOutput(detach: boolean, tty: boolean): boolean {
  return detach && tty;
}
