// Tables for people: runc's layout, and what becomes of it on a narrow terminal.
import { describe, expect, test } from "bun:test";
import { tableText, wrapped } from "../../src/output/table";

const HEADER = ["ID", "PID", "STATUS", "BUNDLE", "OWNER"];
const LONG_ID = "3f2a9c1b04de".repeat(5);
const ROWS = [
  [LONG_ID, "4711", "running", "/var/lib/containers/storage/overlay-containers/x/userdata", "root"],
  ["web", "0", "stopped", "/bundles/web", "root"],
];

function widest(text: string): number {
  return Math.max(...text.split("\n").map((line) => Bun.stringWidth(line)));
}

describe("a table", () => {
  test("without a width has runc's layout, and cuts nothing", () => {
    const [header, first, second] = tableText(HEADER, ROWS).split("\n");
    expect(tableText(["ID", "PID"], [["a", "1"]])).toBe("ID          PID\na           1\n");
    for (const cell of ROWS[0] ?? []) expect(first).toContain(cell);
    expect(header?.indexOf("PID")).toBe(LONG_ID.length + 3);
    expect(second?.indexOf("stopped")).toBe(header?.indexOf("STATUS") ?? 0);
  });

  test("ends no line with blanks", () => {
    expect(
      tableText(
        ["NAME", "VALUE"],
        [
          ["a", ""],
          ["b", "c"],
        ],
      ),
    ).not.toMatch(/ $/m);
  });

  test("that fits is as without a width", () => {
    const natural = tableText(HEADER, ROWS);
    expect(tableText(HEADER, ROWS, widest(natural))).toBe(natural);
    // a column less, and the space between columns gets smaller before anything is cut
    const closer = tableText(HEADER, ROWS, widest(natural) - 1);
    expect(closer.replaceAll(/ +/g, " ")).toBe(natural.replaceAll(/ +/g, " "));
  });

  test("shortens the named columns, in their order, to a line for each row", () => {
    for (const width of [130, 100, 80, 60]) {
      const text = tableText(HEADER, ROWS, width, { BUNDLE: "middle", ID: "end" });
      expect(text.split("\n")).toHaveLength(4);
      expect(widest(text)).toBeLessThanOrEqual(width);
      expect(text).toContain("running");
    }
    const [, first, second] = tableText(HEADER, ROWS, 80, { BUNDLE: "middle", ID: "end" }).split("\n");
    expect(first).toMatch(/^3f2a9c1b04de3\w+… {2}4711 {2}running {2}\/var\/l…rdata {2}root$/);
    expect(second).toMatch(/^web +0 +stopped +\/bundles\/web +root$/);
    // as long as the bundle's path is enough, the id stays whole
    expect(tableText(HEADER, ROWS, 110, { BUNDLE: "middle", ID: "end" })).toContain(`${LONG_ID}  `);
  });

  test("breaks the widest of the others into lines, in their columns, between words", () => {
    const rows = [["systemd", "absent", "it can't be reached: no such file or directory (is it running?)"]];
    expect(tableText(["CHECK", "VERDICT", "FOUND"], rows, 48)).toBe(
      [
        "CHECK    VERDICT  FOUND",
        "systemd  absent   it can't be reached: no such",
        "                  file or directory (is it",
        "                  running?)",
        "",
      ].join("\n"),
    );
    const both = tableText(["CONTAINER", "SANDBOX"], [[LONG_ID, LONG_ID]], 80);
    expect(widest(both)).toBeLessThanOrEqual(80);
    expect(both.replaceAll(/\s/g, "").length).toBe("CONTAINERSANDBOX".length + 2 * LONG_ID.length);
  });

  test("on a terminal that is too narrow for anything still has all of it", () => {
    const text = tableText(["A", "B"], [["x".repeat(20), "y".repeat(20)]], 1);
    expect(text.match(/x/g)).toHaveLength(20);
    expect(text.match(/y/g)).toHaveLength(20);
  });

  test("counts columns of the terminal, not characters; shows no control character", () => {
    const text = tableText(
      ["ID", "BUNDLE"],
      [
        ["a", "/日本語/日本語/日本語"],
        ["b", "/x\u001b[2J"],
      ],
      20,
      {
        BUNDLE: "middle",
      },
    );
    expect(widest(text)).toBeLessThanOrEqual(20);
    expect(text).toContain("…");
    expect(text).not.toContain("\u001b");
  });
});

test("lines are broken between words, and in words that are too long", () => {
  expect(wrapped("one two three", 80)).toEqual(["one two three"]);
  expect(wrapped("one two three", 8)).toEqual(["one two", "three"]);
  expect(wrapped("/var/lib/containers", 8)).toEqual(["/var/lib", "/contain", "ers"]);
});
