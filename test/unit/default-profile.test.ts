import { describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SCRIPT_CAPABILITIES } from "../../src/container/script/script-capabilities";
import { type Action, ARCHITECTURES, NATIVE, X32_BIT } from "../../src/oci/seccomp-words";
import { compile } from "../../src/seccomp/compile";
import { defaultProfile } from "../../src/seccomp/default-profile";
import { readProfile } from "../../src/seccomp/seccomp-file";
import { SYSCALLS } from "../../src/seccomp/syscalls";
import { unknownForbidden } from "../../src/seccomp/unknown-calls";
import { run } from "../seccomp/interpreter";

const ALLOW = 0x7fff0000;
const EPERM = 0x00050001;
const ENOSYS = 0x00050026;
const KILL = 0;

/** What nobody may call, whatever its capabilities: with those that are allowed these are all that hako knows. */
const FORBIDDEN: Readonly<Record<string, string>> = {
  "keys of the kernel, which no namespace holds": "add_key keyctl request_key",
  "programs in the kernel": "bpf",
  "it stops the kernel where that suits a program": "userfaultfd",
  "arguments in memory, where no filter looks": "socketcall",
  "the container's root is hako's to make": "pivot_root",
  "another kernel": "kexec_file_load kexec_load",
  "pages and swap of the whole machine": "migrate_pages move_pages swapoff swapon",
  "the kernel's own probes": "uprobe",
  "for old programs only, or in no kernel of today": `
    _sysctl afs_syscall bdflush break create_module ftime get_kernel_syms get_tls getpmsg gtty idle lock mpx nfsservctl
    nice oldfstat oldlstat oldolduname oldstat olduname pciconfig_iobase pciconfig_read pciconfig_write prof profil putpmsg
    query_module readdir security sgetmask sigaction signal sigpending sigsuspend ssetmask stty sysfs tuxcall ulimit uselib
    usr26 usr32 ustat vm86 vm86old vserver`,
  "newer than the profile": "file_getattr file_setattr listns open_tree_attr rseq_slice_yield",
};
const ADMINISTRATORS =
  "CAP_DAC_READ_SEARCH CAP_PERFMON CAP_SYS_ADMIN CAP_SYS_BOOT CAP_SYS_CHROOT CAP_SYS_MODULE CAP_SYS_NICE CAP_SYS_PACCT CAP_SYS_PTRACE CAP_SYS_RAWIO CAP_SYS_TIME CAP_SYS_TTY_CONFIG CAP_SYSLOG CAP_BPF".split(
    " ",
  );
const ARCHES = ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"];
const words = (text: string) => text.split(/\s+/).filter((word) => word !== "");

/** The answer to a call of an architecture, by a filter made for the machine that has it. */
function answerOf(capabilities: readonly string[]) {
  const filters = new Map(
    ["SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64"].map((native) => [
      native,
      compile(defaultProfile(capabilities, native), native).program,
    ]),
  );
  return (name: string, architecture: string, ...args: bigint[]): number | undefined => {
    const native = architecture.startsWith("SCMP_ARCH_X") ? "SCMP_ARCH_X86_64" : "SCMP_ARCH_AARCH64";
    const { audit, column } = ARCHITECTURES[architecture] ?? { audit: 0, column: 0 };
    const nr = SYSCALLS[name]?.[column] ?? -1;
    return nr < 0
      ? undefined
      : run(filters.get(native) ?? new Uint8Array(), { nr, arch: audit, args }).answer;
  };
}

describe("the default profile", () => {
  const answer = answerOf(SCRIPT_CAPABILITIES);
  const asAdministrator = answerOf(ADMINISTRATORS);

  test("says of every call that hako knows whether it may be made, and to whom", () => {
    const named = (defaultProfile(ADMINISTRATORS).syscalls ?? []).flatMap(({ names }) => names);
    const forbidden = words(Object.values(FORBIDDEN).join(" "));
    expect([...new Set([...named, ...forbidden])].sort()).toEqual(Object.keys(SYSCALLS).sort());
    expect(forbidden.filter((name) => named.includes(name))).toEqual([]);
    expect(new Set(forbidden).size).toBe(forbidden.length);
  });

  test.each(ARCHES)("%s: what is forbidden is so for everybody", (architecture) => {
    for (const name of words(Object.values(FORBIDDEN).join(" "))) {
      for (const each of [answer, asAdministrator])
        expect([name, each(name, architecture)]).not.toEqual([name, ALLOW]);
    }
    for (const each of [answer, asAdministrator]) {
      for (const name of ["clone3", "io_uring_setup", "io_uring_enter", "io_uring_register"])
        expect([name, each(name, architecture)]).toEqual([name, ENOSYS]);
    }
  });

  test.each(ARCHES)("%s: new namespaces, also among other flags", (architecture) => {
    const flags = [0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000];
    for (const flag of flags) {
      const asked = [BigInt(flag), BigInt(flag) | 0x11n, BigInt(flag) | 0xffffffff00000000n];
      for (const flagsOfCall of asked) expect(answer("clone", architecture, flagsOfCall)).toBe(EPERM);
      expect(answer("unshare", architecture, BigInt(flag))).toBe(EPERM);
    }
    expect(answer("clone", architecture, 0x11n)).toBe(ALLOW);
    expect(answer("clone", architecture, 0x3d0f00n)).toBe(ALLOW);
    expect(answer("setns", architecture, 3n, 0n)).toBe(EPERM);
    for (const name of ["clone", "unshare"]) {
      expect(asAdministrator(name, architecture, 0x40000000n)).toBe(ALLOW);
      expect(asAdministrator(name, architecture, 0x50000000n)).toBe(EPERM);
    }
    expect(asAdministrator("setns", architecture, 3n, 0x40000000n)).toBe(ALLOW);
    expect(asAdministrator("setns", architecture, 3n, 0x10000000n)).toBe(EPERM);
  });

  test.each(ARCHES)("%s: sockets that a network namespace holds", (architecture) => {
    const families = Array.from({ length: 64 }, (_, family) => family);
    const wide = architecture === "SCMP_ARCH_X86_64" || architecture === "SCMP_ARCH_AARCH64";
    // the kernel looks at the low half only
    const spellings = (family: number) => [BigInt(family), ...(wide ? [BigInt(family) | (1n << 32n)] : [])];
    const allowed = (name: string, each: typeof answer) =>
      families.filter((family) => spellings(family).some((one) => each(name, architecture, one) === ALLOW));
    for (const each of [answer, asAdministrator]) {
      expect(allowed("socket", each)).toEqual([1, 2, 10, 16, 17]);
      expect(allowed("socketpair", each)).toEqual([1]);
    }
  });

  test("32-bit x86 makes no socket by socketcall, whose arguments are in memory", () => {
    for (const call of [1n, 8n]) expect(answer("socketcall", "SCMP_ARCH_X86", call)).toBe(EPERM);
  });

  test("x32 is another way for none of it", () => {
    const program = compile(
      defaultProfile(SCRIPT_CAPABILITIES, "SCMP_ARCH_X86_64"),
      "SCMP_ARCH_X86_64",
    ).program;
    const arch = ARCHITECTURES.SCMP_ARCH_X86_64?.audit ?? 0;
    for (const nr of [0, 41, 56, 425, 520])
      expect(run(program, { nr: X32_BIT + nr, arch }).answer).toBe(KILL);
  });

  // arm's own calls have numbers far above all others
  test.each(ARCHES.slice(0, 3))("%s: what is newer than all of it is not there", (architecture) => {
    const { audit: arch, column } = ARCHITECTURES[architecture] ?? { audit: 0, column: 0 };
    const native = architecture.startsWith("SCMP_ARCH_X") ? "SCMP_ARCH_X86_64" : "SCMP_ARCH_AARCH64";
    const program = compile(defaultProfile(SCRIPT_CAPABILITIES, native), native).program;
    for (const nr of [SYSCALLS.open_tree_attr?.[column] ?? 0, 600])
      expect(run(program, { nr, arch }).answer).toBe(ENOSYS);
  });

  test("capabilities open what they are good for, and no more", () => {
    const allowedTo = (...capabilities: string[]) => {
      const each = answerOf(capabilities);
      return Object.keys(SYSCALLS).filter((name) => each(name, NATIVE) === ALLOW);
    };
    const base = allowedTo();
    const more = (...capabilities: string[]) =>
      allowedTo(...capabilities).filter((name) => !base.includes(name));
    expect(more("CAP_NET_ADMIN", "CAP_CHOWN", "CAP_BPF")).toEqual([]);
    expect(more("CAP_SYS_CHROOT")).toEqual(["chroot"]);
    expect(more("CAP_SYS_TIME")).toEqual(["clock_settime", "settimeofday"]);
    expect(more("CAP_SYS_MODULE")).toEqual(["delete_module", "finit_module", "init_module"]);
    expect(more("CAP_SYS_ADMIN")).toEqual(
      expect.arrayContaining(["mount", "umount2", "setns", "unshare", "sethostname"]),
    );
    expect(allowedTo(...SCRIPT_CAPABILITIES)).toEqual(allowedTo("CAP_SYS_CHROOT"));
  });
});

describe("names that nobody knows", () => {
  const found = (defaultAction: Action, action: Action, ...names: string[]) =>
    unknownForbidden({ defaultAction, syscalls: [{ names, action }] }).map(({ pointer }) => pointer);

  test("matter where they are forbidden, and not where they are allowed", () => {
    expect(found("SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", "mkdir", "mkdri")).toEqual(["/syscalls/0/names/1"]);
    expect(found("SCMP_ACT_ALLOW", "SCMP_ACT_LOG", "mkdri")).toEqual(["/syscalls/0/names/0"]);
    expect(found("SCMP_ACT_LOG", "SCMP_ACT_KILL_PROCESS", "mkdri")).toEqual(["/syscalls/0/names/0"]);
    expect(found("SCMP_ACT_ERRNO", "SCMP_ACT_KILL_PROCESS", "mkdri")).toEqual(["/syscalls/0/names/0"]);
    expect(found("SCMP_ACT_ERRNO", "SCMP_ACT_ALLOW", "mkdri")).toEqual([]);
    expect(found("SCMP_ACT_KILL_PROCESS", "SCMP_ACT_KILL", "mkdri")).toEqual([]);
  });
  test("those of other machines are known", () => {
    expect(found("SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", "s390_runtime_instr", "swapcontext", "vm86")).toEqual(
      [],
    );
    expect(found("SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", "getdomainname", "utrap_install")).toEqual([]);
  });
});

describe("a profile in a file", () => {
  const read = (document: unknown, ...capabilities: string[]) => {
    const directory = mkdtempSync(join(tmpdir(), "hako-profile-"));
    const file = join(directory, "profile.json");
    writeFileSync(file, typeof document === "string" ? document : JSON.stringify(document));
    try {
      return readProfile(file, capabilities);
    } finally {
      rmSync(directory, { recursive: true });
    }
  };
  const DENY = "SCMP_ACT_ERRNO";
  const ALLOWED = "SCMP_ACT_ALLOW";
  const names = (profile: ReturnType<typeof read>) => (profile.syscalls ?? []).flatMap((rule) => rule.names);

  test("as in config.json", () => {
    const profile = { defaultAction: ALLOWED, syscalls: [{ names: ["mkdir"], action: DENY, errnoRet: 28 }] };
    expect(read(profile)).toMatchObject(profile);
  });

  test("docker's and podman's: conditions, architectures, errors by name", () => {
    const rule = (name: string, more: object) => ({ names: [name], action: ALLOWED, comment: "", ...more });
    const own = process.arch === "arm64" ? "arm64" : "amd64";
    const profile = {
      defaultAction: DENY,
      defaultErrno: "ENOSYS",
      archMap: [
        { architecture: "SCMP_ARCH_X86_64", subArchitectures: ["SCMP_ARCH_X86"] },
        { architecture: "SCMP_ARCH_AARCH64", subArchitectures: ["SCMP_ARCH_ARM"] },
      ],
      syscalls: [
        rule("read", { includes: {}, excludes: {} }),
        rule("mount", { includes: { caps: ["CAP_SYS_ADMIN"] } }),
        rule("clone", { excludes: { caps: ["CAP_SYS_ADMIN"] } }),
        rule("bpf", { includes: { caps: ["CAP_BPF", "CAP_SYS_ADMIN"] } }),
        rule("kill", { includes: { arches: [own] } }),
        rule("tkill", { includes: { arches: ["s390x"] } }),
        rule("link", { excludes: { arches: [own] } }),
        rule("ptrace", { includes: { minKernel: "4.8" } }),
        rule("sync", { includes: { minKernel: "99.1" } }),
        rule("tee", { excludes: { minKernel: "4.8" } }),
        { names: ["open"], action: DENY, errno: "EPERM" },
      ],
    };
    const plain = read(profile);
    expect(names(plain)).toEqual(["read", "clone", "kill", "ptrace", "open"]);
    expect(plain.defaultErrnoRet).toBe(38);
    expect(plain.syscalls?.at(-1)?.errnoRet).toBe(1);
    expect(plain.architectures).toEqual(
      own === "arm64" ? ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"] : ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"],
    );
    expect(names(read(profile, "CAP_SYS_ADMIN"))).toEqual(["read", "mount", "kill", "ptrace", "open"]);
  });

  test.each([
    ["{", "not JSON"],
    [{}, "/defaultAction: missing"],
    [{ defaultAction: "ALLOW" }, "/defaultAction: expected an action"],
    [{ defaultAction: ALLOWED, syscals: [] }, "/syscals: unknown"],
    [{ linux: { seccomp: { defaultAction: ALLOWED } } }, "/defaultAction: missing"],
    [
      { defaultAction: ALLOWED, syscalls: [{ names: ["a"], action: DENY, arg: [] }] },
      "/syscalls/0/arg: unknown",
    ],
    [{ defaultAction: ALLOWED, syscalls: [{ name: "a", action: DENY }] }, "/syscalls/0/names: missing"],
    [
      { defaultAction: ALLOWED, syscalls: [{ names: ["a"], action: DENY, errno: "EWHAT" }] },
      "/syscalls/0/errno",
    ],
    [
      { defaultAction: ALLOWED, syscalls: [{ names: ["read", "mkdri"], action: DENY }] },
      '/syscalls/0/names/1: unknown system call "mkdri", which nothing forbids then (did you mean mkdir?)',
    ],
    [{ defaultAction: "SCMP_ACT_NOTIFY" }, "/defaultAction: SCMP_ACT_NOTIFY can't be the default"],
    [{ defaultAction: ALLOWED, architectures: [NATIVE], archMap: [] }, "/archMap: contradicts"],
    [
      { defaultAction: ALLOWED, syscalls: [{ names: ["a"], action: DENY, includes: { cap: [] } }] },
      "includes/cap: unknown",
    ],
  ])("%j is refused", (document, text) => {
    expect(() => read(document)).toThrow(text);
  });
});
