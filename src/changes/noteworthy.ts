import { ACTING_FILES, type ActingFiles, wordsOf } from "./acting-files";

/** Made by the first path that is looked at. */
let tests: readonly (readonly [(path: string) => boolean, string])[] | undefined;

/** Who acts on a file at a path without being asked to; undefined if nobody is known. */
export function actsOn(path: string): string | undefined {
  tests ??= ACTING_FILES.map((files) => [testOf(files), files.who]);
  return tests.find(([isOne]) => isOne(path))?.[1];
}

const DIRECTORIES = "**/";

/** In a time that grows with the path's length, whatever its author has thought of: what two stars stand for begins at the first place that it can. */
function testOf({ paths, itself, outside }: ActingFiles): (path: string) => boolean {
  const words = wordsOf(paths);
  const end = itself ? "$" : "(?:/|$)";
  const whole = expressionOf(
    words.filter((word) => !word.includes(DIRECTORIES)),
    end,
  );
  const parts = words
    .filter((word) => word.includes(DIRECTORIES))
    .map((word) => word.split(DIRECTORIES))
    .map(([above = "", below = ""]) => [expressionOf([above], ""), expressionOf([below], end)] as const);
  const isOne = (path: string) =>
    whole.test(path) ||
    parts.some(([above, below]) => {
      const first = above.exec(path);
      return first !== null && below.test(path.slice(first.index + first[0].length - 1));
    });
  return outside === undefined ? isOne : (path) => !path.includes(`/${outside}/`) && isOne(path);
}

function expressionOf(words: readonly string[], end: string): RegExp {
  const all = words.map((path) => `${/^[{]?[/]/.test(path) ? "^" : "/"}${sourceOf(path)}`);
  return new RegExp(`(?:${all.join("|")})${end}`, "s");
}

/** A path of the table as a regular expression. */
function sourceOf(path: string): string {
  return path.replaceAll(/[*{},.+^$()|\\]/g, (sign) => {
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
