import { type ContainerId, containerId } from "../container/id";
import { containerIds } from "../container/record";
import { asHakoError, HakoError } from "../errors";
import { logWarning } from "../log";

export const REGEX = {
  type: "boolean",
  alias: "r",
  description: "CONTAINER is a regular expression, for the containers whose id it matches, as with crun",
} as const;

/**
 * Does something with the container that the operand names, or with all that it matches: as with crun, a failure of one of
 * them is a warning then, and the others get their turn.
 */
export function forContainers(
  root: string,
  operand: string,
  regex: boolean,
  action: (id: ContainerId) => void,
): void {
  if (!regex) {
    action(containerId(operand));
    return;
  }
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
