import type { Process } from "../../oci/config";
import type { ScriptCapabilities } from "./chosen-capabilities";

type Capabilities = NonNullable<Process["capabilities"]>;

/** The capabilities of a program of `hako run --rootfs`: docker's and podman's sets without raw sockets and device nodes. */
export const SCRIPT_CAPABILITIES: readonly string[] = [
  "CAP_CHOWN",
  "CAP_DAC_OVERRIDE",
  "CAP_FOWNER",
  "CAP_FSETID",
  "CAP_KILL",
  "CAP_NET_BIND_SERVICE",
  "CAP_SETFCAP",
  "CAP_SETGID",
  "CAP_SETPCAP",
  "CAP_SETUID",
  "CAP_SYS_CHROOT",
];

/** Loaded on first use. */
const rare = {
  get chosen() {
    return require("./chosen-capabilities") as typeof import("./chosen-capabilities");
  },
};

/** The usual capabilities, changed by `--cap-add` and `--cap-drop`. */
export function scriptCapabilities(
  add: readonly string[],
  drop: readonly string[],
  rootless: boolean,
  usual = SCRIPT_CAPABILITIES,
): ScriptCapabilities {
  if (add.length === 0 && drop.length === 0) return { granted: usual, added: [] };
  return rare.chosen.chosenCapabilities(usual, add, drop, rootless);
}

/** The sets of a program's process. What a user other than 0 shall have has to be in the ambient set: the kernel gives it nothing else. */
export function capabilitySets({ granted, added }: ScriptCapabilities, uid: number): Capabilities {
  const all = [...granted];
  const sets = { bounding: all, effective: all, permitted: all };
  return uid === 0 || added.length === 0 ? sets : { ...sets, inheritable: [...added], ambient: [...added] };
}
