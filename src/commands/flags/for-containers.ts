import { asHakoError, HakoError } from "../../base/errors";
import { type ContainerId, containerId } from "../../oci/id";
import { logWarning } from "../../output/log";
import { containerIds } from "../../state/root";

export const REGEX_FLAG = {
  type: "boolean",
  alias: "r",
  description: "CONTAINER is a regular expression, for the containers whose id it matches, as with crun",
} as const;

/** More ids behind the first one. */
export const MORE_CONTAINERS = "[CONTAINER...]";

/**
 * Does something with the containers that the operands name, or that they match: as with crun, a failure of one that matches is a
 * warning. Of several each gets its turn, and the failures are told at the end.
 */
export function forContainers(
  root: string,
  operands: readonly string[],
  regex: boolean,
  action: (id: ContainerId) => void,
): void {
  const failures: HakoError[] = [];
  for (const operand of operands) {
    try {
      if (regex) forMatching(root, operand, action);
      else action(containerId(operand));
    } catch (error) {
      failures.push(asHakoError(error));
    }
  }
  const [first, ...others] = failures;
  if (first === undefined) return;
  if (others.length === 0) throw first;
  throw new HakoError({ code: first.code, message: failures.map(({ oneLine }) => oneLine).join("; ") });
}

function forMatching(root: string, operand: string, action: (id: ContainerId) => void): void {
  const expression = expressionOf(operand);
  for (const id of containerIds(root).filter((each) => expression.test(each))) {
    try {
      action(id);
    } catch (error) {
      logWarning(asHakoError(error).oneLine);
    }
  }
}

function expressionOf(text: string): RegExp {
  try {
    return new RegExp(text);
  } catch (error) {
    const message = `--regex: ${JSON.stringify(text)} is not a regular expression`;
    throw new HakoError({ code: "usage", message, cause: error });
  }
}
