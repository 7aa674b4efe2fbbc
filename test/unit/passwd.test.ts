import { expect, test } from "bun:test";
import { findRow, homeInPasswd, rowsWith } from "../../src/linux/file/passwd";

const PASSWD =
  "#root:x:7::::\nroot:x:0:0:me, root:/root:/bin/sh\n\nuser:x:0100:100::/tmp\nroots:x:1000:0::/a:b:c";

test("rows with a word, each once, without comments", () => {
  expect([...rowsWith(PASSWD, "root")].map(([name]) => name)).toEqual(["root", "roots"]);
  expect([...rowsWith(PASSWD, "0:0")].map(([name]) => name)).toEqual(["root", "roots"]);
  expect([...rowsWith("", "root")]).toEqual([]);
});

test("a row by one of its fields", () => {
  expect(findRow(PASSWD, "user", ([name]) => name === "user")?.[2]).toBe("0100");
  expect(findRow(PASSWD, "100", (row) => Number(row[2]) === 100)?.[0]).toBe("user");
  expect(findRow(PASSWD, "use", ([name]) => name === "use")).toBeUndefined();
});

test("homes", () => {
  expect([0, 1000, 7, 5].map((uid) => homeInPasswd(PASSWD, uid))).toEqual(["/root", "/a", "/", "/"]);
});
