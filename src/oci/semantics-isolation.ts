import {
  DRIVER_ANNOTATION,
  FILTER_ANNOTATION,
  HANDLER_ANNOTATION,
  KATA_CONFIG_ANNOTATION,
} from "./annotations";
import type { Config, Problem } from "./config";
import { pointer } from "./json";
import { problem } from "./problem";

/**
 * Refuses what asks for another isolation than namespaces: the section for virtual machines (config-vm.md), and annotations of crun. A
 * container that ignored them would be weaker than its caller believes.
 */
export function isolationProblems({ vm, annotations = {} }: Config): Problem[] {
  const asked = Object.entries(vm ?? {}).filter(([, value]) => asksFor(value));
  const named = [
    [HANDLER_ANNOTATION, `needs crun: for a virtual machine of hako's see --driver vm`],
    [FILTER_ANNOTATION, "needs crun: hako compiles /linux/seccomp"],
  ] as const;
  return [
    ...driverProblem(annotations[DRIVER_ANNOTATION]),
    ...asked.map(([key]) =>
      problem(
        pointer(["vm", key]),
        "asks for a virtual machine of its own making: hako's are made by --driver vm",
      ),
    ),
    ...named.flatMap(([name, why]) =>
      (annotations[name] ?? "") === "" ? [] : [problem(pointer(["annotations", name]), why)],
    ),
  ];
}

function driverProblem(driver: string | undefined): Problem[] {
  if (driver === undefined || driver === "vm") return [];
  const message = `${JSON.stringify(driver)}: the only driver that can be asked for is "vm"`;
  return [problem(pointer(["annotations", DRIVER_ANNOTATION]), message)];
}

/** Whether a value says anything: Go writes empty texts and structs for what was not said. */
function asksFor(value: unknown): boolean {
  if (typeof value === "object" && value !== null) return Object.values(value).some(asksFor);
  return value !== undefined && value !== null && value !== "" && value !== 0 && value !== false;
}

/** A warning that names the annotations for kata's virtual machine; undefined if there are none. */
export function kataWarning({ annotations = {} }: Pick<Config, "annotations">): Problem | undefined {
  const names = Object.keys(annotations).filter((name) => KATA_CONFIG_ANNOTATION.test(name));
  if (names.length === 0) return undefined;
  return problem(
    "/annotations",
    `nothing comes of ${names.join(", ")}: hako runs containers in namespaces, not in Kata's machine`,
  );
}
