import { describe, expect, test } from "bun:test";
import { compare, parseList, patternOf, resultsOf, wholeFiles } from "../e2e/vm-suites-list";

const LIST = parseList(`# a comment
exec | group > one (a|b) | sample
exec | two | the host's pid
exec | a | b | why
exec | * | run
`);

describe("the list of what holds for machines", () => {
  test("has a file, a test, and what it says; a test's name may have the mark between them", () => {
    expect(LIST.map(({ name }) => name)).toEqual(["group > one (a|b)", "two", "a | b", "*"]);
    expect(wholeFiles(LIST)).toEqual(["exec"]);
    expect(() => parseList("exec | two")).toThrow('no "FILE | TEST | WHY"');
    expect(() => parseList("exec | two |  ")).toThrow('no "FILE | TEST | WHY"');
  });

  test("is compared with what tests came to", () => {
    const results = resultsOf(
      "(pass) group > one (a|b) [12.50ms]\n(fail) two [1ms]\n(fail) a | b\r\n(skip) new\n",
    );
    expect(compare(LIST, "exec", results, true)).toEqual([]);
    const others = resultsOf("(fail) group > one (a|b) [1ms]\n(pass) two [1.5ms]\n(fail) new [1ms]\n");
    expect(compare(LIST, "exec", others, true)).toEqual([
      "exec: group > one (a|b): fails",
      "exec: two: passes, and is listed: the host's pid",
      "exec: new: fails",
      "exec: a | b: is listed, and there is no such test",
    ]);
    // of a sample only what is in it has to be there
    expect(compare(LIST, "exec", resultsOf("(pass) group > one (a|b)\n"), false)).toEqual([]);
    expect(compare(LIST, "exec", new Map(), false)).toHaveLength(1);
  });

  test("has patterns that these tests have alone", () => {
    const pattern = new RegExp(patternOf(["group > one (a|b)", "two"]));
    expect(
      ["group one (a|b)", " two", "two", "two more", "one (a|b)"].map((name) => pattern.test(name)),
    ).toEqual([true, true, true, false, false]);
  });
});
