import * as v from "valibot";
import { type ErrnoName, errnoNumber, isErrnoName } from "../base/errno";
import { readText } from "../linux/file/file";
import { kernelRelease } from "../linux/kernel/uname";
import { type Problem, problemOf, problemsError, type Seccomp } from "../oci/config";
import { parseJson } from "../oci/json";
import { list, object, optional, text, texts } from "../oci/schema";
import { architecture, PROFILE, RULE } from "../oci/schema-seccomp";
import { NATIVE } from "../oci/seccomp-words";
import { seccompProblems } from "../oci/semantics-seccomp";
import { unknownFields } from "../oci/unknown-fields";
import { unknownForbidden } from "./unknown-calls";

/**
 * A seccomp profile in a file of its own: in the form of /linux/seccomp, or in that of docker and podman, whose rules may depend on
 * capabilities, architecture and kernel (moby's profiles/seccomp, containers-common's seccomp.json).
 */

const condition = optional(object({ caps: texts, arches: texts, minKernel: optional(text) }));

const errno = optional(
  v.custom<ErrnoName | "">(
    (name) => typeof name === "string" && (name === "" || isErrnoName(name)),
    "expected the name of an error, as EPERM",
  ),
);

const schema = object({
  ...PROFILE,
  defaultErrno: errno,
  archMap: list(object({ architecture, subArchitectures: list(architecture) })),
  syscalls: list(
    object({ ...RULE, errno, comment: optional(text), includes: condition, excludes: condition }),
  ),
});

type Condition = v.InferOutput<typeof condition>;

/** What rules of such a profile may depend on. */
interface Circumstances {
  capabilities: readonly string[];
  /** The architecture, in Go's words. */
  arch: string;
  kernel: readonly [number, number];
}

/** Reads the profile in a file, for a program with these capabilities. Unknown fields are refused, for they may have been limits. */
export function readProfile(file: string, capabilities: readonly string[]): Seccomp {
  const document = parseJson(readText(file), file);
  const result = v.safeParse(schema, document);
  if (!result.success) throw problemsError(result.issues.map(problemOf), file);
  const { archMap, defaultErrno, defaultErrnoRet, syscalls, ...rest } = result.output;
  const circumstances = {
    capabilities,
    arch: process.arch === "arm64" ? "arm64" : "amd64",
    kernel: kernelRelease(),
  };
  const native = archMap?.find((each) => each.architecture === NATIVE);
  const profile: Seccomp = {
    ...rest,
    defaultErrnoRet: defaultErrnoRet ?? numberOf(defaultErrno),
    ...(native === undefined ? {} : { architectures: [NATIVE, ...(native.subArchitectures ?? [])] }),
    syscalls: (syscalls ?? [])
      .filter(
        ({ includes, excludes }) =>
          isIncluded(includes, circumstances) && !isExcluded(excludes, circumstances),
      )
      .map(({ names, action, args, errnoRet, errno: name }) => ({
        names,
        action,
        args,
        errnoRet: errnoRet ?? numberOf(name),
      })),
  };
  const problems: Problem[] = [
    ...unknownForbidden(result.output),
    ...unknownFields(document, result.output).map((pointer) => ({ pointer, message: "unknown" })),
    ...(archMap !== undefined && rest.architectures !== undefined
      ? [{ pointer: "/archMap", message: "contradicts /architectures" }]
      : []),
    ...seccompProblems({ linux: { seccomp: profile } }).map(({ pointer, message }) => ({
      pointer: pointer.replace("/linux/seccomp", ""),
      message,
    })),
  ];
  if (problems.length > 0) throw problemsError(problems, file);
  return profile;
}

function numberOf(name: ErrnoName | "" | undefined): number | undefined {
  return name === undefined || name === "" ? undefined : errnoNumber(name);
}

/** Whether all parts of a condition hold, as docker requires. */
function isIncluded(given: Condition, { capabilities, arch, kernel }: Circumstances): boolean {
  const { caps = [], arches = [], minKernel } = given ?? {};
  return (
    caps.every((name) => capabilities.includes(name)) &&
    (arches.length === 0 || arches.includes(arch)) &&
    isAtLeast(kernel, minKernel ?? "0.0")
  );
}

/** Whether any part of a condition holds, which takes the rule away. */
function isExcluded(given: Condition, { capabilities, arch, kernel }: Circumstances): boolean {
  const { caps = [], arches = [], minKernel } = given ?? {};
  return (
    caps.some((name) => capabilities.includes(name)) ||
    arches.includes(arch) ||
    (minKernel !== undefined && isAtLeast(kernel, minKernel))
  );
}

function isAtLeast([major, minor]: readonly [number, number], least: string): boolean {
  const [wantedMajor = 0, wantedMinor = 0] = least.split(".").map(Number);
  return major > wantedMajor || (major === wantedMajor && minor >= wantedMinor);
}
