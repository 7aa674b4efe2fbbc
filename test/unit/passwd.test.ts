import { expect, test } from "bun:test";
import { findRow, findRowWith, homeInPasswd } from "../../src/linux/file/passwd";

const PASSWD =
  "#root:x:7::::\nroot:x:0:0:me, root:/root:/bin/sh\n\nuser:x:0100:100::/tmp\nroots:x:1000:0::/a:b:c";

test("rows with a word, each once, without comments", () => {
  const namesWith = (text: string, word: string) => {
    const names: (string | undefined)[] = [];
    findRowWith(text, word, ([name]) => names.push(name) < 0);
    return names;
  };
  expect(namesWith(PASSWD, "root")).toEqual(["root", "roots"]);
  expect(namesWith(PASSWD, "0:0")).toEqual(["root", "roots"]);
  expect(namesWith("", "root")).toEqual([]);
});

test("a row by one of its fields", () => {
  expect(findRow(PASSWD, "user", ([name]) => name === "user")?.[2]).toBe("0100");
  expect(findRow(PASSWD, "100", (row) => Number(row[2]) === 100)?.[0]).toBe("user");
  expect(findRow(PASSWD, "use", ([name]) => name === "use")).toBeUndefined();
});

test("homes", () => {
  expect([0, 1000, 7, 5].map((uid) => homeInPasswd(PASSWD, uid))).toEqual(["/root", "/a", "/", "/"]);
});
