// Where the caller has hako keep its state, and what it is told: who may lead it elsewhere, what is left of others.
import { describe, expect } from "bun:test";
import { chmodSync, chownSync, existsSync, lchownSync, mkdirSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { Box, e2e, execute, HAKO, needsHako, SLEEP } from "./support";

describe("the way to the state directory", () => {
  const list = (root: string) => execute(HAKO, ["--root", root, "list", "-q"]);

  e2e("is its user's and root's, as sudo's and sshd's files are", () => {
    using box = new Box();
    const make = (name: string, mode: number, uid = 0) => {
      const path = box.path(name);
      mkdirSync(path);
      chmodSync(path, mode);
      chownSync(path, uid, 0);
      return path;
    };
    const [own, open, group, sticky, other] = [
      make("own", 0o755),
      make("open", 0o777),
      make("group", 0o775),
      make("sticky", 0o1777),
      make("other", 0o755, 4711),
    ];
    mkdirSync(join(other, "in"));
    const link = (name: string, target: string, uid = 0) => {
      symlinkSync(target, box.path(name));
      lchownSync(box.path(name), uid, 0);
      return box.path(name);
    };
    const refused: [string, string][] = [
      [join(other, "in"), "other belongs to user 4711"],
      [join(other, "new/new"), "other belongs to user 4711"],
      [join(open, "new"), "open is writable for others"],
      [join(link("to-other", join(other, "in")), "new"), "other belongs to user 4711"],
      [link("straight-to-other", join(other, "in")), "other belongs to user 4711"],
      [join(link("others-link", own, 4711), "new"), "others-link belongs to user 4711"],
      [link("others-straight-link", own, 4711), "others-straight-link belongs to user 4711"],
    ];
    for (const [root, why] of refused) {
      const { status, stderr } = list(root);
      expect([root, status, stderr]).toEqual([root, 1, expect.stringContaining(`${why}, and would decide`)]);
    }
    const make1 = execute(HAKO, [
      "--root",
      join(other, "new"),
      "create",
      "--bundle",
      box.bundle(SLEEP),
      box.id(),
    ]);
    expect([make1.status, make1.stderr]).toEqual([1, expect.stringContaining("belongs to user 4711")]);
    expect(existsSync(join(other, "new"))).toBe(false);
    for (const root of [
      own,
      join(own, "new/new"),
      join(sticky, "new"),
      join(group, "new"),
      link("to-own", own),
    ])
      expect([root, list(root)]).toMatchObject([root, { status: 0, stderr: "" }]);
  }, [needsHako]);

  e2e("ends at a directory", () => {
    using box = new Box();
    const bundle = box.bundle(SLEEP);
    const commands = [
      ["list"],
      ["state", "x"],
      ["create", "--bundle", bundle, "x"],
      ["delete", "--force", "x"],
      ["exec", "x", "true"],
    ];
    for (const words of commands) {
      const { status, stderr } = execute(HAKO, ["--root", "/dev/null", ...words]);
      expect([words, status === 0, stderr]).toEqual([
        words,
        false,
        "hako: --root /dev/null: it is not a directory\n",
      ]);
    }
  }, [needsHako]);
});

describe("what a create has left that was killed at once", () => {
  e2e("is told by list and create, with what removes it", () => {
    using box = new Box();
    const [left, id] = [box.id(), box.started()];
    mkdirSync(join(box.root, left));
    const remedy = `hako delete --force ${left} removes what is left of it`;
    const create = box.hako("create", "--bundle", box.bundle(SLEEP), left);
    expect(create.status).toBe(1);
    expect(create.stderr).toContain(`container id "${left}" already exists (it has no record: ${remedy})`);
    const list = box.ok("list", "-q");
    expect(list.stdout).toBe(`${id}\n`);
    expect(list.stderr).toContain(`container "${left}" has no record: ${remedy}`);
    box.ok("delete", "--force", left);
    expect(box.ok("list", "-q").stderr).toBe("");
    // one of another's is not told
    mkdirSync(join(box.root, box.id(), "something"), { recursive: true });
    expect(box.ok("list", "-q").stderr).toBe("");
    const taken = box.hako("create", "--bundle", box.bundle(SLEEP), id);
    expect(taken.stderr).toContain(
      `container id "${id}" already exists (choose another, or hako delete ${id} when it has ended)`,
    );
  }, [needsHako]);
});

describe("operands that are long", () => {
  e2e("are not repeated whole, and not compared with all that is known", () => {
    const long = "x".repeat(100_000);
    const commands = [
      [long],
      [`--${long}`],
      ["state", long],
      ["run", `--${long}`],
      ["run", "--rootfs", `/${long}`, "a", "--", "true"],
      ["kill", "x", long],
      ["create", "--bundle", long, "x"],
      ["netns", "exec", "/proc/self/ns/net", long],
      ["--root", `/${long}`, "list"],
      ["--log", `/${long}`, "list"],
    ];
    for (const words of commands) {
      const before = performance.now();
      const { status, stderr } = execute(HAKO, words);
      expect([words[0]?.slice(0, 20), status === 0]).toEqual([words[0]?.slice(0, 20), false]);
      expect(stderr.length).toBeLessThan(1500);
      expect(stderr).toMatch(/xxx\.\.\.\(\d+ more\)\.\.\.xxx/);
      expect(performance.now() - before).toBeLessThan(3000);
    }
  }, [needsHako]);
});
