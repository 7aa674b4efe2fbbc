// `hako run --rootfs DIR`: the places that a container's mounts need don't stay behind in a directory.
import { describe, expect } from "bun:test";
import {
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { Home, NEEDS } from "./rootless-home";
import { Box, busyboxRootfs, e2e, execute, executeLater, HAKO, needsHako, until } from "./support";

/** A root file system that lacks dev, proc and sys. */
function bareRootfs(directory: string): string {
  busyboxRootfs(directory);
  execute("sh", ["-c", `cd ${directory} && rmdir dev proc sys 2>/dev/null; true`]);
  return directory;
}

/** Everything that is there, by its path. */
function tree(directory: string): string[] {
  return execute("find", [directory]).stdout.split("\n").sort();
}

describe("mount points in a directory", () => {
  e2e("go with the container: dev, proc, sys, and targets of -v, with those above them", () => {
    using box = new Box();
    const root = bareRootfs(box.path("root"));
    const before = tree(root);
    expect(before).not.toContain(`${root}/proc`);
    writeFileSync(box.path("file"), "x");
    mkdirSync(box.path("directory"));
    const volumes = [
      "-v",
      `${box.path("file")}:/opt/deep/file`,
      "-v",
      `${box.path("directory")}:/new/directory`,
    ];
    const words = ["--rootfs", root, ...volumes, "--tmpfs", "/scratch", "--"];
    const seen = box.hako(
      "run",
      ...words,
      "sh",
      "-c",
      "cat /opt/deep/file; ls -d /new/directory /scratch /proc/self/status",
    );
    expect(seen).toMatchObject({
      status: 0,
      stdout: "x/new/directory\n/proc/self/status\n/scratch\n",
      stderr: "",
    });
    expect(tree(root)).toEqual(before);
    // what the program itself writes stays
    expect(box.hako("run", ...words, "touch", "/new/mine").status).toBe(0);
    expect(tree(root)).toEqual([...before, `${root}/new`, `${root}/new/mine`].sort());
  }, [needsHako]);

  e2e("nor do they stay when a run fails", () => {
    using box = new Box();
    const root = bareRootfs(box.path("root"));
    const before = tree(root);
    writeFileSync(box.path("file"), "x");
    const failing = [
      ["--", "no-such-program"],
      ["--memory", "1", "--", "true"],
      ["-v", `${box.path("file")}:/etc`, "--", "true"],
      ["-v", `${box.path("file")}:/etc/passwd/below`, "--", "true"],
    ];
    for (const words of failing) {
      expect(box.hako("run", "--rootfs", root, ...words).status).not.toBe(0);
      expect(tree(root)).toEqual(before);
    }
  }, [needsHako]);

  e2e("of the user's nothing goes: what was there before, and what came in meanwhile", () => {
    using box = new Box();
    const root = bareRootfs(box.path("root"));
    for (const name of ["proc", "mine"]) mkdirSync(`${root}/${name}`);
    writeFileSync(`${root}/empty`, "");
    writeFileSync(box.path("file"), "x");
    const id = box.id();
    const file = box.path("file");
    const volumes = ["-v", `${box.dir}:/mine`, "-v", `${file}:/empty`, "-v", `${file}:/new`];
    box.ok("run", "-d", "--rootfs", root, ...volumes, id, "--", "sleep", "60");
    writeFileSync(`${root}/sys/note`, "written by the user");
    writeFileSync(`${root}/new`, "this too");
    box.ok("delete", "--force", id);
    expect(readdirSync(root)).toContain("proc");
    expect(readdirSync(root)).toContain("mine");
    expect(readFileSync(`${root}/empty`, "utf8")).toBe("");
    expect(readdirSync(`${root}/sys`)).toEqual(["note"]);
    expect(readFileSync(`${root}/new`, "utf8")).toBe("this too");
    expect(statSync(`${root}/new`).mode & 0o7777).toBe(0o644);
    expect(existsSync(`${root}/dev`)).toBe(false);
    // they are the user's from now on, also when they are empty again
    execute("rm", [`${root}/sys/note`]);
    expect(box.hako("run", "--rootfs", root, "--", "true").status).toBe(0);
    expect(existsSync(`${root}/sys`)).toBe(true);
  }, [needsHako]);

  e2e("of several containers of one directory none loses its mounts, and the last one removes them", async () => {
    using box = new Box();
    const root = bareRootfs(box.path("root"));
    const before = tree(root);
    writeFileSync(box.path("file"), "x");
    const first = box.id();
    box.ok(
      "run",
      "-d",
      "--rootfs",
      root,
      "-v",
      `${box.path("file")}:/only/first`,
      first,
      "--",
      "sleep",
      "60",
    );
    const second = box.id();
    box.ok("run", "-d", "--rootfs", root, second, "--", "sleep", "60");
    box.ok("delete", "--force", first);
    expect(box.ok("exec", second, "ls", "/proc/self/status", "/dev/null").stdout).toContain(
      "/proc/self/status",
    );
    box.ok("delete", "--force", second);
    expect(tree(root)).toEqual(before);
    const line = "for i in 1 2 3 4 5 6 7 8 9 10; do cat /proc/self/stat > /dev/null || exit 9; done";
    const words = ["--root", box.root, "run", "--rootfs", root, "--", "sh", "-c", line];
    const all = await Promise.all(Array.from({ length: 24 }, () => executeLater(HAKO, words)));
    for (const result of all) expect(result).toMatchObject({ status: 0, stderr: "" });
    expect(tree(root)).toEqual(before);
  }, [needsHako]);

  e2e("a killed hako's go with delete, or with the next run", async () => {
    using box = new Box();
    const root = bareRootfs(box.path("root"));
    const before = tree(root);
    for (let time = 0; time < 8; time++) {
      const words = ["--root", box.root, "run", "--rootfs", root, "--name", box.id(), "--", "sleep", "1"];
      expect((await executeLater(HAKO, words, 15 + 10 * time)).signal).toBe("SIGKILL");
    }
    await until("they have ended", () => !box.ok("list").stdout.includes("running"));
    expect(box.hako("run", "--rootfs", root, "--", "true")).toMatchObject({ status: 0, stderr: "" });
    expect(tree(root)).toEqual(before);
  }, [needsHako]);

  e2e("a program that exchanges directories for links has nothing removed elsewhere", () => {
    using box = new Box();
    const root = bareRootfs(box.path("root"));
    mkdirSync(box.path("victim/target"), { recursive: true });
    const line = `mv /a /b; ln -s ${box.path("victim")} /a; ln -s /../../../..${box.path("victim")} /c; touch /x`;
    const words = ["run", "--rootfs", root, "-v", `${box.dir}:/a/target`, "--cap-add", "SYS_ADMIN", "--"];
    expect(box.hako(...words, "sh", "-c", `umount /a/target; ${line}`).status).toBe(0);
    expect(existsSync(box.path("victim/target"))).toBe(true);
    expect(existsSync(`${root}/x`)).toBe(true);
    expect(existsSync(`${root}/proc`)).toBe(false);
  }, [needsHako]);

  e2e(
    "an ordinary user's run leaves those that root's container of the same directory uses",
    () => {
      using home = new Home();
      const { box } = home;
      const root = bareRootfs(box.path("root"));
      execute("chown", ["-R", "12345:12345", root]);
      const before = tree(root);
      const id = box.id();
      box.ok("run", "-d", "--rootfs", root, id, "--", "sleep", "60");
      expect(home.hako("run", "--rootfs", root, "--", "true")).toMatchObject({ status: 0, stderr: "" });
      expect(box.ok("exec", id, "ls", "/proc/self/status", "/dev/null").stdout).toContain(
        "/proc/self/status",
      );
      box.ok("delete", "--force", id);
      expect(tree(root)).toEqual(before);
    },
    NEEDS,
  );

  e2e(
    "as an ordinary user",
    () => {
      using home = new Home();
      const root = bareRootfs(home.box.path("root"));
      execute("chown", ["-R", "12345:12345", root]);
      chownSync(root, 12_345, 12_345);
      const before = tree(root);
      expect(home.hako("run", "--rootfs", root, "--", "ls", "/proc/self/status")).toMatchObject({
        status: 0,
        stdout: "/proc/self/status\n",
      });
      expect(tree(root)).toEqual(before);
    },
    NEEDS,
  );
});
