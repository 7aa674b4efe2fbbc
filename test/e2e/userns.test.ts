// `hako run --rootfs --userns`: whose ids a program has.
import { describe, expect } from "bun:test";
import { mkdirSync, readdirSync, readFileSync, readlinkSync, statSync, writeFileSync } from "node:fs";
import { needsMappedOwners } from "./filesystems";
import { busyboxEntries, dockerArchive, tarOf } from "./image-archives";
import { Home, NEEDS, NEEDS_MAPS, SUBORDINATE, USER } from "./rootless-home";
import { Box, busyboxRootfs, e2e, execute, HAKO, needsHako, needsProgram, until } from "./support";

const AUTO = ["--userns", "auto"];
const needsTmp = [needsHako, needsMappedOwners("/tmp")];
const needsHost = [needsHako, needsMappedOwners("/")];

/** The first id on the host, and how many, of a container's map. */
function mapOf(text: string): number[] {
  return text.trim().split(/\s+/).map(Number);
}

/** Mounts `text` over /etc/subuid and /etc/subgid for the command that follows. */
function withSubordinate(box: Box, text: string): string[] {
  writeFileSync(box.path("subids"), text);
  const line = `for f in subuid subgid; do touch /etc/$f; mount --bind ${box.path("subids")} /etc/$f; done; exec "$@"`;
  return ["--mount", "sh", "-c", line, "sh"];
}

describe("--userns auto of root", () => {
  e2e(
    "ids of its own; files of the directory and of -v have their owners, and new ones are root's",
    () => {
      using box = new Box();
      busyboxRootfs(box.path("root"));
      mkdirSync(box.path("volume"));
      writeFileSync(box.path("volume/of-7"), "");
      execute("chown", ["7:8", box.path("volume/of-7")]);
      const line = `cat /proc/self/uid_map /proc/self/gid_map; id -u; stat -c '%u %g' /bin /volume/of-7
      touch /made /volume/made; chown 9 /volume/made; chmod 4755 /volume/made`;
      const words = ["--rootfs", box.path("root"), ...AUTO, "-v", `${box.path("volume")}:/volume`];
      const { status, stdout, stderr } = box.hako("run", ...words, "--", "sh", "-c", line);
      expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
      const [uids = "", gids = "", ...seen] = stdout.trimEnd().split("\n");
      expect(seen).toEqual(["0", "0 0", "7 8"]);
      for (const map of [uids, gids]) {
        const [inside, first = 0, size] = mapOf(map);
        expect([inside, size]).toEqual([0, 65_536]);
        expect(first).toBeGreaterThanOrEqual(65_536);
      }
      const owner = (path: string) => [statSync(path).uid, statSync(path).gid];
      expect(owner(box.path("root/made"))).toEqual([0, 0]);
      expect(owner(box.path("volume/made"))).toEqual([9, 0]);
      expect(readdirSync(box.path("root"))).toContain("made");
    },
    needsTmp,
  );

  e2e(
    "root in there is nobody on the host: processes, kernel parameters, nodes, other ids",
    () => {
      using box = new Box();
      busyboxRootfs(box.path("root"));
      const id = box.id();
      box.ok("run", "-d", "--rootfs", box.path("root"), ...AUTO, "--cap-add", "ALL", id, "--", "sleep", "60");
      const { pid } = box.state(id);
      const status = readFileSync(`/proc/${pid}/status`, "utf8");
      expect(Number(/^Uid:\s+(\d+)/m.exec(status)?.[1])).toBeGreaterThanOrEqual(65_536);
      const inside = (line: string) => box.hako("exec", "--cap", "CAP_SYS_ADMIN", id, "sh", "-c", line);
      const attempts: Readonly<Record<string, string>> = {
        "mount -o remount,rw /proc/sys; echo 1 > /proc/sys/kernel/panic": "ermission denied",
        "mknod /tmp/disk b 8 0": "not permitted",
        "mount -t proc proc /mnt && echo b > /mnt/sysrq-trigger": "",
        "chown 70000 /etc/passwd": "nvalid argument",
        "dmesg -c": "not permitted",
      };
      for (const [line, says] of Object.entries(attempts)) {
        const result = inside(line);
        expect({ line, done: result.status === 0 }).toEqual({ line, done: false });
        expect(result.stderr).toContain(says);
      }
      expect(inside("cat /proc/self/uid_map").stdout).toContain("65536");
      box.ok("delete", "--force", id);
    },
    needsTmp,
  );

  e2e("setuid(2) and kill(2) reach nobody outside of the range", () => {
    using box = new Box();
    const program = `
import os
def attempt(name, call):
    try:
        call(); print(name, "done")
    except OSError as error:
        print(name, error.strerror)
attempt("setuid", lambda: os.setuid(70000))
attempt("kill", lambda: os.kill(${process.pid}, 0))
attempt("chown", lambda: os.chown("/tmp", 70000, 0))
os.setuid(1000)
attempt("root again", lambda: os.setuid(0))
print(open("/proc/self/uid_map").read().split()[2])`;
    const result = box.hako("run", "--rootfs", "/", ...AUTO, "--", "python3", "-c", program);
    expect(result).toMatchObject({
      status: 0,
      stdout:
        "setuid Invalid argument\nkill No such process\nchown Invalid argument\nroot again Operation not permitted\n65536\n",
    });
  }, [...needsHost, needsProgram("python3")]);

  e2e(
    "--rootfs /: the host's owners, writes are thrown away, and nothing of the host stays mounted",
    () => {
      using box = new Box();
      writeFileSync(
        box.path("script"),
        "#!/bin/sh\nid -u; stat -c '%u %g' /etc/passwd /etc/shadow; echo x > /etc/hako-was-here; cat /etc/hako-was-here",
      );
      execute("chmod", ["755", box.path("script")]);
      const result = box.hakoWith({ cwd: box.dir }, "run", "--rootfs", "/", ...AUTO, "--", "./script");
      const shadow = statSync("/etc/shadow");
      expect(result).toMatchObject({ status: 0, stdout: `0\n0 0\n${shadow.uid} ${shadow.gid}\nx\n` });
      expect(readdirSync("/etc")).not.toContain("hako-was-here");
      const shown = box.hako("run", "--rootfs", "/", ...AUTO, "--", "cat", "/proc/self/mountinfo");
      expect(shown).toMatchObject({ status: 0, stderr: "" });
      const mounts = shown.stdout;
      expect(mounts.split("\n").filter((line) => line.split(" ")[4] === "/")).toHaveLength(1);
      expect(mounts).not.toContain(box.dir);
      expect(
        box.hako("run", "--rootfs", "/", ...AUTO, "--user", "nobody", "--", "cat", "/etc/shadow").status,
      ).not.toBe(0);
      const host = box.hako("run", "--rootfs", "/", "--userns", "host", "--", "cat", "/proc/self/uid_map");
      expect(mapOf(host.stdout)).toEqual(mapOf(readFileSync("/proc/self/uid_map", "utf8")));
    },
    needsHost,
  );

  e2e(
    "--discard, and an image with its USER; the image is in use",
    () => {
      using box = new Box();
      const env = { PATH: process.env.PATH ?? "", XDG_CACHE_HOME: box.path("cache") };
      const call = (...words: string[]) => box.hakoWith({ env }, ...words);
      busyboxRootfs(box.path("root"));
      const before = readdirSync(box.path("root"));
      const discard = call(
        "run",
        "--rootfs",
        box.path("root"),
        "--discard",
        ...AUTO,
        "--",
        "sh",
        "-c",
        "touch /x; stat -c %u /x",
      );
      expect(discard).toMatchObject({ status: 0, stdout: "0\n" });
      expect(readdirSync(box.path("root"))).toEqual(before);
      const layer = tarOf([...busyboxEntries(), { name: "file", data: "x", uid: 1000, gid: 7, mode: 0o640 }]);
      const config = { User: "app", Cmd: ["sh", "-c", "id -u; stat -c '%u %g' /file; cat /file"] };
      writeFileSync(box.path("image.tar"), dockerArchive({ layers: [layer], config }));
      const image = ["run", "--rootfs", box.path("image.tar"), ...AUTO];
      expect(call(...image)).toMatchObject({ status: 0, stdout: "1000\n1000 7\nx", stderr: "" });
      const id = box.id();
      expect(call(...image, "-d", "--user", "0", id, "--", "sleep", "60").status).toBe(0);
      expect(call("image", "remove", box.path("image.tar"))).toMatchObject({ status: 1 });
      box.ok("delete", "--force", id);
      expect(call("image", "remove", box.path("image.tar"))).toMatchObject({ status: 0, stderr: "" });
    },
    needsTmp,
  );

  e2e("no two containers have the same ids; ranges of hako's rows of /etc/subuid are taken first", async () => {
    using box = new Box();
    busyboxRootfs(box.path("root"));
    const words = ["--root", box.root, "run", "--rootfs", box.path("root"), ...AUTO, "--"];
    // each is there until all are
    const line = "head -n 1 /proc/self/uid_map; read go";
    const all = Array.from({ length: 6 }, () =>
      Bun.spawn([HAKO, ...words, "sh", "-c", line], { stdin: "pipe", stdout: "pipe", stderr: "pipe" }),
    );
    const maps = await Promise.all(all.map(async ({ stdout }) => (await stdout.getReader().read()).value));
    for (const { stdin } of all) stdin.end();
    expect(await Promise.all(all.map(({ stderr }) => stderr.text()))).toEqual(all.map(() => ""));
    expect(new Set(maps.map((map) => mapOf(new TextDecoder().decode(map))[1])).size).toBe(6);
    const rows = "user:100000:65536\nhako:3000000000:131072\ncontainers:2000000000:65536\n";
    const container = (id: string) => [
      HAKO,
      "--root",
      box.root,
      "run",
      "-d",
      "--rootfs",
      box.path("root"),
      ...AUTO,
      id,
      "--",
      "sleep",
      "60",
    ];
    const [first, second, third] = [box.id(), box.id(), box.id()];
    const start = (id: string) => execute("unshare", [...withSubordinate(box, rows), ...container(id)]);
    const firstOf = (id: string) => mapOf(readFileSync(`/proc/${box.state(id).pid}/uid_map`, "utf8"))[1];
    expect([start(first).status, start(second).status]).toEqual([0, 0]);
    expect([firstOf(first), firstOf(second)]).toEqual([3_000_000_000, 3_000_065_536]);
    expect(start(third).stderr).toContain("--userns auto: no 65536 ids are free");
    box.ok("delete", "--force", first);
    expect(start(third)).toMatchObject({ status: 0, stderr: "" });
    expect(firstOf(third)).toBe(3_000_000_000);
  }, [...needsTmp, needsProgram("unshare")]);

  e2e("a program whose user namespace has all ids as they are takes none of them", async () => {
    using box = new Box();
    const other = Bun.spawn(["unshare", "--user", "sleep", "600"]);
    try {
      const own = readlinkSync("/proc/self/ns/user");
      await until("it has a namespace", () => readlinkSync(`/proc/${other.pid}/ns/user`) !== own);
      for (const kind of ["uid", "gid"]) writeFileSync(`/proc/${other.pid}/${kind}_map`, "0 0 4294967295");
      expect(box.hako("run", "--rootfs", "/", ...AUTO, "--", "true")).toMatchObject({
        status: 0,
        stderr: "",
      });
    } finally {
      other.kill("SIGKILL");
      await other.exited;
    }
  }, [...needsHost, needsProgram("unshare")]);

  e2e("nor while a thread is left of one whose first thread has ended", async () => {
    using box = new Box();
    const [first, second] = [box.id(), box.id()];
    const script = `import ctypes, threading, time
print(open("/proc/self/uid_map").read(), flush=True)
threading.Thread(target=time.sleep, args=(60,)).start()
ctypes.CDLL(None).pthread_exit(None)`;
    const words = ["run", "-d", "--no-init", "--rootfs", "/", ...AUTO];
    box.ok(...words, "--output", box.path("map"), first, "--", "python3", "-c", script);
    const pid = box.state(first).pid;
    await until("the first thread ends", () =>
      readFileSync(`/proc/${pid}/status`, "utf8").includes("State:\tZ"),
    );
    const { stdout: other } = box.ok(
      "run",
      "--rootfs",
      "/",
      ...AUTO,
      second,
      "--",
      "cat",
      "/proc/self/uid_map",
    );
    expect(readdirSync(`/proc/${pid}/task`)).toHaveLength(2);
    const taken = mapOf(readFileSync(box.path("map"), "utf8"))[1];
    expect(taken).toBeGreaterThan(0);
    expect(mapOf(other)[1]).not.toBe(taken);
    box.ok("delete", "--force", first);
  }, [...needsHost, needsProgram("python3")]);

  e2e("what can't be mapped, or is none of its ids, is refused by name", () => {
    using box = new Box();
    busyboxRootfs(box.path("root"));
    const run = (...words: string[]) => box.hako("run", "--rootfs", box.path("root"), ...words, "--", "true");
    expect(run(...AUTO, "-v", "/proc:/other").stderr).toMatch(
      /map the owners of \/proc: .*\/proc is on proc/,
    );
    expect(run(...AUTO, "--user", "70000").stderr).toContain(
      "user 70000:70000 is none of the ids that this container has (it has 0 to 65535)",
    );
    expect(run(...AUTO, "--keep-writes", box.path("kept")).stderr).toContain(
      "--userns auto and --keep-writes contradict",
    );
    expect(run("--userns", "keep-id").stderr).toContain("--userns keep-id is for ordinary users");
    expect(run("--userns", "other").stderr).toContain("is not one of host, auto, keep-id");
    const line = `mount -t overlay overlay -o lowerdir=${box.path("root")}:${box.root} ${box.path("over")} && exec "$@"`;
    mkdirSync(box.path("over"));
    mkdirSync(box.root, { recursive: true });
    const words = [
      "--mount",
      "sh",
      "-c",
      line,
      "sh",
      HAKO,
      "--root",
      box.root,
      "run",
      "--rootfs",
      box.path("over"),
      ...AUTO,
      "--",
      "true",
    ];
    const over = execute("unshare", words);
    expect(over.status).toBe(125);
    expect(over.stderr).toContain(`map the owners of ${box.path("over")}`);
    expect(over.stderr).toContain("is on overlay");
    const inner = [
      "--map-root-user",
      "--user",
      HAKO,
      "--root",
      box.root,
      "run",
      "--rootfs",
      box.path("root"),
      ...AUTO,
      "--",
      "true",
    ];
    expect(execute("unshare", inner).stderr).toContain("this root is one of a user namespace");
    expect(box.ok("list", "--quiet").stdout).toBe("");
  }, [...needsTmp, needsProgram("unshare")]);
});

describe("--userns of an ordinary user", () => {
  e2e(
    "auto: root is the user, the others are its subordinate ids",
    () => {
      using home = new Home();
      const root = home.box.path("root");
      busyboxRootfs(root);
      execute("chown", ["-R", `${USER}:${USER}`, root]);
      const run = (...words: string[]) => home.hako("run", "--rootfs", root, ...AUTO, ...words);
      const line = "id -u; touch /made; chown 5 /made; stat -c %u /made";
      expect(run("--", "sh", "-c", line)).toMatchObject({ status: 0, stdout: "0\n5\n", stderr: "" });
      expect(statSync(`${root}/made`).uid).toBe(SUBORDINATE + 4);
      expect(run("--user", "1000:7", "--", "id").stdout).toMatch(/^uid=1000\S* gid=7/);
      expect(run("--map-root", "--", "id").stderr).toContain("--map-root and --userns auto contradict");
    },
    NEEDS_MAPS,
  );

  e2e(
    "keep-id: the user's own id; host, and auto without subordinate ids, are refused by name",
    () => {
      using home = new Home();
      const root = home.box.path("root");
      busyboxRootfs(root);
      execute("chown", ["-R", `${USER}:${USER}`, root]);
      const run = (...words: string[]) => home.hako("run", "--rootfs", root, "--userns", ...words);
      const line = "id -u; touch /made; stat -c %u /made";
      expect(run("keep-id", "--", "sh", "-c", line)).toMatchObject({
        status: 0,
        stdout: `${USER}\n${USER}\n`,
      });
      expect(statSync(`${root}/made`).uid).toBe(USER);
      expect(run("host", "--", "id").stderr).toContain(
        "--userns host: an ordinary user has the rights to mount",
      );
      writeFileSync(home.box.path("subids"), "another:400000:65536\n");
      expect(run("auto", "--", "id").stderr).toContain(
        "--userns auto: /etc/subuid has no ids for user tester",
      );
      writeFileSync(
        home.box.path("image.tar"),
        dockerArchive({ layers: [tarOf(busyboxEntries())], config: { User: "app" } }),
      );
      const image = home.hako(
        "run",
        "--rootfs",
        home.box.path("image.tar"),
        "--userns",
        "keep-id",
        "--",
        "id",
        "-u",
      );
      expect(image).toMatchObject({ status: 0, stdout: `${USER}\n` });
    },
    NEEDS,
  );
});
