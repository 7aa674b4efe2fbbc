import type { Fd } from "../../../linux/call/fd";
import type { Step } from "../../../linux/call/step";
import { Pipe } from "../../../linux/file/pipe";
import { NAMESPACE_FLAGS, openNamespace } from "../../../linux/process/namespace";
import { reapChild } from "../../../linux/process/process";
import { cloneChild, Reports } from "../../../linux/steps/clone-child";

/** A user namespace with maps and nobody in it. */
export function userNamespaceWith(writeMaps: (pid: number) => void): Fd {
  using pipe = new Pipe("pipe of an id mapping");
  const steps: Step[] = [
    { what: "close", call: "close", args: [pipe.write.number] },
    // until our end is closed
    { what: "wait", call: "read", args: [pipe.read.number, new Uint8Array(1), 1] },
    { what: "exit", call: "exit_group", args: [0] },
  ];
  using reports = new Reports(steps);
  const flags = NAMESPACE_FLAGS.user;
  let pid = 0;
  try {
    pid = cloneChild({ flags, cgroup: undefined, steps, waitsForNothing: false }, reports);
    writeMaps(pid);
    return openNamespace(`/proc/${pid}/ns/user`, "user");
  } finally {
    pipe.write.close();
    if (pid > 0) reapChild(pid, true);
  }
}
