import type { HakoError } from "../base/errors";
import { callerVariable } from "../linux/file/caller-environment";

/** docker's flags for the container that hako runs in, and the fields of a container's or a pod's spec that say the same. */
const IN_A_POD: readonly (readonly [flag: RegExp, field: string])[] = [
  [/--cap-add (\w+)/g, "securityContext.capabilities.add: [$1]"],
  [/--security-opt seccomp=unconfined/g, "securityContext.seccompProfile.type: Unconfined"],
  [/--security-opt apparmor=unconfined/g, "securityContext.appArmorProfile.type: Unconfined"],
  [/--security-opt label=disable/g, "securityContext.seLinuxOptions.type: spc_t"],
  // the API server lets only pods with a user namespace have it
  [
    /--security-opt systempaths=unconfined, unmask=ALL/g,
    "securityContext.procMount: Unmasked with hostUsers: false",
  ],
  [/--privileged/g, "securityContext.privileged: true"],
];

/** Advice of an error as `inOuterWords` has it. */
export function withOuterWords(error: HakoError): HakoError {
  const { reason: message, advice = "" } = error;
  const hint = inOuterWords(advice);
  return hint === advice ? error : error.with({ message, hint, cause: undefined });
}

/** Advice for the container that hako runs in, in the words of who has made it: a kubelet gives each container this variable. */
export function inOuterWords(advice: string, server = callerVariable("KUBERNETES_SERVICE_HOST")): string {
  if (server === undefined) return advice;
  return IN_A_POD.reduce((text, [flag, field]) => text.replace(flag, field), advice);
}
