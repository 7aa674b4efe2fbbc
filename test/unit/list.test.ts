import { describe, expect, test } from "bun:test";
import { asHakoError } from "../../src/base/errors";
import { orderBy } from "../../src/commands/flags/listing";
import { filterOf as filterBy } from "../../src/container/filters";
import type { Listed } from "../../src/container/list";
import { CONTAINER_FILTERS } from "../../src/container/list-filters";
import { parseTemplate } from "../../src/output/template";

const filterOf = (words: string[]) => filterBy(words, CONTAINER_FILTERS);

const LISTED = {
  ...{ ociVersion: "1.3.0", id: "web", pid: 0, status: "stopped", bundle: "/b", rootfs: "/b/rootfs" },
  ...{
    created: "2020-01-01T00:00:00Z",
    annotations: { role: "web", empty: "" },
    owner: "root",
    sandbox: "pod",
  },
  ...{ exitCode: 3, signal: null, oomKilled: false, finished: null },
} as unknown as Listed;

function hintOf(action: () => unknown): string | undefined {
  try {
    action();
  } catch (error) {
    return asHakoError(error).hint;
  }
  return undefined;
}

describe("orders", () => {
  const rows = [{ id: "b", pid: 10 }, { id: "c" }, { id: "a", pid: 9, exitCode: null }];
  const sorted = (field: string) =>
    rows.toSorted(orderBy(field, ["id", "pid", "exitCode"])).map(({ id }) => id);
  test("numbers as numbers, nothing last, equals as they were", () => {
    expect(sorted("id")).toEqual(["a", "b", "c"]);
    expect(sorted("PID")).toEqual(["a", "b", "c"]);
    expect(sorted("exitcode")).toEqual(["b", "c", "a"]);
  });
  test("by what is no field", () => {
    expect(hintOf(() => sorted("pdi"))).toBe("did you mean pid?");
    expect(hintOf(() => sorted("colour"))).toBe("id, pid, exitCode");
  });
});

describe("filters", () => {
  const fits = (...words: string[]) => filterOf(words)(LISTED);
  test("of one key any, of several keys all", () => {
    expect(fits()).toBe(true);
    for (const word of [
      "id=^we",
      "name=eb$",
      "status=stopped",
      "pod=pod",
      "exited=3",
      "oom=false",
      "owner=root",
    ])
      expect([word, fits(word)]).toEqual([word, true]);
    for (const word of ["annotation=role", "label=role=web", "annotation=empty=", "bundle=/b"])
      expect([word, fits(word)]).toEqual([word, true]);
    for (const word of [
      "id=^eb",
      "status=running",
      "exited=0",
      "oom=true",
      "annotation=toString",
      "label=role=",
    ])
      expect([word, fits(word)]).toEqual([word, false]);
    expect([fits("exited=0", "exited=3"), fits("exited=3", "status=running")]).toEqual([true, false]);
  });

  test("what can't fit anything is refused", () => {
    for (const word of ["", "id", "colour=red", "toString=1", "status=", "exited=x", "oom=1", "id=["])
      expect(() => filterOf([word])).toThrow("--filter");
    expect(hintOf(() => filterOf(["statuss=stopped"]))).toContain("status perhaps");
  });
});

describe("templates", () => {
  const FIELDS = ["id", "status", "annotations", "exitCode", "signal"];
  const line = (text: string) =>
    parseTemplate(text, FIELDS)
      .cells(LISTED as never)
      .join("|");

  test("fields, their JSON, one key of one, and what is between", () => {
    expect(line("{{.ID}} {{ .exitcode }}%")).toBe("web 3%");
    expect(line("{{json .Annotations}}{{json .signal}}")).toBe('{"role":"web","empty":""}null');
    expect(line('<{{index .Annotations "role"}}{{index .Annotations "none"}}{{.Signal}}>')).toBe("<web>");
    expect(line("a\\tb\\nc")).toBe("a\tb\nc");
    expect(JSON.parse(line("{{json .}}"))).toEqual(LISTED);
  });

  test("a table has a column for each part between tabs", () => {
    const { header, cells } = parseTemplate("table {{.ID}}\\t{{.Status}}: {{.ExitCode}}", FIELDS);
    expect([header, cells(LISTED as never)]).toEqual([
      ["ID", "STATUS EXITCODE"],
      ["web", "stopped: 3"],
    ]);
  });

  test("what it doesn't know is refused", () => {
    for (const text of ["{{.Nam}}", "{{range .}}", "{{.ID", "}}", "{{.}}", "{{}}", "{{.ID | upper}}"])
      expect([text, () => line(text)][1]).toThrow("--format");
    expect(hintOf(() => line("{{.Statu}}"))).toBe("did you mean .status?");
  });
});
