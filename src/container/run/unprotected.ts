import { printable } from "../../base/printable";
import { POLICY_ANNOTATION } from "../../oci/annotations";
import { logFailure } from "../../output/log";
import type { ContainerRecord } from "../../state/record";
import { madeFiles, replacedFiles, unprotectedRepositories } from "./guarded-files";

/** A program can make any number of repositories. */
const MOST_TOLD = 20;

/** Says what was made meanwhile that its policy protects and was not there, and which of what it hides or protects is another file by now: a line each. */
export function tellUnprotected(record: Pick<ContainerRecord, "annotations">): void {
  for (const path of replacedFiles(record))
    logFailure(
      `${path} was replaced or removed outside meanwhile, and neither hidden nor protected from then on: look at it before a tool goes by it`,
    );
  for (const path of madeFiles(record))
    logFailure(
      `${path} was made meanwhile, which policy ${record.annotations[POLICY_ANNOTATION]} protects where it is there: look at it before a tool goes by it`,
    );
  tellRepositories(unprotectedRepositories(record));
}

function tellRepositories(repositories: readonly string[] | undefined): void {
  if (repositories === undefined)
    logFailure("the index of git was changed so that it can't be read: look at it before git goes by it");
  else if (repositories.length > MOST_TOLD)
    logFailure(
      `git status goes into ${repositories.length} repositories of the index that nothing has protected`,
    );
  for (const path of repositories?.slice(0, MOST_TOLD) ?? [])
    logFailure(
      `git status goes into ${printable(path)}, by the index, and takes commands from there: look at it before git does`,
    );
}
