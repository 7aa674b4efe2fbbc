import { asHakoError } from "../../base/errors";
import { statusAt } from "../../linux/file/file";
import { POLICY_ANNOTATION } from "../../oci/annotations";
import { logFailure } from "../../output/log";
import type { ContainerRecord } from "../../state/record";
import { replacedFiles, unprotectedOf } from "./guarded-files";

/** Says what was made meanwhile that its policy protects and was not there, and which of what it hides or protects is another file by now: a line each. */
export function tellUnprotected(record: Pick<ContainerRecord, "annotations">): void {
  for (const path of replacedFiles(record))
    logFailure(
      `${path} was replaced or removed outside meanwhile, and neither hidden nor protected from then on: look at it before a tool goes by it`,
    );
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
