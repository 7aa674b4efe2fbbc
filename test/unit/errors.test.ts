import { describe, expect, test } from "bun:test";
import { statSync } from "node:fs";
import { asHakoError, during, HakoError } from "../../src/base/errors";
import { UndoStack } from "../../src/base/undo";
import { systemError } from "../../src/linux/call/syscall";

describe("HakoError", () => {
  test("one line: what, why, what to try", () => {
    const cause = new HakoError({ code: "system", message: "mount /x:\n no", hint: "be root" });
    const error = new HakoError({ code: "config", message: "config /mounts/0", cause, hint: "remove it" });
    expect(error.oneLine).toBe("config /mounts/0: mount /x: no (remove it; be root)");
  });

  test("words of an image's are no orders for a terminal", () => {
    const error = new HakoError({
      code: "system",
      message: "no /bin/\x1b]0;owned\x07\u009b2J",
      hint: "\r\ttry",
    });
    expect(error.oneLine).toBe("no /bin/\\x1b]0;owned\\x07\\x9b2J (\\x0d\ttry)");
  });

  test("bytes that are no text are shown as such, also in quotes", () => {
    const message = `a\udcffb ${JSON.stringify("c\udc80\u00e9")} ${JSON.stringify("\\udcff")} \u{1f480}`;
    expect(new HakoError({ code: "usage", message }).oneLine).toBe(
      'a\\xffb "c\\x80\u00e9" "\\\\udcff" \u{1f480}',
    );
  });

  test("what is longer than any path is not repeated", () => {
    const line = (message: string) => new HakoError({ code: "usage", message, hint: "try it" }).oneLine;
    expect(line(`state ${"x".repeat(100_000)}: no`)).toMatch(
      /^state x{200,}\.\.\.\(\d+ more\)\.\.\.x+: no \(try it\)$/,
    );
    expect(line(`state ${"x".repeat(100_000)}: no`).length).toBeLessThan(500);
    expect(line("x y ".repeat(25_000)).length).toBeLessThan(9000);
    const path = `/${"x".repeat(4094)}`;
    expect(line(`stat ${path}`)).toContain(path);
  });

  test("of a system call", () => {
    const error = systemError("openat2", "ENOENT", "/x");
    expect(error.oneLine).toBe("openat2 /x: no such file or directory");
    expect(error).toMatchObject({ syscall: "openat2", errno: "ENOENT", path: "/x", code: "system" });
  });

  test("errors of others", () => {
    let thrown: unknown;
    try {
      statSync("/no/such/path");
    } catch (error) {
      thrown = error;
    }
    expect(asHakoError(thrown).oneLine).toBe("stat /no/such/path: no such file or directory");
    expect(asHakoError(thrown).errno).toBe("ENOENT");
    expect(asHakoError("words").oneLine).toBe("words");
  });

  test("during keeps the kind of failure", () => {
    const fail = () =>
      during("do it", () => {
        throw systemError("mount", "EPERM");
      });
    expect(fail).toThrow(HakoError);
    try {
      fail();
    } catch (error) {
      expect((error as HakoError).errno).toBe("EPERM");
      expect((error as HakoError).oneLine).toBe("do it: mount: operation not permitted");
    }
  });
});

describe("UndoStack", () => {
  test("undoes in reverse order, all of it, and tells what it can't", () => {
    const done: string[] = [];
    const errors: string[] = [];
    {
      using undo = new UndoStack((error) => errors.push(error.oneLine));
      undo.defer("first", () => done.push("first"));
      undo.defer("second", () => {
        throw new Error("stuck");
      });
      undo.defer("third", () => done.push("third"));
    }
    expect(done).toEqual(["third", "first"]);
    expect(errors).toEqual(["cannot undo second: stuck"]);
  });

  test("nothing after commit", () => {
    let undone = false;
    {
      using undo = new UndoStack(() => {});
      undo.defer("it", () => {
        undone = true;
      });
      undo.commit();
    }
    expect(undone).toBe(false);
  });
});

test("an error with other parts keeps the rest, message and cause too", () => {
  const cause = new Error("no such file or directory");
  const error = new HakoError({ code: "system", message: "open /x", cause, errno: "ENOENT", path: "/x" });
  const hinted = error.with({ hint: "make it" });
  expect(hinted.oneLine).toBe("open /x: no such file or directory (make it)");
  expect([hinted.code, hinted.errno, hinted.path, hinted.cause]).toEqual(["system", "ENOENT", "/x", cause]);
  expect(hinted.with({ message: "stat /x" }).reason).toBe("stat /x: no such file or directory");
  expect(error.hint).toBeUndefined();
});
