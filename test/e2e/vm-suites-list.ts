// vm-suites.txt: what end-to-end tests come to with containers in machines.

/** What the list says of a test, or of all tests of a file. */
export interface Listed {
  /** Of test/e2e/FILE.test.ts. */
  file: string;
  /** With the names of its groups, as `bun test` prints it; "*" is all of the file. */
  name: string;
  /** "sample": it passes, and is one of those that are run each time; of "*", "run". Otherwise why it fails. */
  says: string;
}

export const SAMPLE = "sample";
const ALL = "*";
const BETWEEN = " | ";

/** Lines "FILE | TEST | WHY"; those that begin with "#" are comments. */
export function parseList(text: string): Listed[] {
  return text
    .split("\n")
    .filter((line) => line.trim() !== "" && !line.startsWith("#"))
    .map((line) => {
      const [file = "", ...rest] = line.split(BETWEEN);
      const says = rest.pop() ?? "";
      const name = rest.join(BETWEEN);
      if (file === "" || name === "" || says.trim() === "")
        throw new Error(`no "FILE | TEST | WHY": ${line}`);
      return { file, name, says };
    });
}

/** The files whose tests are run, all of them; what fails of these is listed. */
export function wholeFiles(list: readonly Listed[]): string[] {
  return list.filter(({ name }) => name === ALL).map(({ file }) => file);
}

/** What `bun test` told of its tests: "pass", "fail" or "skip" by their names. */
export function resultsOf(output: string): Map<string, string> {
  const results = new Map<string, string>();
  for (const line of output.split("\n")) {
    const [, result = "", name = ""] = /^\((pass|fail|skip)\) (.*?)(?: \[[\d.]+m?s\])?\r*$/.exec(line) ?? [];
    if (name !== "") results.set(name, result);
  }
  return results;
}

/**
 * What of a file's tests is not as the list says, as lines for people. `all` says whether every test of the file was to run: one of the list that
 * there is not is wrong then.
 */
export function compare(
  list: readonly Listed[],
  file: string,
  results: ReadonlyMap<string, string>,
  all: boolean,
): string[] {
  const wrong: string[] = [];
  const ofFile = list.filter((each) => each.file === file && each.name !== ALL);
  const listed = new Map(ofFile.map(({ name, says }) => [name, says]));
  for (const [name, result] of results) {
    const says = listed.get(name);
    const mayFail = says !== undefined && says !== SAMPLE;
    if (result === "fail" && !mayFail) wrong.push(`${file}: ${name}: fails`);
    if (result === "pass" && mayFail) wrong.push(`${file}: ${name}: passes, and is listed: ${says}`);
  }
  for (const [name, says] of listed)
    if (!results.has(name) && (all || says === SAMPLE))
      wrong.push(`${file}: ${name}: is listed, and there is no such test`);
  return wrong;
}

/** A pattern for `bun test -t` that these names have, and no others of their files: groups and tests are joined by spaces there. */
export function patternOf(names: readonly string[]): string {
  const exact = names.map((name) => name.replaceAll(" > ", " ").replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  return `^ ?(${exact.join("|")})$`;
}
