import { asHakoError } from "../../base/errors";
import { exists } from "../../linux/file/file";
import type { CgroupManager } from "../../oci/cgroup-managers";
import type { Problem } from "../../oci/config";
import { containerId } from "../../oci/id";
import { isWithin } from "../../oci/partial";
import { kataWarning } from "../../oci/semantics-isolation";
import { unknownFields } from "../../oci/unknown-fields";
import { examine } from "../../oci/validate";
import { MappingStore } from "../../state/mapping";
import { hasDirectory } from "../../state/root";
import { hostFindings } from "./bundle-problems";

/** A problem of a bundle or an id. */
export interface Finding extends Problem {
  /** `create` refuses an error, and ignores the field of a warning. */
  severity: "error" | "warning";
}

export interface BundleFindings {
  /** The path of the config.json; undefined if it could not be read. */
  file: string | undefined;
  findings: Finding[];
}

/** Why a new container can't have this id. */
export function idFindings(root: string, text: string): Finding[] {
  const error = (message: string): Finding => ({ pointer: "", message, severity: "error" });
  try {
    const id = containerId(text);
    const inUse = `container id "${id}" is already in use, a unique id should be provided`;
    if (hasDirectory(root, id)) return [error(inUse)];
    return new MappingStore(root).get(id) === undefined
      ? []
      : [error(`${inUse} (see hako mapping get ${id})`)];
  } catch (thrown) {
    return [error(asHakoError(thrown).oneLine)];
  }
}

/** Every problem of a bundle on this host, and every field of it that does nothing. */
export function bundleFindings(bundle: string, manager: CgroupManager): BundleFindings {
  try {
    const { file, part, problems } = examine(bundle, manager);
    const host = part === undefined || !exists(part.rootfs) ? undefined : hostFindings(part);
    const inDocument = (found: readonly Problem[] = []) =>
      found.map((each) => part?.inDocument(each)).filter((each) => each !== undefined);
    const unknown = part === undefined ? [] : unknownFields(part.document, part.config);
    const kata = part === undefined ? undefined : kataWarning(part.config);
    return {
      file,
      findings: [
        ...as("error", [...problems, ...notKnown(inDocument(host?.problems), problems)]),
        ...as("warning", inDocument(host?.warnings)),
        ...as(
          "warning",
          inDocument(unknown.map((pointer) => ({ pointer, message: "unknown, and does nothing" }))),
        ),
        ...as("warning", kata === undefined ? [] : inDocument([kata])),
      ],
    };
  } catch (thrown) {
    const { oneLine: message } = asHakoError(thrown);
    return { file: undefined, findings: [{ pointer: "", message, severity: "error" }] };
  }
}

function as(severity: Finding["severity"], problems: readonly Problem[]): Finding[] {
  return problems.map((each) => ({ ...each, severity }));
}

/** The problems that do not follow from known ones: what uses a wrong field fails too. */
function notKnown(problems: readonly Problem[], known: readonly Problem[]): Problem[] {
  return problems.filter(
    ({ pointer }) =>
      !known.some((each) => isWithin(pointer, each.pointer) || isWithin(each.pointer, pointer)),
  );
}
