import { asHakoError } from "../../base/errors";
import { statusAt } from "../../linux/file/file";
import { POLICY_ANNOTATION, UNPROTECTED_ANNOTATION } from "../../oci/annotations";
import { logFailure } from "../../output/log";
import type { ContainerRecord } from "../../state/record";

/** What the policy of a container protects, and was not there when its command began: that can't be held where what it is in is written. */
export function unprotectedOf({ annotations }: Pick<ContainerRecord, "annotations">): string[] {
  try {
    const list: unknown = JSON.parse(annotations[UNPROTECTED_ANNOTATION] ?? "[]");
    return Array.isArray(list) ? list.filter((each) => typeof each === "string") : [];
  } catch {
    // a bundle's, which may have any annotation
    return [];
  }
}

/** Says which of it was made meanwhile: a line each. */
export function tellUnprotected(record: Pick<ContainerRecord, "annotations">): void {
  for (const path of unprotectedOf(record))
    if (isThere(path))
      logFailure(
        `${path} was made meanwhile, which policy ${record.annotations[POLICY_ANNOTATION]} protects where it is there: look at it before a tool goes by it`,
      );
}

function isThere(path: string): boolean {
  try {
    return statusAt(path, false) !== undefined;
  } catch (error) {
    logFailure(asHakoError(error).oneLine);
    return false;
  }
}
