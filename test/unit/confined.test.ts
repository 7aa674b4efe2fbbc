// Programs that a guest may take over: what they see, and the trees of containers that are given to them.
import { describe, expect, test } from "bun:test";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { startConfined } from "../../src/drivers/vm/confined/confined-process";
import { confinedProfile } from "../../src/drivers/vm/confined/confined-profile";
import { directoriesAbove, withoutInner } from "../../src/drivers/vm/confined/confined-root";
import { filesOfProgram, listedObjects } from "../../src/drivers/vm/confined/program-files";
import { giveTree, takeTree } from "../../src/drivers/vm/confined/trees";
import { textOf } from "../../src/linux/call/bytes";
import { O } from "../../src/linux/call/constants";
import { readAtMost } from "../../src/linux/file/file";
import { memoryFile } from "../../src/linux/file/memfd";
import { openAt } from "../../src/linux/file/path";
import { ATTR, cloneTree } from "../../src/linux/mount/mount-calls";
import { capabilityBit } from "../../src/linux/process/capabilities";
import { reapChild, startTimeOf } from "../../src/linux/process/process";

const isRoot = process.getuid?.() === 0;

describe("files of a program", () => {
  test("are what its loader names", () => {
    const glibc =
      "\tlinux-vdso.so.1 (0x00007ffd)\n\tlibz.so.1 => /lib/x86_64-linux-gnu/libz.so.1 (0x00007f01)\n\t/lib64/ld-linux-x86-64.so.2 (0x00007f02)\n";
    expect(listedObjects(glibc)).toEqual({
      found: ["/lib/x86_64-linux-gnu/libz.so.1", "/lib64/ld-linux-x86-64.so.2"],
      missing: undefined,
    });
    expect(listedObjects("\tlibslirp.so.0 => not found\n").missing).toBe("libslirp.so.0");
  });

  test("are all there; a script has none", () => {
    const files = filesOfProgram("/bin/sh");
    expect(files[0]).toBe("/bin/sh");
    expect(files.every((path) => existsSync(path))).toBeTrue();
    using directory = temporary();
    const script = join(directory.path, "script");
    writeFileSync(script, "#!/bin/sh\n", { mode: 0o755 });
    expect(() => filesOfProgram(script)).toThrow("is no executable of this machine's");
  });
});

test("places are made from above, and once", () => {
  expect(withoutInner(["/a/b/c", "/a/b", "/a/bc", "/a/b"])).toEqual(["/a/b", "/a/bc"]);
  expect(directoriesAbove(["/a/b/c", "/a/d"])).toEqual(["/a", "/a/b"]);
});

function temporary(): { path: string } & Disposable {
  const path = mkdtempSync("/tmp/hako-confined-");
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true }) };
}

/** What a line of shell says, confined. */
function said(line: string, rights = 0n): string {
  using output = memoryFile("output");
  const files = ["/bin/sh", "/bin/ls", "/bin/cat", "/bin/head"].flatMap((path) => filesOfProgram(path));
  const pid = startConfined({
    path: "/bin/sh",
    words: ["-c", line],
    root: { files, devices: [], trees: true },
    ...{ output, descriptors: [], rights, endsWithMaker: true },
  });
  reapChild(pid, true);
  using written = openAt(undefined, output.path, O.RDONLY);
  return textOf(readAtMost(written, 65536));
}

describe.skipIf(!isRoot)("a confined process", () => {
  test("has no rights, an id that nobody has, and namespaces of its own", () => {
    const text = said("cat /proc/self/status; echo pid $$; cat /proc/net/dev; cat /proc/self/uid_map");
    expect(text).toContain("CapEff:\t0000000000000000");
    expect(text).toContain("CapPrm:\t0000000000000000");
    expect(text).toContain("NoNewPrivs:\t1");
    expect(text).toContain("Seccomp:\t2");
    const [, uid] = /^Uid:\t(\d+)/m.exec(text) ?? [];
    expect(Number(uid)).toBeGreaterThanOrEqual(0x70000000);
    expect(text).toContain("pid 1\n");
    expect(text).not.toMatch(/eth|veth/);
  });

  test("has the right over files that it is given, in a user namespace of its own", () => {
    const text = said(
      "head -60 /proc/self/status; ls -l /proc/self/ns/user",
      capabilityBit("CAP_DAC_READ_SEARCH"),
    );
    expect(text).toContain("CapEff:\t0000000000000004");
    expect(text).toMatch(/user:\[\d+\]/);
    expect(text).not.toContain(readlinkSync("/proc/self/ns/user"));
  });

  test("sees its files and no others, and can't write", () => {
    const text = said("ls -A /; ls /bin /proc/1/root/etc; ls /dev; echo x >/trees/x; echo x >/bin/x");
    expect(text).not.toMatch(/^(home|root|tmp|var|run|sys)$/m);
    expect(text).toContain("cat\nhead\nls\nsh\n");
    expect(text).not.toContain("passwd");
    expect(text).toMatch(/\/trees\/x: (Permission|permission) denied/);
    expect(text).toMatch(/\/bin\/x: .*([Rr]ead-only|[Pp]ermission)/);
  });

  test("is given trees, which can be taken away", () => {
    using directory = temporary();
    mkdirSync(join(directory.path, "below"));
    using output = openAt(undefined, "/dev/null", O.WRONLY);
    const pid = startConfined({
      path: "/bin/sleep",
      words: ["100"],
      root: { files: filesOfProgram("/bin/sleep"), devices: [], trees: true },
      ...{ output, descriptors: [], rights: 0n, endsWithMaker: true },
    });
    try {
      const holder = { pid, startTime: startTimeOf(pid) };
      const trees = `/proc/${pid}/root/trees`;
      for (const name of ["one", "two.7"]) {
        using tree = cloneTree(directory.path, true);
        giveTree(holder, name, tree, ATTR.RDONLY | ATTR.NODEV);
        expect(readdirSync(`${trees}/${name}`)).toEqual(["below"]);
      }
      expect(() => writeFileSync(`${trees}/one/file`, "")).toThrow("read-only");
      expect(readFileSync("/proc/self/mountinfo", "utf8")).not.toContain("/trees/");
      takeTree(holder, "one");
      expect(readdirSync(trees)).toEqual(["two.7"]);
      using again = cloneTree(directory.path, true);
      expect(() => giveTree(holder, "two.7", again, 0)).toThrow("mkdir /trees/two.7: file exists");
    } finally {
      process.kill(pid, "SIGKILL");
      reapChild(pid, true);
    }
  });

  test("that can't be made tells why, and leaves nothing", () => {
    using output = memoryFile("output");
    const files = ["/bin/sh", "/no/such/file"];
    expect(() =>
      startConfined({
        path: "/bin/sh",
        words: [],
        root: { files, devices: [], trees: false },
        ...{ output, descriptors: [], rights: 0n, endsWithMaker: true },
      }),
    ).toThrow("mount /no/such/file on /proc/no/such/file: no such file or directory");
  });
});

test("the filter of confined programs has no calls that reach past what they are given", () => {
  const { syscalls = [], defaultAction } = confinedProfile("SCMP_ARCH_X86_64");
  expect(defaultAction).toBe("SCMP_ACT_ERRNO");
  const allowed = new Set(
    syscalls.filter(({ action }) => action === "SCMP_ACT_ALLOW").flatMap(({ names }) => names),
  );
  for (const name of ["openat", "ppoll", "clone", "chroot", "accept4", "listen"])
    expect([name, allowed.has(name)]).toEqual([name, true]);
  for (const name of [
    ...[
      "open_by_handle_at",
      "socket",
      "connect",
      "bind",
      "mount",
      "umount2",
      "pivot_root",
      "setns",
      "open_tree",
    ],
    ...[
      "move_mount",
      "ptrace",
      "process_vm_readv",
      "pidfd_getfd",
      "bpf",
      "perf_event_open",
      "keyctl",
      "add_key",
    ],
    ...["io_uring_setup", "userfaultfd", "kexec_load", "init_module", "clone3", "personality"],
  ])
    expect([name, allowed.has(name)]).toEqual([name, false]);
  const unshare = syscalls.filter(({ names }) => names.includes("unshare"));
  expect(unshare.map(({ args }) => args?.map(({ op, value }) => [op, value]))).toEqual([
    [["SCMP_CMP_EQ", 0x200]],
  ]);
});
