// @cgroup-v2
// What podman's options ask of the runtime: file systems, privileges, devices, namespaces.
import { afterAll, beforeAll, describe, expect } from "bun:test";
import { existsSync, mkdirSync, readFileSync, readlinkSync, statSync, writeFileSync } from "node:fs";
import { isV2, type Needs, needsProgram } from "../e2e/support";
import { clientTest, IMAGE, RUNTIME, Store } from "./support";

const needs: Needs[] = [needsProgram("podman"), needsProgram("conmon")];
let store: Store;

beforeAll(() => {
  if (needs.some((need) => need !== undefined)) return;
  store = new Store();
  mkdirSync(store.path("volume"));
  writeFileSync(store.path("volume/file"), "from outside\n");
}, 240_000);
afterAll(() => store?.[Symbol.dispose](), 240_000);

const podman = (name: string, body: () => void | Promise<void>, more: Needs[] = []): void =>
  clientTest(name, body, [...needs, ...more]);
const run = (...args: string[]) => store.podman("run", "--rm", ...args);
const volume = (): string => `${store.path("volume")}:/v`;
/** Options, parent and propagation of a mount as the container sees it. */
const options = (line: string, point: string): string =>
  new RegExp(`^.* ${point} (.*?) - .*$`, "m").exec(line)?.[1]?.replaceAll(/:\d+/g, "") ?? "";

describe("podman's file systems", () => {
  podman("a read-only root; the usual temporary directories are still writable, for every user", () => {
    const line =
      "touch /x; for d in /tmp /run /var/tmp /dev/shm; do touch $d/x || echo $d; done; stat -c %a /run";
    const result = run("--read-only", "--user", "1000", IMAGE, "sh", "-c", line);
    expect(result).toMatchObject({ status: 0, stdout: "1777\n" });
    expect(result.stderr).toContain("/x: Read-only file system");
    const none = run("--read-only", "--read-only-tmpfs=false", IMAGE, "touch", "/tmp/x");
    expect(none.status).toBe(1);
    expect(none.stderr).toContain("touch: /tmp/x: Read-only file system\n");
  });

  podman("tmpfs: size, mode, options, the directory's files copied or not", () => {
    const flags = [
      "--tmpfs",
      "/new",
      "--tmpfs",
      "/given:size=1m,mode=750,noexec",
      "--tmpfs",
      "/etc:tmpcopyup",
    ];
    const line = "stat -c %a /new /given; grep -c user /etc/passwd; cat /proc/self/mountinfo";
    const out = store.sh(line, ...flags, "--tmpfs", "/root:notmpcopyup", "--shm-size", "2m");
    expect(out).toMatch(/^1777\n750\n1\n/);
    expect(out).toMatch(/ \/given rw,nosuid,nodev,noexec,relatime .*size=1024k/);
    expect(out).toMatch(/ \/dev\/shm rw,.*size=2048k/);
  });

  podman("volumes: options and propagation", () => {
    const seen = (option: string): string =>
      options(store.sh("cat /proc/self/mountinfo", "-v", `${volume()}:${option}`), "/v");
    expect(seen("ro")).toMatch(/^ro,/);
    expect(seen("rshared")).toMatch(/ shared$/);
    expect(seen("rslave")).toMatch(/^rw,[^:]*( master)?$/);
    expect(seen("z,noexec,nosuid,nodev")).toMatch(/^rw,nosuid,nodev,noexec/);
    expect(store.sh("echo y > /v/g; ls /v", "-v", `${volume()}:O`)).toBe("file\ng");
    expect(existsSync(store.path("volume/g"))).toBe(false);
  });

  podman("words of volumes that are podman's own are not the runtime's", () => {
    for (const words of ["z", "Z", "U", "z,U,ro", "rbind,nodev,noexec"]) {
      const result = run("-v", `${volume()}:${words}`, IMAGE, "ls", "/v");
      expect([words, result.status, result.stdout]).toEqual([words, 0, "file\n"]);
    }
    const name = store.name();
    for (const words of ["nocopy", "copy", "nocopy,U"])
      expect(run("-v", `${name}:/v:${words}`, IMAGE, "true")).toMatchObject({ status: 0 });
    store.ok("volume", "rm", name);
  });

  podman("a file as a volume, in directories that the image lacks", () => {
    const file = `${store.path("volume/file")}:/a/b/c`;
    expect(store.sh("cat /a/b/c", "--read-only", "-v", file)).toBe("from outside");
    const wrong = run("-v", `${store.path("volume")}:/bin/busybox`, IMAGE, "true");
    expect([wrong.status, wrong.stderr.toLowerCase().includes("not a directory")]).toEqual([126, true]);
  });

  podman("named volumes and every type of --mount", () => {
    const name = store.name();
    store.sh("echo kept > /v/f", "-v", `${name}:/v`);
    expect(store.sh("cat /v/f", "--mount", `type=volume,src=${name},dst=/v,ro=true`)).toBe("kept");
    expect(store.sh("cat /etc/passwd | head -1", "-v", `${store.name()}:/etc`)).toContain("root");
    const mounts = [
      `type=bind,src=${store.path("volume")},dst=/b,bind-propagation=rshared,ro=true`,
      "type=tmpfs,dst=/t,tmpfs-size=2m,tmpfs-mode=1770",
      `type=image,src=${IMAGE},dst=/i`,
      "type=devpts,dst=/p",
    ].flatMap((mount) => ["--mount", mount]);
    const out = store.sh("cat /b/file; touch /b/x 2>&1; stat -c %a /t; ls /i/bin/sh /p", ...mounts);
    expect(out).toBe("from outside\ntouch: /b/x: Read-only file system\n1770\n/i/bin/sh\n\n/p:\nptmx");
    store.ok("volume", "rm", name);
  });
});

describe("podman's privileges", () => {
  const capabilities = (...flags: string[]): string =>
    store.sh("sed -n 's/^CapEff:.//p' /proc/self/status", ...flags);

  podman("capabilities: dropped, added, all", () => {
    expect(capabilities("--cap-drop", "all")).toBe("0000000000000000");
    expect(capabilities("--cap-add", "sys_admin,net_admin")).toBe("00000000a82435fb");
    expect(capabilities("--user", "1000")).toBe("0000000000000000");
    expect(capabilities("--user", "1000", "--cap-add", "net_raw")).toBe("0000000000002000");
    const own = /^CapBnd:\t(.*)$/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1];
    expect(capabilities("--cap-add", "all")).toBe(own ?? "");
    expect(run("--cap-drop", "chown", IMAGE, "chown", "5", "/tmp").status).toBe(1);
  });

  podman("--privileged: devices, writable cgroups and sysctls, mounts", () => {
    const files = isV2 ? "/sys/fs/cgroup" : "/sys/fs/cgroup/memory";
    const line = `mkdir /m && mount -t tmpfs x /m && echo mounted; mkdir ${files}/k && rmdir ${files}/k && echo cgroup;
      ls -l /dev/loop-control | cut -c1; grep Seccomp: /proc/self/status; mount | grep -c 'sysfs.*(rw'`;
    expect(store.sh(line, "--privileged")).toBe("mounted\ncgroup\nc\nSeccomp:\t0\n1");
  }, [existsSync("/dev/loop-control") ? undefined : "no /dev/loop-control"]);

  podman("seccomp: none, or a profile of one's own; no new privileges", () => {
    expect(store.sh("grep Seccomp: /proc/self/status", "--security-opt", "seccomp=unconfined")).toBe(
      "Seccomp:\t0",
    );
    const rule = { names: ["mkdir", "mkdirat"], action: "SCMP_ACT_ERRNO", errnoRet: 28 };
    const profile = store.path("seccomp.json");
    writeFileSync(profile, JSON.stringify({ defaultAction: "SCMP_ACT_ALLOW", syscalls: [rule] }));
    const result = run("--security-opt", `seccomp=${profile}`, IMAGE, "mkdir", "/tmp/x");
    expect(result.status).toBe(1);
    expect(result.stderr).toContain("mkdir: can't create directory '/tmp/x': No space left on device\n");
    expect(store.sh("grep NoNewPrivs /proc/self/status", "--security-opt", "no-new-privileges")).toBe(
      "NoNewPrivs:\t1",
    );
  });

  podman("masked paths: one more, or none; options of /proc", () => {
    expect(store.sh("wc -c < /proc/meminfo", "--security-opt", "mask=/proc/meminfo")).toBe("0");
    expect(store.sh("wc -l < /proc/timer_list", "--security-opt", "unmask=ALL")).not.toBe("0");
    const proc = store.sh("grep ' /proc ' /proc/mounts", "--security-opt", "proc-opts=hidepid=2,nosuid");
    expect(proc).toMatch(/^proc \/proc proc rw,nosuid,relatime,hidepid=(2|invisible)/);
  });

  podman("users and groups: by name, by number, unknown, with more groups", () => {
    const ids = (...flags: string[]): string =>
      store.sh("id -u; id -g; id -G", ...flags).replaceAll("\n", " ");
    expect(ids("--user", "user")).toBe("1000 1000 1000 2000");
    expect(ids("--user", "1000:2000")).toBe("1000 2000 2000");
    expect(ids("--user", "5555", "--group-add", "7", "--group-add", "extra")).toBe("5555 0 0 7 2000");
    expect(run("--user", "nobody-knows", IMAGE, "true").status).toBe(126);
  });

  podman("sysctls, rlimits, the OOM score", () => {
    const flags = [
      "--sysctl",
      "net.ipv4.ip_forward=1",
      "--sysctl",
      "kernel.msgmax=1234",
      "--oom-score-adj",
      "500",
    ];
    const limits = ["--ulimit", "core=0:0", "--ulimit", "nofile=100:200", "--ulimit", "nproc=100:200"];
    const line =
      "cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/msgmax /proc/self/oom_score_adj; ulimit -c; ulimit -n; ulimit -Hn";
    expect(store.sh(line, ...flags, ...limits).split("\n")).toEqual(["1", "1234", "500", "0", "100", "200"]);
    const unknown = run("--sysctl", "net.ipv4.nosuch=1", IMAGE, "true");
    expect([unknown.status, unknown.stderr.includes("nosuch")]).toEqual([127, true]);
  });
});

describe("podman's devices @v2", () => {
  podman("a device under its own and another name, and what of it is allowed", () => {
    const flags = ["--device", "/dev/fuse", "--device", "/dev/zero:/dev/nothing:r"];
    const line =
      "stat -c '%F %t:%T' /dev/fuse /dev/nothing; head -c 3 /dev/nothing | wc -c; echo > /dev/nothing";
    const result = run(...flags, IMAGE, "sh", "-c", line);
    // 1:5 is allowed by a default rule, so writing succeeds
    expect(result.stdout).toBe("character special file a:e5\ncharacter special file 1:5\n3\n");
  }, [existsSync("/dev/fuse") ? undefined : "no /dev/fuse"]);

  podman("--device-cgroup-rule allows what is otherwise denied", () => {
    const line = "mknod /tmp/d c 10 229 && cat < /tmp/d > /dev/null";
    const denied = run(IMAGE, "sh", "-c", line);
    expect(denied.stderr).toContain("Operation not permitted");
    const allowed = run("--device-cgroup-rule", "c 10:229 rwm", IMAGE, "sh", "-c", line);
    expect(allowed.stderr).not.toContain("can't open /tmp/d");
  }, [existsSync("/dev/fuse") ? undefined : "no /dev/fuse"]);

  podman("limits of block devices", () => {
    const disk =
      readFileSync("/proc/partitions", "utf8")
        .split("\n")
        .map((line) => line.trim().split(/ +/)[3])
        .find((name) => name !== undefined && /^vd[a-z]$/.test(name)) ?? "";
    const flags = ["--device-read-bps", `/dev/${disk}:1mb`, "--device-write-iops", `/dev/${disk}:100`];
    const files = isV2
      ? "io.max"
      : "blkio/blkio.throttle.read_bps_device blkio/blkio.throttle.write_iops_device";
    const { rdev } = statSync(`/dev/${disk}`);
    const number = `${(rdev >> 8) & 0xfff}:${rdev & 0xff}`;
    const out = store.sh(`cd /sys/fs/cgroup; cat ${files}`, ...flags);
    expect(out).toContain(isV2 ? `${number} rbps=1048576` : `${number} 1048576\n${number} 100`);
  }, [existsSync("/dev/vda") ? undefined : "no /dev/vda"]);
});

describe("podman's namespaces", () => {
  podman("--init: catatonit is the first process, forwards signals and reaps", () => {
    const name = store.detached(["--init"], "sleep", "600");
    expect(store.ok("top", name, "pid", "args")).toMatch(/\n1 +\/run\/podman-init -- sleep 600/);
    store.ok("stop", "-t", "5", name);
    expect(store.inspect(name, "{{.State.ExitCode}}")).toBe("143");
    store.ok("rm", name);
  }, [needsProgram("catatonit")]);

  podman("the host's", () => {
    const kinds = ["pid", "ipc", "uts", "net", "cgroup"];
    const flags = [
      "--pid",
      "host",
      "--ipc",
      "host",
      "--uts",
      "host",
      "--network",
      "host",
      "--cgroupns",
      "host",
    ];
    const line = `for kind in ${kinds.join(" ")}; do readlink /proc/self/ns/$kind; done`;
    expect(store.sh(line, ...flags).split("\n")).toEqual(
      kinds.map((kind) => readlinkSync(`/proc/self/ns/${kind}`)),
    );
  });

  podman("a user namespace: ids, files, devices, a terminal, exec", async () => {
    const flags = [
      "--uidmap",
      "0:100000:5000",
      "--gidmap",
      "0:200000:5000",
      "--memory",
      "64m",
      "--tmpfs",
      "/x",
    ];
    const line =
      "cat /proc/self/uid_map /proc/self/gid_map; touch /tmp/x /x/x; stat -c %u /tmp/x /x/x; echo > /dev/null; id -u";
    expect(store.sh(line, ...flags, "--device", "/dev/zero").replaceAll(/ +/g, " ")).toBe(
      " 0 100000 5000\n 0 200000 5000\n0\n0\n0",
    );
    const name = store.detached(flags, "sleep", "600");
    expect(store.ok("exec", name, "cat", "/proc/self/uid_map").replaceAll(/ +/g, " ")).toBe(" 0 100000 5000");
    expect(store.ok("top", name, "user", "huser")).toMatch(/root +100000/);
    using session = store.terminal("podman", [
      "exec",
      "-it",
      name,
      "sh",
      "-c",
      "tty; stat -c '%u %a' /dev/pts/0; echo x > /dev/stdout",
    ]);
    await session.read(/\/dev\/pts\/0\r\n0 6?20\r\nx\r\n/);
    expect(await session.exited()).toBe(0);
    store.remove(name);
  });

  podman("the cgroup: below a parent of one's own, none, or podman's own @v2", () => {
    const parent = `/${store.name()}`;
    const out = store.sh("cat /proc/self/cgroup", "--cgroup-parent", parent, "--cgroupns", "host");
    expect(out).toContain(`:${parent}/libpod-`);
    // podman asks this of runtimes that runtime_supports_nocgroups names
    const none = run("--cgroups=disabled", IMAGE, "true");
    expect([none.status, none.stderr.includes("not compatible with NoCgroups")]).toEqual([125, true]);
  });

  podman("a root file system without an image, also below an overlay", () => {
    const rootfs = store.path("rootfs");
    expect(store.ok("run", "--rm", "--rootfs", `${rootfs}:O`, "sh", "-c", "touch /made; ls /made")).toBe(
      "/made",
    );
    expect(existsSync(`${rootfs}/made`)).toBe(false);
    expect(store.ok("run", "--rm", "--rootfs", rootfs, "cat", "/etc/group")).toContain("extra");
  });

  podman("descriptors: preserved ones, those of socket activation, and no others", () => {
    const call = (prefix: string, flags: string, line: string) =>
      store.run("sh", [
        "-c",
        `exec 3<${store.path("volume/file")}; ${prefix} exec podman run --rm ${flags} ${IMAGE} sh -c '${line}'`,
      ]);
    expect(call("", "--preserve-fds 1", "cat <&3").stdout).toBe("from outside\n");
    expect(call("LISTEN_FDS=1 LISTEN_PID=$$", "", "echo $LISTEN_FDS $LISTEN_PID; cat <&3").stdout).toBe(
      "1 1\nfrom outside\n",
    );
    expect(call("", "", "ls /proc/self/fd").stdout).toBe("0\n1\n2\n3\n");
  });

  podman("secrets; hooks of a directory", () => {
    const secret = store.name();
    writeFileSync(store.path("secret"), "hidden");
    store.ok("secret", "create", secret, store.path("secret"));
    mkdirSync(store.path("hooks"));
    const hook = { path: "/bin/sh", args: ["sh", "-c", `cat > ${store.path("hook-state")}`] };
    const definition = { version: "1.0.0", hook, when: { always: true }, stages: ["prestart"] };
    writeFileSync(store.path("hooks/one.json"), JSON.stringify(definition));
    const flags = ["--rm", "--secret", secret, IMAGE, "cat", `/run/secrets/${secret}`];
    expect(store.ok("--hooks-dir", store.path("hooks"), "run", ...flags)).toBe("hidden");
    const state = JSON.parse(readFileSync(store.path("hook-state"), "utf8")) as Record<string, unknown>;
    expect(Object.keys(state)).toEqual(
      expect.arrayContaining(["ociVersion", "id", "pid", "bundle", "status"]),
    );
    store.ok("secret", "rm", secret);
  });

  podman("podman info and inspect name the runtime and its config.json", () => {
    expect(store.ok("info", "--format", "{{.Host.OCIRuntime.Name}} {{.Host.OCIRuntime.Version}}")).toContain(
      `${RUNTIME} `,
    );
    const name = store.detached([], "sleep", "600");
    const config = JSON.parse(readFileSync(store.inspect(name, "{{.OCIConfigPath}}"), "utf8"));
    expect([config.process.args, store.inspect(name, "{{.OCIRuntime}}")]).toEqual([
      ["sleep", "600"],
      RUNTIME,
    ]);
    store.remove(name);
  });

  podman("nothing is left @v2", async () => {
    expect(await store.leftBehind()).toEqual([]);
  });
});
