const LETTERS = "rwm";

/**
 * The letters of a device rule's `access` that say something, in the order r, w, m; others say nothing, as with runc. None is all three
 * in a rule that forbids.
 */
export function deviceAccess({
  allow,
  access = "",
}: {
  allow: boolean;
  access?: string | undefined;
}): string {
  if (access === "" && !allow) return LETTERS;
  return [...LETTERS].filter((letter) => access.includes(letter)).join("");
}

/** Why a rule's `access` is refused: a rule that allows or forbids nothing is a mistake. */
export function deviceAccessProblem(rule: {
  allow: boolean;
  access?: string | undefined;
}): string | undefined {
  if (deviceAccess(rule) !== "") return undefined;
  const got = rule.access === undefined ? "nothing" : JSON.stringify(rule.access);
  return `expected letters of ${LETTERS}, got ${got}`;
}
