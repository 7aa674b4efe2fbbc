// What is known of a failure once there is one: reasons from errors that are made here, and from files of this host.
import { describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ErrnoName } from "../../src/base/errno";
import { errnoHint, systemCallHint } from "../../src/base/errno-hints";
import { HakoError } from "../../src/base/errors";
import { explainClone, userNamespaceRefused } from "../../src/explain/clone";
import { explainEnd } from "../../src/explain/death";
import { idMapHint, mountHint } from "../../src/explain/mount";
import { inOuterWords } from "../../src/explain/outer-container";
import { type Confinement, explainRights, rightsHint } from "../../src/explain/rights";
import { explainStateDirectory } from "../../src/explain/state-directory";
import { systemError } from "../../src/linux/call/syscall";
import { allCapabilities, type CapabilityName, capabilityBit } from "../../src/linux/process/capabilities";
import { NAMESPACE_FLAGS } from "../../src/linux/process/namespace";
import { answerTo, checkStart } from "../../src/seccomp/answer";
import { compile } from "../../src/seccomp/compile";

/** Root of the host, which nothing confines. */
const FREE: Confinement = {
  root: true,
  capabilities: allCapabilities(),
  filtered: false,
  profile: undefined,
};

describe("explainClone", () => {
  const all = Object.values(NAMESPACE_FLAGS).reduce((sum, flag) => sum | flag, 0);
  const explained = (errno: ErrnoName, more: Partial<Parameters<typeof explainClone>[1]> = {}) =>
    explainClone(systemError("clone3", errno), { flags: all, born: undefined, joinsPid: false, ...more });

  test("each errno has its reason, and the message stays", () => {
    expect(explained("EAGAIN").oneLine).toMatch(
      /^clone3: resource temporarily unavailable \(.*(pids\.max|threads-max)/,
    );
    expect(explained("ENOSPC").hint).toMatch(/user\.max_mnt_namespaces|is 0/);
    expect(explained("EPERM").hint).toContain("user");
    expect(explained("ENOSYS").hint).toMatch(/linux 5\.12|seccomp=unconfined/);
    expect(explained("ENOMEM").hint).toBeUndefined();
    expect(explained("ENOMEM", { joinsPid: true }).hint).toContain("first process of the pid namespace");
    expect(explained("EINVAL").hint).toBeUndefined();
  });

  test("errors of other calls are left alone", () => {
    const error = systemError("open", "EAGAIN", "/x");
    expect(explainClone(error, { flags: 0, born: undefined, joinsPid: false })).toBe(error);
  });
});

describe("userNamespaceRefused", () => {
  const rows: [Record<string, string>, string][] = [
    [{ "/proc/sys/kernel/unprivileged_userns_clone": "0" }, "kernel.unprivileged_userns_clone is 0"],
    [{ "/proc/sys/kernel/apparmor_restrict_unprivileged_userns": "1" }, "AppArmor keeps user namespaces"],
    [{ "/proc/sys/user/max_user_namespaces": "0" }, "user.max_user_namespaces is 0"],
    [
      { "/proc/sys/kernel/unprivileged_userns_clone": "1", "/proc/sys/user/max_user_namespaces": "9" },
      "no user namespace is made from within a chroot",
    ],
  ];
  for (const [files, text] of rows) {
    test(text, () => expect(userNamespaceRefused((file) => files[file], FREE)).toContain(text));
  }

  test("an AppArmor profile without userns, as of Linux 6.7", () => {
    const confined = { ...FREE, root: false, profile: "shell" };
    const why = userNamespaceRefused(() => undefined, confined, "EACCES");
    expect(why).toMatch(/^the profile shell .*apparmor=unconfined.*, or "userns," in an AppArmor profile$/);
    expect(userNamespaceRefused(() => undefined, FREE, "EACCES")).toContain("kernel's log");
  });

  test("an outer container's filter", () => {
    expect(userNamespaceRefused(() => undefined, { ...FREE, filtered: true })).toContain(
      "seccomp=unconfined",
    );
  });
});

describe("inOuterWords", () => {
  test("docker's flags are a pod's fields where a kubelet has made the container", () => {
    const said = "no: --security-opt seccomp=unconfined, --cap-add NET_ADMIN or --privileged there";
    expect(inOuterWords(said)).toBe(said);
    expect(inOuterWords(said, "10.0.0.1")).toBe(
      "no: securityContext.seccompProfile.type: Unconfined, securityContext.capabilities.add: [NET_ADMIN] or securityContext.privileged: true there",
    );
  });
});

describe("rightsHint", () => {
  const error = (call: string, errno: ErrnoName, path?: string) => systemError(call, errno, path);
  const without = (name: CapabilityName) => ({
    ...FREE,
    capabilities: allCapabilities() & ~capabilityBit(name),
  });
  const docker = { ...without("CAP_SYS_ADMIN"), filtered: true };
  const rows: [what: string, HakoError, Confinement, RegExp | undefined][] = [
    ["nothing in its way", error("clone3", "EPERM"), FREE, undefined],
    ["docker's filter", error("clone3", "ENOSYS"), docker, /seccomp=unconfined .*--cap-add SYS_ADMIN$/],
    ["a filter alone", error("clone3", "ENOSYS"), { ...FREE, filtered: true }, /--privileged there$/],
    ["an old kernel", error("mount_setattr", "ENOSYS"), FREE, /^hako needs linux 5\.12$/],
    [
      "a capability of root's",
      error("clone3", "EPERM"),
      without("CAP_SYS_ADMIN"),
      /^root lacks CAP_SYS_ADMIN .*--cap-add SYS_ADMIN /,
    ],
    [
      "an ordinary user",
      error("clone3", "EPERM"),
      { ...without("CAP_SYS_ADMIN"), root: false },
      /^it takes CAP_SYS_ADMIN: run as root$/,
    ],
    ["loopback", error("ioctl", "EPERM", "lo"), without("CAP_NET_ADMIN"), /--cap-add NET_ADMIN /],
    [
      "an interface",
      error("netlink", "EPERM", "bring lo up"),
      without("CAP_NET_ADMIN"),
      /--cap-add NET_ADMIN /,
    ],
    [
      "a raw socket",
      error("socket", "EPERM").with({ message: "raw socket: operation not permitted" }),
      without("CAP_NET_RAW"),
      /--cap-add NET_RAW /,
    ],
    ["another ioctl", error("ioctl", "EPERM", "/dev/tty"), without("CAP_NET_ADMIN"), undefined],
    ["a joined namespace", error("setns (network)", "EPERM"), without("CAP_SYS_ADMIN"), /CAP_SYS_ADMIN/],
    ["a device", error("mknodat", "EPERM"), without("CAP_MKNOD"), /--cap-add MKNOD /],
    ["a file's mode", error("open", "EACCES"), without("CAP_DAC_OVERRIDE"), /--cap-add DAC_OVERRIDE /],
    [
      "a file's mode, of a user's",
      error("open", "EACCES"),
      { ...without("CAP_DAC_OVERRIDE"), root: false },
      undefined,
    ],
    [
      "AppArmor",
      error("mount", "EACCES"),
      { ...FREE, filtered: true, profile: "docker-default" },
      /docker-default .*apparmor=unconfined/,
    ],
    [
      "SELinux",
      error("mount", "EACCES"),
      { ...FREE, profile: "system_u:system_r:container_t:s0" },
      /label=disable/,
    ],
  ];
  for (const [what, thrown, confined, hint] of rows) {
    test(what, () => {
      const found = rightsHint(thrown, confined);
      if (hint === undefined) expect(found).toBeUndefined();
      else expect(found).toMatch(hint);
    });
  }

  test("the innermost refusal of an error without a hint is explained", () => {
    const cause = error("ioctl", "EPERM", "lo");
    const outer = new HakoError({ code: "system", message: "network loopback", errno: "EPERM", cause });
    expect(explainRights(outer, without("CAP_NET_ADMIN")).oneLine).toMatch(
      /^network loopback: ioctl lo: operation not permitted \(root lacks CAP_NET_ADMIN/,
    );
    const known = new HakoError({ code: "system", message: "x", hint: "try y", cause });
    expect(explainRights(known, without("CAP_NET_ADMIN"))).toBe(known);
  });
});

describe("explainStateDirectory", () => {
  const root = "/run/hako-none/state";
  const of = (error: HakoError) => explainStateDirectory(root, error).oneLine;

  test("what happens to its files, also as the cause of something", () => {
    const error = systemError("mkdir", "EROFS", `${root}/web`);
    expect(of(error)).toBe(
      `state directory ${root}: mkdir ${root}/web: read-only file system (its file system is read-only: choose another --root)`,
    );
    const outer = new HakoError({ code: "system", message: "map container web", cause: error });
    expect(of(outer)).toContain(`state directory ${root}: map container web: mkdir`);
    expect(of(systemError("mkdir", "EACCES", "/run/hako-none"))).toContain("may not write there");
    expect(of(systemError("rename", "ENOSPC", `${root}/a to ${root}/b`))).toContain("no more ");
    expect(of(systemError("write", "EDQUOT", `${root}/a`))).toContain("quota");
  });

  test("nothing else", () => {
    for (const error of [
      systemError("open", "EACCES", "/run"),
      systemError("open", "EROFS", "/run/hako-none/state-of-others"),
      systemError("open_tree", "EPERM", `${root}/web/rootfs`),
      systemError("open", "ENOENT", `${root}/web`),
      systemError("open", "EACCES", `${root}/web`, "somebody knew more"),
    ]) {
      expect(explainStateDirectory(root, error)).toBe(error);
    }
  });
});

describe("hints of system calls", () => {
  test("limits of the kernel are named; a caller's own hint wins", () => {
    expect(systemError("openat", "EMFILE").hint).toContain("ulimit -n");
    expect(systemError("openat", "ENFILE").hint).toContain("fs.file-max");
    expect(systemError("keyctl", "EDQUOT").hint).toContain("kernel.keys.maxkeys");
    expect(systemError("move_mount", "ENOSPC").hint).toContain("fs.mount-max");
    expect(systemError("openat", "EMFILE", "/x", "mine").hint).toBe("mine");
    expect(systemError("openat", "ENOENT").hint).toBeUndefined();
  });
});

describe("mounts", () => {
  const bind = { destination: "/x", type: "bind", source: "/usr/no/such", options: ["bind"] };

  test("the part of a source that exists", () => {
    const hint = mountHint(bind, "/", false, systemError("open_tree", "ENOENT", bind.source));
    expect(hint).toBe("the source must exist on the host: /usr is the last part of it that does");
  });

  test("nothing is made up, and who knew more has the word", () => {
    expect(mountHint(bind, "/", false, systemError("open_tree", "EIO", bind.source))).toBeUndefined();
    const known = systemError("open_tree", "ENOENT", bind.source, "known");
    expect(mountHint(bind, "/", false, known)).toBeUndefined();
  });

  test("a type that the kernel doesn't know, or none", () => {
    const hint = (type?: string) =>
      mountHint({ destination: "/x", type }, "/", false, systemError("fsopen", "ENODEV"));
    expect(hint("nofs")).toStartWith("modprobe nofs, or");
    for (const type of [undefined, "", "none"]) expect(hint(type)).toStartWith("its type is missing");
  });

  test("mapped owners: file system and kernel", () => {
    expect(idMapHint("/proc", systemError("mount_setattr", "EINVAL"))).toMatch(
      /^\/proc is on proc: .* on Linux \d/,
    );
    expect(idMapHint("/proc", systemError("open_tree", "ENOENT"))).toBeUndefined();
  });
});

describe("explainEnd", () => {
  test("without counters only what the signal says", () => {
    expect(explainEnd({ signal: 9, cgroup: undefined }).hint).toContain("somebody killed it");
    expect(explainEnd({ signal: 31, cgroup: undefined }).why).toBe("a seccomp filter killed it");
    expect(explainEnd({ signal: 11, cgroup: undefined })).toEqual({});
  });

  test("cgroups that killed nobody are not blamed", () => {
    const dir = mkdtempSync(join(tmpdir(), "hako-explain-"));
    const node = {
      mountpoint: dir,
      name: "memory",
      controllers: ["memory"],
      unified: false,
      path: "/x",
      made: [],
    };
    expect(explainEnd({ signal: 9, cgroup: { version: "v1", nodes: [node] } }).why).toBeUndefined();
    rmSync(dir, { recursive: true });
  });

  test("the container's own limit has its field's name, one of less than a page is not 0 bytes", () => {
    const dir = mkdtempSync(join(tmpdir(), "hako-explain-"));
    const put = (path: string, limit: string, hits: string) => {
      mkdirSync(join(dir, path), { recursive: true });
      writeFileSync(join(dir, path, "memory.oom_control"), "oom_kill 1\n");
      writeFileSync(join(dir, path, "memory.failcnt"), hits);
      writeFileSync(join(dir, path, "memory.limit_in_bytes"), limit);
    };
    const why = (path: string) => {
      const more = { name: "memory", controllers: ["memory"], unified: false, made: [] };
      const nodes = [{ ...more, mountpoint: dir, path }];
      return explainEnd({ signal: 9, cgroup: { version: "v1", nodes } }).why;
    };
    put("above", "65536", "3");
    put("above/own", "0", "5");
    put("above/other", "0", "0");
    expect(why("/above/own")).toBe(
      `config /linux/resources/memory/limit: out of memory: it reached the limit of less than a page in memory.limit_in_bytes of cgroup ${dir}/above/own`,
    );
    expect(why("/above/other")).toBe(
      `out of memory: it reached the limit of 65536 bytes in memory.limit_in_bytes of cgroup ${dir}/above`,
    );
    // nothing counts how often that of memory and swap is reached
    put("swap", "65536", "0");
    writeFileSync(join(dir, "swap/memory.memsw.failcnt"), "0");
    writeFileSync(join(dir, "swap/memory.memsw.limit_in_bytes"), "65536");
    expect(why("/swap")).toBe(
      `config /linux/resources/memory/limit: out of memory: it reached the limit of 65536 bytes in memory.limit_in_bytes of cgroup ${dir}/swap`,
    );
    writeFileSync(join(dir, "swap/memory.memsw.limit_in_bytes"), "98304");
    expect(why("/swap")).toBe(
      `config /linux/resources/memory/swap: out of memory: it reached the limit of 98304 bytes in memory.memsw.limit_in_bytes of cgroup ${dir}/swap`,
    );
    rmSync(dir, { recursive: true });
  });
});

describe("a filter's answers", () => {
  const filter = (defaultAction: string, names: string[], action: string, errnoRet?: number) =>
    compile({
      defaultAction,
      syscalls: [{ names, action, ...(errnoRet === undefined ? {} : { errnoRet }) }],
    } as never);

  test("to calls of this machine", () => {
    const mixed = filter("SCMP_ACT_ALLOW", ["execve", "mount"], "SCMP_ACT_ERRNO", 38);
    expect(answerTo(mixed, "execve")).toEqual({ action: "SCMP_ACT_ERRNO", data: 38 });
    expect(answerTo(mixed, "read").action).toBe("SCMP_ACT_ALLOW");
    expect(
      answerTo(filter("SCMP_ACT_KILL_PROCESS", ["read", "openat2"], "SCMP_ACT_ALLOW"), "write").action,
    ).toBe("SCMP_ACT_KILL_PROCESS");
    expect(answerTo(filter("SCMP_ACT_ALLOW", ["write"], "SCMP_ACT_LOG"), "write").action).toBe(
      "SCMP_ACT_LOG",
    );
  });

  test("a profile that lets no program start", () => {
    expect(() => checkStart(filter("SCMP_ACT_ALLOW", ["execve"], "SCMP_ACT_ERRNO", 1), true)).toThrow(
      "the profile answers execve with SCMP_ACT_ERRNO (operation not permitted)",
    );
    const noCapset = filter("SCMP_ACT_ALLOW", ["capset"], "SCMP_ACT_ERRNO", 1);
    expect(() => checkStart(noCapset, false)).toThrow("capset");
    expect(() => checkStart(noCapset, true)).not.toThrow();
    expect(() =>
      checkStart(filter("SCMP_ACT_ERRNO", ["execve", "capset"], "SCMP_ACT_ALLOW"), false),
    ).not.toThrow();
  });
});

describe("errnoHint", () => {
  test("words are filled in, and looked up only where the hint has them", () => {
    const words = { existing: "/sys/fs/cgroup/a", limit: () => "4096", type: () => undefined };
    expect(errnoHint("make a cgroup", "ENOMEM", words)).toBe(
      "a cgroup takes memory of the one above: the limit of /sys/fs/cgroup/a is 4096",
    );
    expect(errnoHint("make a cgroup", "EOPNOTSUPP", words)).toContain('of type "unknown"');
    const never = () => {
      throw new Error("nobody needs it");
    };
    expect(errnoHint("make a cgroup", "ENOSPC", { existing: never, limit: never })).toContain(
      "/proc/cgroups",
    );
  });

  test("errnos that say it all have none", () => {
    expect(errnoHint("join a cgroup", "EIO")).toBeUndefined();
    expect(errnoHint("join a cgroup", undefined)).toBeUndefined();
    expect(systemCallHint("bpf", "ENOMEM")).toContain("ulimit -l");
    expect(systemCallHint("mount", "EMFILE")).toContain("ulimit -n");
    expect(systemCallHint("mount", "ENOMEM")).toBeUndefined();
  });
});
