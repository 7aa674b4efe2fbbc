const LETTERS = "rwm";

/**
 * The letters r, w and m of a device rule's `access`, in this order. Other letters are ignored, as with runc. A rule that forbids, and
 * has no `access`, forbids all three.
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

/** Why a device rule's `access` is refused; undefined if it is not. A rule with no letter at all would allow or forbid nothing. */
export function deviceAccessProblem(rule: {
  allow: boolean;
  access?: string | undefined;
}): string | undefined {
  if (deviceAccess(rule) !== "") return undefined;
  const got = rule.access === undefined ? "nothing" : JSON.stringify(rule.access);
  return `expected letters of ${LETTERS}, got ${got}`;
}
