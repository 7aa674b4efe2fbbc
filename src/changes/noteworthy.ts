import { ACTING_FILES, type ActingFiles, wordsOf } from "./acting-files";

/** Made by the first path that is looked at. */
let expressions: readonly (readonly [RegExp, string])[] | undefined;

/** Who acts on a file at a path without being asked to; undefined if nobody is known. */
export function actsOn(path: string): string | undefined {
  expressions ??= ACTING_FILES.map((files) => [expressionOf(files), files.who]);
  return expressions.find(([pattern]) => pattern.test(path))?.[1];
}

function expressionOf({ paths, itself }: ActingFiles): RegExp {
  const all = wordsOf(paths).map((path) => `${/^[{]?[/]/.test(path) ? "^" : "/"}${sourceOf(path)}`);
  return new RegExp(`(?:${all.join("|")})${itself ? "$" : "(?:/|$)"}`, "s");
}

/** A path of the table as a regular expression. */
function sourceOf(path: string): string {
  return path.replaceAll(/\*\*\/|[*{},.+^$()|\\]/g, (sign) => {
    if (sign === "**/") return "(?:.*/)?";
    if (sign === "*") return "[^/]*";
    if (sign === "{") return "(?:";
    if (sign === "}") return ")";
    if (sign === ",") return "|";
    return `\\${sign}`;
  });
}

/** Whether a package.json is only different in what no package manager executes. */
export function hasSameScripts(one: string, other: string): boolean {
  return scriptsOf(one) === scriptsOf(other) && scriptsOf(one) !== undefined;
}

function scriptsOf(text: string): string | undefined {
  try {
    const { scripts, bin, main, exports, workspaces, dependencies, devDependencies, ...rest } = JSON.parse(
      text,
    ) as Record<string, unknown>;
    const { optionalDependencies, overrides, "lint-staged": staged, husky, "simple-git-hooks": hooks } = rest;
    const executed = [scripts, bin, main, exports, workspaces, dependencies, devDependencies];
    return JSON.stringify([...executed, optionalDependencies, overrides, staged, husky, hooks]);
  } catch {
    return undefined;
  }
}
