import { HakoError } from "../../../base/errors";
import { basename } from "../../../linux/file/path-text";
import type { Config } from "../../../oci/config";
import type { NamespacePlan } from "./namespaces";

/** Hooks that stay with the process which they are told of, and read its namespaces: with a joined pid namespace it is not the program's. */
const FOLLOWERS: ReadonlySet<string> = new Set(["oci-seccomp-bpf-hook"]);

/** Refuses hooks that can't have what they are for in a pid namespace that is joined: docs/sandboxes.md has the list. */
export function checkJoinedPidHooks({ hooks }: Config, { latePid, pidFirst }: NamespacePlan): void {
  if (latePid === undefined || hooks === undefined) return;
  for (const kind of ["prestart", "createRuntime", "createContainer"] as const) {
    const index = (hooks[kind] ?? []).findIndex(({ path }) => FOLLOWERS.has(basename(path)));
    if (index < 0) continue;
    throw new HakoError({
      code: "unsupported",
      message: `config /hooks/${kind}/${index}: ${basename(hooks[kind]?.[index]?.path ?? "")} follows the process that it is told of, and the program is born later in the pid namespace that it joins`,
      hint: "give the container a pid namespace of its own",
    });
  }
  // children of the container's process: with the host's root directory and files, among others who may have CAP_SYS_PTRACE over them
  if (!pidFirst || (hooks.createContainer ?? []).length === 0) return;
  throw new HakoError({
    code: "unsupported",
    message:
      "config /hooks/createContainer: not with a pid namespace that is joined and a user namespace that is new: they would run among its processes",
    hint: "join the user namespace too, or have them in /hooks/createRuntime or /hooks/startContainer",
  });
}
