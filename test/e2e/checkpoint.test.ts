// @cgroup-v2
// Containers that criu saves and restores. What needs a criu that can do it on this kernel says so when there is none.
import { describe, expect } from "bun:test";
import { chmodSync, existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { textOf } from "../../src/linux/call/bytes";
import { recvFd } from "../../src/linux/file/descriptor-passing";
import { waitFor } from "../../src/linux/file/poll";
import { readWaiting, writeAllWaiting } from "../../src/linux/file/stream";
import { accept, unixListen } from "../../src/linux/file/unix-socket";
import {
  Box,
  type BundleConfig,
  e2e,
  execute,
  expectUnchanged,
  type HostSnapshot,
  hostSnapshot,
  isV2,
  needsCriu,
  needsHako,
  until,
} from "./support";

const WITH_CRIU = [needsHako, needsCriu()];

/** Counts in /tmp/count of its rootfs, five times a second; ends with status 7 when /tmp/end is there. */
const COUNTER = [
  "sh",
  "-c",
  "i=0; while ! [ -e /tmp/end ]; do i=$((i+1)); echo $i > /tmp/count; sleep 0.2; done; exit 7",
];

function countOf(bundle: string): number {
  return Number(readFileSync(join(bundle, "rootfs/tmp/count"), "utf8"));
}

/** The number that a container has counted to, once it is above another one. */
async function countAbove(bundle: string, least: number): Promise<number> {
  const file = join(bundle, "rootfs/tmp/count");
  await until(`${file} is above ${least}`, () => existsSync(file) && countOf(bundle) > least);
  return countOf(bundle);
}

/** A container that counts, saved in `images` and gone. */
async function saved(box: Box, mutate?: (config: BundleConfig) => void, args = COUNTER) {
  const bundle = box.bundle(args, mutate);
  const id = box.id();
  const images = box.path(`images-${id}`);
  box.ok("run", "--detach", "--bundle", bundle, id);
  await countAbove(bundle, 2);
  box.ok("checkpoint", "--image-path", images, id);
  return { bundle, id, images, count: countOf(bundle) };
}

function programIn(box: Box, name: string, text: string): string {
  const dir = box.path(`bin-${name}`);
  mkdirSync(dir);
  writeFileSync(join(dir, name), `#!/bin/sh\n${text}\n`);
  chmodSync(join(dir, name), 0o755);
  return dir;
}

describe("without a criu that works", () => {
  e2e("a missing criu is named, and the container runs on", async () => {
    using box = new Box();
    const bundle = box.bundle(["sleep", "60"]);
    const id = box.id();
    box.ok("run", "--detach", "--bundle", bundle, id);
    const env = { PATH: box.dir };
    const images = box.path("images");
    const dump = box.hakoWith({ env }, "checkpoint", "--image-path", images, id);
    expect(dump.status).toBe(1);
    expect(dump.stderr).toStartWith(
      "hako: criu: executable file not found in $PATH (install criu, which saves and restores processes",
    );
    expect(existsSync(images)).toBe(false);
    expect(box.state(id).status).toBe("running");
    const other = box.id();
    const restore = box.hakoWith({ env }, "restore", "--bundle", bundle, "--image-path", images, other);
    expect(restore.status).toBe(1);
    expect(restore.stderr).toContain("criu: executable file not found in $PATH");
    expect(box.hako("state", other).stderr).toContain("does not exist");
  }, [needsHako]);

  e2e("a criu that fails at once leaves the container as it was, and nothing of a restored one", async () => {
    using box = new Box();
    const bundle = box.bundle(["sleep", "60"]);
    const id = box.id();
    box.ok("run", "--detach", "--bundle", bundle, id);
    const words = "printf 'Error (criu/kerndat.c:9): it can\\0 not work\\n' >&2; exit 1";
    const env = { PATH: programIn(box, "criu", words) };
    const images = box.path("images");
    const dump = box.hakoWith({ env }, "checkpoint", "--image-path", images, id);
    expect(dump.status).toBe(1);
    expect(dump.stderr).toStartWith(`hako: checkpoint container "${id}": criu dump: it can not work (`);
    expect(box.state(id).status).toBe("running");
    box.ok("delete", "--force", id);
    const before = hostBefore(box.root);
    const restore = box.hakoWith({ env }, "restore", "--bundle", bundle, "--image-path", images, id);
    expect(restore.status).toBe(1);
    expect(restore.stderr).toContain(`restore container "${id}": criu restore: `);
    await expectUnchanged(before, box.root);
  }, [needsHako]);

  e2e("--criu names the program that is called", () => {
    using box = new Box();
    const id = box.id();
    box.ok("run", "--detach", "--bundle", box.bundle(["sleep", "60"]), id);
    const called = box.path("called");
    const program = join(programIn(box, "other-criu", `echo "$1" > ${called}; exit 1`), "other-criu");
    const words = ["checkpoint", "--image-path", box.path("images"), id];
    expect(box.hako("--criu", program, ...words).stderr).toContain("criu dump: ");
    expect(readFileSync(called, "utf8")).toBe("swrk\n");
    const missing = box.hako("--criu=/no/such/criu", ...words);
    expect(missing.status).toBe(1);
    expect(missing.stderr).toMatch(/^hako: .*\/no\/such\/criu: no such file or directory \(install criu/);
  }, [needsHako]);

  e2e("a container of create --config is saved and restored by that file", () => {
    using box = new Box();
    const id = box.id();
    const bundle = box.bundle(["sleep", "60"]);
    const file = box.path("other.json");
    renameSync(join(bundle, "config.json"), file);
    box.ok("run", "--detach", "--config", file, "--bundle", bundle, id);
    const env = { PATH: programIn(box, "criu", "exit 1") };
    const fails = (...words: string[]) => box.hakoWith({ env }, ...words).stderr;
    const save = ["checkpoint", "--image-path", box.path("images"), id];
    // up to criu, which is none here
    expect(fails(...save)).toContain("criu dump: ");
    const moved = box.path("moved.json");
    renameSync(file, moved);
    expect(fails(...save)).toContain(`${file}: no such file or directory`);
    box.ok("delete", "--force", id);
    const restore = ["restore", "--bundle", bundle, "--image-path", box.path("images")];
    expect(fails(...restore, "--config", moved, id)).toContain("criu restore: ");
    expect(fails(...restore, id)).toContain(`${bundle}/config.json`);
  }, [needsHako]);

  e2e("wrong states and arguments are told before anything is done", () => {
    using box = new Box();
    const env = { PATH: programIn(box, "criu", "exit 1") };
    const bundle = box.bundle(["sleep", "60"]);
    const id = box.id();
    const fails = (...args: string[]) => box.hakoWith({ env }, ...args).stderr;
    expect(fails("checkpoint", id)).toContain("does not exist");
    box.ok("create", "--bundle", bundle, id);
    expect(fails("checkpoint", "--image-path", box.path("i"), id)).toContain(
      "cannot checkpoint a container that is created",
    );
    box.ok("start", id);
    const dump = (...args: string[]) => fails("checkpoint", "--image-path", box.path("i"), ...args, id);
    expect(dump("--parent-path", "/x")).toContain("--parent-path: /x is absolute");
    expect(dump("--parent-path", "../x")).toContain("is no directory");
    expect(dump("--page-server", "nowhere")).toContain('"nowhere" is not ADDRESS:PORT');
    expect(dump("--status-fd", "77")).toContain("descriptor 77 is not open for writing");
    expect(dump("--manage-cgroups-mode", "all")).toContain('"all" is not one of soft, full, strict, ignore');
    expect(dump("--empty-ns", "pid")).toContain("network is the only one");
    const restore = fails("restore", "--bundle", bundle, "--image-path", box.path("none"), box.id());
    expect(restore).toContain(`checkpoint ${box.path("none")}: open`);
    expect(restore).toContain("--image-path names the directory that hako checkpoint wrote");
  }, [needsHako]);
});

/** criu mounts cgroup2 in the host's cgroup namespace: that takes the options of the host's own mount away. */
function hostBefore(root: string): HostSnapshot {
  const before = hostSnapshot(root);
  const mounts = before.mounts.flatMap((line) => [line, line.replace(/( - cgroup2 \S+ rw)\S*$/, "$1")]);
  return { ...before, mounts };
}

describe("checkpoint and restore @v2", () => {
  e2e(
    "the processes go on where they were, in a container like any other",
    async () => {
      using box = new Box();
      const before = hostBefore(box.root);
      const { bundle, id, images, count } = await saved(box, (config) => {
        config.linux.resources = { memory: { limit: 64 << 20 }, pids: { limit: 20 } };
      });
      expect(box.hako("state", id).stderr).toContain("does not exist");
      await expectUnchanged(before, box.root);
      const pidFile = box.path("pid");
      const args = ["--bundle", bundle, "--image-path", images, "--pid-file", pidFile, "--detach"];
      box.ok("restore", ...args, id);
      expect(await countAbove(bundle, count)).toBeLessThan(count + 20);
      const { status, pid } = box.state(id);
      expect(status).toBe("running");
      expect(readFileSync(pidFile, "utf8")).toBe(String(pid));
      expect(readFileSync(`/proc/${pid}/cgroup`, "utf8")).toContain("hako-e2e-");
      expect(box.ok("cgroup", "show", id).stdout).toContain("64 MiB");
      expect(box.ok("mapping", "get", id).stdout).toContain(id);
      expect(box.hako("restore", ...args, id).stderr).toContain("already exists");
      // as create makes it
      const network = execute("nsenter", ["-t", String(pid), "-n", "cat", "/sys/class/net/lo/flags"]);
      if (network.status === 0) expect(Number(network.stdout) & 1).toBe(1);
      box.ok("kill", id, "KILL");
      await box.waitFor(id, "stopped");
      box.ok("delete", id);
      await expectUnchanged(before, box.root);
    },
    WITH_CRIU,
  );

  e2e(
    "with create --config the bundle has no config.json",
    async () => {
      using box = new Box();
      const bundle = box.bundle(COUNTER);
      const file = box.path("other.json");
      renameSync(join(bundle, "config.json"), file);
      const [id, images] = [box.id(), box.path("images")];
      const from = ["--bundle", bundle, "--config", file];
      box.ok("run", "--detach", ...from, id);
      const count = await countAbove(bundle, 2);
      box.ok("checkpoint", "--image-path", images, id);
      box.ok("restore", ...from, "--image-path", images, "--detach", id);
      await countAbove(bundle, count);
      expect(box.state(id).status).toBe("running");
    },
    WITH_CRIU,
  );

  e2e(
    "--leave-running lets the container run; its images restore under another id",
    async () => {
      using box = new Box();
      const bundle = box.bundle(COUNTER);
      const [id, other] = [box.id(), box.id()];
      const images = box.path("images");
      box.ok("run", "--detach", "--bundle", bundle, id);
      const count = await countAbove(bundle, 2);
      box.ok("checkpoint", "--leave-running", "--image-path", images, "--work-path", box.path("work"), id);
      expect(existsSync(box.path("work/dump.log"))).toBe(true);
      await countAbove(bundle, count + 1);
      expect(box.state(id).status).toBe("running");
      box.ok("delete", "--force", id);
      box.ok("restore", "--bundle", bundle, "--image-path", images, "--detach", other);
      expect(box.state(other).status).toBe("running");
    },
    WITH_CRIU,
  );

  e2e(
    "in the foreground restore waits, has the program's streams and status, and deletes",
    async () => {
      using box = new Box();
      const before = hostBefore(box.root);
      const line =
        "i=0; while ! [ -e /tmp/end ]; do i=$((i+1)); echo $i > /tmp/count; sleep 0.2; done; echo done; exit 7";
      const { bundle, id, images, count } = await saved(box, undefined, ["sh", "-c", line]);
      const ended = box.later(["restore", "--bundle", bundle, "--image-path", images, id]);
      await countAbove(bundle, count);
      writeFileSync(join(bundle, "rootfs/tmp/end"), "");
      const { status, stdout, stderr } = await ended;
      expect([status, stdout, stderr]).toEqual([7, "done\n", ""]);
      await expectUnchanged(before, box.root);
    },
    WITH_CRIU,
  );

  e2e(
    "bind mounts come from the bundle that is restored, masks stay",
    async () => {
      using box = new Box();
      const [first, second] = [box.path("first"), box.path("second")];
      for (const dir of [first, second]) mkdirSync(dir);
      writeFileSync(join(first, "name"), "first\n");
      writeFileSync(join(second, "name"), "second\n");
      const line = "while :; do cat /data/name > /tmp/seen; cat /data/name > /tmp/count; sleep 0.2; done";
      const bundle = box.bundle(["sh", "-c", line], (config) => {
        config.mounts.push({ destination: "/data", type: "bind", source: first, options: ["rbind", "ro"] });
        config.linux.maskedPaths = ["/proc/keys", "/sys/firmware"];
      });
      const id = box.id();
      const seen = () => {
        try {
          return readFileSync(join(bundle, "rootfs/tmp/seen"), "utf8");
        } catch {
          return "";
        }
      };
      box.ok("run", "--detach", "--bundle", bundle, id);
      await until("first is seen", () => seen() === "first\n");
      const mounts = () =>
        readFileSync(`/proc/${box.state(id).pid}/mountinfo`, "utf8")
          .trim()
          .split("\n")
          .map((mount) => mount.split(" ").slice(4, 6).join(" "));
      const mounted = mounts();
      const images = box.path("images");
      box.ok("checkpoint", "--image-path", images, id);
      const config = JSON.parse(readFileSync(join(bundle, "config.json"), "utf8")) as BundleConfig;
      for (const mount of config.mounts) if (mount.destination === "/data") mount.source = second;
      writeFileSync(join(bundle, "config.json"), JSON.stringify(config));
      box.ok("restore", "--bundle", bundle, "--image-path", images, "--detach", id);
      await until("second is seen", () => seen() === "second\n");
      expect(mounts().sort()).toEqual(mounted.sort());
    },
    WITH_CRIU,
  );

  e2e(
    "a terminal's new master goes to the console socket",
    async () => {
      using box = new Box();
      const line = "while read word; do echo got $word; done";
      const bundle = box.bundle(["sh", "-c", line], (config) => {
        config.process.terminal = true;
      });
      const id = box.id();
      const path = box.path("tty.sock");
      using listener = unixListen(path);
      const master = async (done: Promise<{ status: number | null; stderr: string }>) => {
        while (!waitFor(listener, "read", 10)) await Bun.sleep(5);
        using connection = accept(listener);
        const { fd } = recvFd(connection);
        const { status, stderr } = await done;
        expect([status, stderr]).toEqual([0, ""]);
        return fd;
      };
      const run = box.later(["run", "--detach", "--bundle", bundle, "--console-socket", path, id]);
      using before = await master(run);
      const images = box.path("images");
      box.ok("checkpoint", "--image-path", images, id);
      before.close();
      const again = ["--bundle", bundle, "--image-path", images, "--console-socket", path, "--detach"];
      using after = await master(box.later(["restore", ...again, id]));
      writeAllWaiting(after, "hello\n");
      let shown = "";
      await until("the program answers", () => {
        if (waitFor(after, "read", 0)) shown += textOf(readWaiting(after));
        return shown.includes("got hello");
      });
    },
    WITH_CRIU,
  );

  e2e(
    "hooks run as for a new container; a hook that fails leaves nothing",
    async () => {
      using box = new Box();
      const log = box.path("hooks");
      const hook = (name: string) => ({
        path: "/bin/sh",
        args: ["sh", "-c", `cat > ${box.dir}/state-${name}; echo ${name} >> ${log}`],
      });
      const kinds = ["prestart", "createRuntime", "poststart", "poststop"];
      const { bundle, id, images } = await saved(box, (config) => {
        config.hooks = Object.fromEntries(kinds.map((kind) => [kind, [hook(kind)]]));
      });
      expect(readFileSync(log, "utf8").trim().split("\n")).toEqual(kinds);
      const args = ["--bundle", bundle, "--image-path", images, "--detach"];
      box.ok("restore", ...args, id);
      expect(readFileSync(log, "utf8").trim().split("\n")).toEqual([...kinds, ...kinds.slice(0, 3)]);
      const { pid } = box.state(id);
      expect(JSON.parse(readFileSync(box.path("state-createRuntime"), "utf8"))).toMatchObject({ id, pid });
      box.ok("delete", "--force", id);
      const config = JSON.parse(readFileSync(join(bundle, "config.json"), "utf8")) as BundleConfig;
      for (const kind of ["createRuntime", "poststart"]) {
        const before = hostBefore(box.root);
        config.hooks = { [kind]: [{ path: "/bin/sh", args: ["sh", "-c", "echo no; exit 3"] }] };
        writeFileSync(join(bundle, "config.json"), JSON.stringify(config));
        const failed = box.hako("restore", ...args, id);
        expect(failed.status).toBe(1);
        expect(failed.stderr).toContain(`config /hooks/${kind}/0: hook /bin/sh: exited with status 3: no`);
        await expectUnchanged(before, box.root);
      }
    },
    WITH_CRIU,
  );

  e2e(
    "with a user namespace and a cgroup namespace",
    async () => {
      using box = new Box();
      const { bundle, id, images, count } = await saved(box, (config) => {
        config.linux.namespaces.push({ type: "user" }, { type: "cgroup" });
        const maps = [{ containerID: 0, hostID: 0, size: 65536 }];
        config.linux.uidMappings = maps;
        config.linux.gidMappings = maps;
      });
      box.ok("restore", "--bundle", bundle, "--image-path", images, "--detach", id);
      await countAbove(bundle, count);
      const { pid } = box.state(id);
      expect(readFileSync(`/proc/${pid}/uid_map`, "utf8").trim().split(/\s+/)).toEqual(["0", "0", "65536"]);
    },
    WITH_CRIU,
  );

  e2e(
    "a frozen container can be saved",
    async () => {
      using box = new Box();
      const bundle = box.bundle(COUNTER);
      const id = box.id();
      box.ok("run", "--detach", "--bundle", bundle, id);
      const count = await countAbove(bundle, 1);
      const { linux } = JSON.parse(readFileSync(join(bundle, "config.json"), "utf8")) as BundleConfig;
      const [file, value] = isV2
        ? [`/sys/fs/cgroup${linux.cgroupsPath}/cgroup.freeze`, "1"]
        : [`/sys/fs/cgroup/freezer${linux.cgroupsPath}/freezer.state`, "FROZEN"];
      writeFileSync(file, value);
      await box.waitFor(id, "paused");
      box.ok("checkpoint", "--image-path", box.path("images"), id);
      expect(box.hako("state", id).status).toBe(1);
      box.ok("restore", "--bundle", bundle, "--image-path", box.path("images"), "--detach", id);
      expect(box.state(id).status).toBe("running");
      await countAbove(bundle, count);
    },
    WITH_CRIU,
  );
});
