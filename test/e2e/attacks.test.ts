// @cgroup-v2
// Attacks while hako works: by the container that it is about to enter, by the image, by whoever shares a volume with it.
import { describe, expect } from "bun:test";
import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { Box, type BundleConfig, e2e, execute, HAKO, names, needsHako, until } from "./support";

const SLEEP = ["sleep", "600"];

function withCapability(...more: string[]): (config: BundleConfig) => void {
  return (config) => {
    for (const set of ["bounding", "effective", "permitted"])
      config.process.capabilities?.[set]?.push(...more);
  };
}

function statusOf(pid: number, field: string): string {
  return (
    new RegExp(`^${field}:[ \\t]*(.*)$`, "m")
      .exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]
      ?.trim() ?? ""
  );
}

describe("exec into a container that waits for it", () => {
  e2e("with CAP_SYS_PTRACE it sees no file of the host, and no descriptor but the caller's", async () => {
    using box = new Box();
    const secret = box.path("secret");
    writeFileSync(secret, "secret");
    const id = box.id();
    const spy = `while true; do for p in /proc/[0-9]*; do
      cat $p/root${secret} $p/cwd${secret} 2>/dev/null >>/found
      for fd in $p/fd/*; do [ -d $fd/proc/1 ] && [ $p != /proc/1 ] && readlink $fd; done >>/directories
    done; done 2>/dev/null`;
    const bundle = box.bundle(["sh", "-c", spy], withCapability("CAP_SYS_PTRACE", "CAP_DAC_READ_SEARCH"));
    box.ok("run", "--detach", "--bundle", bundle, id);
    for (let round = 0; round < 12; round++) box.ok("exec", id, "true");
    // the spy does work: it finds what is in its own root
    box.ok("exec", id, "sh", "-c", `mkdir -p ${box.dir}; echo own > ${secret}`);
    const found = () => readFileSync(join(bundle, "rootfs/found"), "utf8");
    await until("the spy finds it", () => found().includes("own"));
    expect(found().replaceAll("own\n", "")).toBe("");
    expect(readFileSync(join(bundle, "rootfs/directories"), "utf8")).toBe("");
  }, [needsHako]);

  e2e("its inheritable and ambient capabilities are the container's, and --cap adds to none of them", () => {
    using box = new Box();
    const id = box.id();
    box.ok("run", "--detach", "--bundle", box.bundle(SLEEP), id);
    const { stdout } = box.ok("exec", "--cap", "CAP_SYS_CHROOT", id, "grep", "Cap", "/proc/self/status");
    expect(stdout).toMatch(/CapInh:\s*0+$/m);
    expect(stdout).toMatch(/CapAmb:\s*0+$/m);
    expect(stdout).toMatch(/CapBnd:\s*0*20040420$/m);
  });

  e2e("the rules for devices hold for it, after an update too @v2", () => {
    using box = new Box();
    const id = box.id();
    const bundle = box.bundle(SLEEP, withCapability("CAP_MKNOD"));
    box.ok("run", "--detach", "--bundle", bundle, id);
    const open = () => box.hako("exec", id, "sh", "-c", "rm -f /disk; mknod /disk b 7 0 && head -c 1 /disk");
    expect(open().stderr).toContain("Operation not permitted");
    box.ok("update", "--memory", "64M", id);
    expect(open().stderr).toContain("Operation not permitted");
  });

  e2e("but a tunnel's device, which is for its own network namespace, it may make and open", () => {
    using box = new Box();
    const line = "mkdir -p /dev/net; mknod /dev/net/tun c 10 200 && exec 3<>/dev/net/tun && echo opened";
    expect(box.sh(line, withCapability("CAP_MKNOD"))).toBe("opened\n");
  }, [existsSync("/dev/net/tun") ? undefined : "this host has no tun device"]);
});

describe("an image whose files lie", () => {
  e2e("about the kernel's capabilities and about setgroups, where there is no procfs", () => {
    using box = new Box();
    const id = box.id();
    const bundle = box.bundle(SLEEP, (config) => {
      config.mounts = config.mounts.filter(({ destination }) => destination !== "/proc");
      config.linux.maskedPaths = [];
      config.linux.readonlyPaths = [];
    });
    mkdirSync(join(bundle, "rootfs/proc/sys/kernel"), { recursive: true });
    mkdirSync(join(bundle, "rootfs/proc/self"), { recursive: true });
    writeFileSync(join(bundle, "rootfs/proc/sys/kernel/cap_last_cap"), "0\n");
    writeFileSync(join(bundle, "rootfs/proc/self/setgroups"), "deny\n");
    // the caller has a group that the container must not have
    const done = execute("python3", [
      "-c",
      "import os, sys; os.setgroups([0, 4711]); os.execv(sys.argv[1], sys.argv[1:])",
      ...[HAKO, "--root", box.root, "run", "--detach", "--bundle", bundle, id],
    ]);
    expect(done).toMatchObject({ status: 0 });
    const { pid } = box.state(id);
    expect(statusOf(pid, "CapBnd")).toBe("0000000020000420");
    expect(statusOf(pid, "Groups")).toBe("");
  }, [Bun.which("python3") === null ? "python3 is not installed" : undefined]);

  for (const file of ["/proc/kmsg", "/dev/zero", "/dev/tty"]) {
    e2e(`its /etc/passwd is ${file}: nobody waits, and nothing is read`, () => {
      using box = new Box();
      const id = box.id();
      const bundle = box.bundle(["sh", "-c", "echo $HOME; sleep 600"], (config) => {
        config.process.env = ["PATH=/bin"];
      });
      rmSync(join(bundle, "rootfs/etc/passwd"));
      symlinkSync(file, join(bundle, "rootfs/etc/passwd"));
      const options = { timeout: 20_000 };
      expect(box.hakoWith(options, "run", "--detach", "--bundle", bundle, id).status).toBe(0);
      expect(box.hakoWith(options, "exec", id, "sh", "-c", "echo $HOME")).toMatchObject({
        status: 0,
        stdout: "/\n",
      });
      expect(
        box.hakoWith(options, "exec", "--user", "1000", id, "grep", "Uid", "/proc/self/status").stdout,
      ).toContain("1000");
    });
  }

  e2e("it names its root 1000: a number is a number", () => {
    using box = new Box();
    const id = box.id();
    const bundle = box.bundle(SLEEP);
    writeFileSync(
      join(bundle, "rootfs/etc/passwd"),
      "1000:x:0:0:root:/root:/bin/sh\n-1:x:0:0:r:/:/bin/sh\n4294967295:x:0:0:r:/:/bin/sh\n",
    );
    writeFileSync(join(bundle, "rootfs/etc/group"), "1000:x:0:\n");
    box.ok("run", "--detach", "--bundle", bundle, id);
    const ids = ["sh", "-c", "id -u; id -g"];
    expect(box.ok("exec", "--user", "1000:1000", id, ...ids).stdout).toBe("1000\n1000\n");
    for (const user of ["-1", "4294967295", " 1000", "1000x", "+0", "0x0", "1000:-1", "1000:4294967296"]) {
      // what could be a name is one that is not there
      const status = user.includes("x") ? 255 : 2;
      expect(box.hako("exec", "--user", user, id, ...ids)).toMatchObject({ stdout: "", status });
    }
  }, [needsHako]);

  e2e("its /dev/pts/ptmx is another device: not used as a terminal", () => {
    using box = new Box();
    const id = box.id();
    const bundle = box.bundle(SLEEP, (config) => {
      config.mounts = config.mounts.filter(({ destination }) => !destination.startsWith("/dev"));
    });
    mkdirSync(join(bundle, "rootfs/dev/pts"));
    execute("mknod", [join(bundle, "rootfs/dev/pts/ptmx"), "c", "5", "2"]);
    box.ok("run", "--detach", "--bundle", bundle, id);
    const result = box.hako("exec", "--tty", id, "true");
    expect(result.status).toBe(255);
    expect(result.stderr).toContain("not on a devpts file system");
  }, [needsHako]);
});

describe("a shared volume whose directories become links while create runs", () => {
  e2e("mounts, files and directories stay in the container", async () => {
    using box = new Box();
    const outside = box.path("outside");
    const volume = box.path("volume");
    for (const dir of [outside, volume, join(volume, "a")]) mkdirSync(dir);
    writeFileSync(join(outside, "kept"), "as before");
    const source = box.path("source");
    writeFileSync(source, "data");
    const swap = `cd ${volume}; while true; do mv a b; ln -s ${outside} a; rm a; ln -s ../../../../../../../..${outside} a; rm a; mv b a; done`;
    const swapper = Bun.spawn(["sh", "-c", `${swap} 2>/dev/null`]);
    const mountinfo = () =>
      readFileSync("/proc/self/mountinfo", "utf8")
        .split("\n")
        .filter((line) => line.includes(box.dir));
    const before = mountinfo();
    try {
      for (let round = 0; round < 12; round++) {
        const bundle = box.bundle(["true"], (config) => {
          config.mounts.push(
            { destination: "/volume", type: "bind", source: volume, options: ["rbind"] },
            { destination: "/volume/a/file", type: "bind", source, options: ["bind"] },
            { destination: "/volume/a/deep/dir", type: "tmpfs", source: "tmpfs" },
          );
          config.linux.devices = [
            { path: "/volume/a/null", type: "c", major: 1, minor: 3, fileMode: 0o666, uid: 7, gid: 7 },
          ];
          config.linux.maskedPaths?.push("/volume/a/kept");
          config.process.cwd = "/volume/a/cwd";
        });
        // whether it can be made depends on the moment
        box.hako("run", "--bundle", bundle, box.id());
        expect(names(outside)).toEqual(["kept"]);
      }
    } finally {
      swapper.kill("SIGKILL");
      await swapper.exited;
    }
    expect(readFileSync(join(outside, "kept"), "utf8")).toBe("as before");
    expect(mountinfo()).toEqual(before);
  });

  e2e("what is said of a long overlay is not done to another mount", async () => {
    using box = new Box();
    const layers = ["a", "b", "c"].map((letter) => box.path(letter.repeat(100)));
    const [volume, locked] = [box.path("volume"), box.path("locked")];
    for (const dir of [...layers, volume, locked, join(volume, "a")]) mkdirSync(dir);
    symlinkSync("/locked", join(volume, "link"));
    // create makes a directory where it finds none: then a step fails
    const swap = [
      ["a", "b"],
      ["link", "a"],
      ["a", "link"],
      ["b", "a"],
    ].map(([from, to]) => `try { renameSync("${from}", "${to}") } catch {}`);
    const script = `const { renameSync } = require("node:fs"); for (;;) { ${swap.join(" ")} }`;
    const swapper = Bun.spawn([process.execPath, "-e", script], { cwd: volume });
    try {
      for (let round = 0; round < 20; round++) {
        const options = [`lowerdir=${layers.join(":")}`, "rw"];
        const bundle = box.bundle(["touch", "/locked/written"], (config) => {
          config.mounts.push(
            { destination: "/volume", type: "bind", source: volume, options: ["rbind"] },
            { destination: "/locked", type: "bind", source: locked, options: ["bind", "ro"] },
            { destination: "/volume/a", type: "overlay", source: "overlay", options },
          );
        });
        box.hako("run", "--bundle", bundle, box.id());
        expect(names(locked)).toEqual([]);
      }
    } finally {
      swapper.kill("SIGKILL");
      await swapper.exited;
    }
  });
});

describe("the caller's places", () => {
  e2e("a state directory that others may write to, or that is another's, is not used", () => {
    using box = new Box();
    const id = box.id();
    box.ok("run", "--detach", "--bundle", box.bundle(SLEEP), id);
    const commands = [
      ["state", id],
      ["kill", id],
      ["exec", id, "true"],
      ["delete", "--force", id],
      ["create", "--bundle", box.bundle(SLEEP), box.id()],
    ];
    for (const spoil of [() => chmodSync(box.root, 0o733), () => chownSync(box.root, 4711, 0)]) {
      spoil();
      for (const command of commands) {
        const result = box.hako(...command);
        expect(result.status).not.toBe(0);
        expect(result.stderr).toContain(`--root ${box.root}: `);
      }
      chownSync(box.root, 0, 0);
      chmodSync(box.root, 0o711);
      expect(box.state(id).status).toBe("running");
    }
  }, [needsHako]);

  e2e("a pid file is written beside links that wait for it", () => {
    using box = new Box();
    const dir = box.path("pids");
    const victim = box.path("victim");
    mkdirSync(dir);
    writeFileSync(victim, "as before");
    const last = Number(readFileSync("/proc/loadavg", "utf8").trim().split(" ").pop());
    for (let pid = last; pid < last + 4000; pid++) symlinkSync(victim, join(dir, `.${pid}.hako-pid`));
    const id = box.id();
    box.ok("create", "--bundle", box.bundle(SLEEP), "--pid-file", join(dir, "pid"), id);
    expect(readFileSync(victim, "utf8")).toBe("as before");
    expect(readFileSync(join(dir, "pid"), "utf8")).toBe(String(box.state(id).pid));
    expect(lstatSync(join(dir, "pid")).isFile()).toBe(true);
  }, [needsHako]);

  e2e("the log is its owner's to write, whatever the umask", () => {
    using box = new Box();
    const log = box.path("log");
    execute("sh", ["-c", `umask 0; ${HAKO} --root ${box.root} --log ${log} state nobody`]);
    expect(lstatSync(log).mode & 0o777).toBe(0o644);
  }, [needsHako]);
});

describe("run --rootfs /", () => {
  e2e("a socket of the host does not answer, and another user reads what that user may", async () => {
    using box = new Box();
    const socket = box.path("socket");
    const secret = box.path("secret");
    chmodSync(box.dir, 0o755);
    writeFileSync(secret, "secret", { mode: 0o600 });
    let calls = 0;
    const server = createServer(() => calls++);
    await new Promise<void>((done) => server.listen(socket, done));
    chmodSync(socket, 0o777);
    const python = `import socket,sys
s = socket.socket(socket.AF_UNIX)
try: s.connect("${socket}"); print("connected")
except OSError as e: print("refused")`;
    const connect = await box.later(["run", "--rootfs", "/", box.id(), "--", "python3", "-c", python]);
    expect(connect.stdout).toBe("refused\n");
    expect(calls).toBe(0);
    server.close();
    const read = box.hako("run", "--rootfs", "/", "--user", "65534:65534", box.id(), "--", "cat", secret);
    expect(read.stdout).toBe("");
    expect(read.stderr).toContain("Permission denied");
  }, [needsHako, Bun.which("python3") === null ? "python3 is not installed" : undefined]);

  e2e("the kernel's and the devices' files can't be written", () => {
    using box = new Box();
    const paths = [
      "/proc/sys/kernel/core_pattern",
      "/proc/sysrq-trigger",
      "/sys/kernel/profiling",
      "/proc/sys/vm/drop_caches",
    ];
    const line = `for f in ${paths.join(" ")}; do [ -e $f ] && (echo x > $f) 2>/dev/null && echo written $f; done; ls /dev; true`;
    const { stdout } = box.hako("run", "--rootfs", "/", box.id(), "--", "sh", "-c", line);
    expect(stdout).not.toContain("written");
    const devices = stdout.trim().split("\n");
    for (const hosts of readdirSync("/dev").filter((name) =>
      /^(vd|sd|nvme|loop|kmsg|mem|kvm|fuse)/.test(name),
    ))
      expect(devices).not.toContain(hosts);
    expect(existsSync("/proc/sys/kernel/core_pattern")).toBe(true);
  }, [needsHako]);
});

describe("kill", () => {
  e2e("--all reaches every process of the container, and nobody else", async () => {
    using box = new Box();
    const id = box.id();
    const bundle = box.bundle(["sh", "-c", "trap : TERM; sleep 600 & sleep 600 & sleep 600"]);
    box.ok("run", "--detach", "--bundle", bundle, id);
    await until("three sleep", () => box.ok("ps", id).stdout.split("sleep 600").length >= 4);
    const other = box.id();
    box.ok("run", "--detach", "--bundle", box.bundle(SLEEP), other);
    box.ok("kill", "--all", id, "TERM");
    await until("they are gone", () => !box.ok("ps", id).stdout.includes(" sleep 600"));
    expect(box.state(other).status).toBe("running");
  }, [needsHako]);
});
