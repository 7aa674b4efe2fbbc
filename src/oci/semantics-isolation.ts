import type { Config, Problem } from "./config";
import { pointer } from "./json";
import { problem } from "./problem";

/** crun's: another handler runs the container, such as krun in a machine, or wasm. */
const HANDLER = "run.oci.handler";
/** crun's: a filter in BPF in place of the profile (base64). */
const FILTER = "run.oci.seccomp_bpf_data";
/** What kata-runtime is told about a container's machine. */
const KATA_CONFIG = /^io\.katacontainers\.config(_path$|\.)/;

/**
 * What asks for another isolation than that of namespaces: the runtime spec's section for machines (config-vm.md), and
 * annotations of crun. The container would be weaker without.
 */
export function isolationProblems({ vm, annotations = {} }: Config): Problem[] {
  const asked = Object.entries(vm ?? {}).filter(([, value]) => asksFor(value));
  const named = [
    [HANDLER, "needs crun: hako runs containers in namespaces only"],
    [FILTER, "needs crun: hako compiles /linux/seccomp"],
  ] as const;
  return [
    ...asked.map(([key]) =>
      problem(pointer(["vm", key]), "asks for a virtual machine: hako runs containers in namespaces only"),
    ),
    ...named.flatMap(([name, why]) =>
      (annotations[name] ?? "") === "" ? [] : [problem(pointer(["annotations", name]), why)],
    ),
  ];
}

/** Whether something is said: Go writes empty texts and structs for what was not. */
function asksFor(value: unknown): boolean {
  if (typeof value === "object" && value !== null) return Object.values(value).some(asksFor);
  return value !== undefined && value !== null && value !== "" && value !== 0 && value !== false;
}

/** Says which annotations are for kata's machine; undefined if there are none. */
export function kataWarning({ annotations = {} }: Pick<Config, "annotations">): Problem | undefined {
  const names = Object.keys(annotations).filter((name) => KATA_CONFIG.test(name));
  if (names.length === 0) return undefined;
  return problem(
    "/annotations",
    `nothing comes of ${names.join(", ")}: hako runs containers in namespaces, not in Kata's machine`,
  );
}
