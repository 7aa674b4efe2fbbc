// The distribution's words, QEMU's version and arguments.
import { describe, expect, test } from "bun:test";
import { distributionOf } from "../../src/drivers/vm/host/distribution";
import { parseQemuVersion } from "../../src/drivers/vm/qemu/find-qemu";
import {
  checkQemuVersion,
  isRootPort,
  type MachinePlan,
  qemuArguments,
  rootPort,
} from "../../src/drivers/vm/qemu/qemu-arguments";
import { machineWords } from "../../src/drivers/vm/words";

describe("distributions", () => {
  test("are known by their own names, and by those that they are like", () => {
    const install = (text: string) => distributionOf(text)?.install;
    expect(install('NAME="x"\nID=debian\n')).toStartWith("apt-get");
    expect(install('ID=linuxmint\nID_LIKE="ubuntu debian"\n')).toStartWith("apt-get");
    expect(distributionOf("ID=linuxmint\nID_LIKE='ubuntu debian'")?.packages.kernel).toBe(
      "linux-image-virtual",
    );
    expect(install('ID="rocky"\nID_LIKE="rhel centos fedora"')).toStartWith("dnf");
    expect(install('ID="opensuse-tumbleweed"\nID_LIKE="opensuse suse"')).toStartWith("zypper");
    expect(install("ID=arch")).toStartWith("pacman");
    expect(install("ID=alpine")).toStartWith("apk");
    expect(install("ID=other\n")).toBeUndefined();
    expect(install("")).toBeUndefined();
    expect(install("ID=constructor\n")).toBeUndefined();
  });
});

describe("QEMU", () => {
  const plan: MachinePlan = {
    accelerator: "tcg",
    memory: 256 << 20,
    cpus: 2,
    kernel: "/k",
    initramfs: "/i",
    image: "/with,comma",
    controlFd: 7,
    qmpFd: 9,
  };
  const after = (words: string[], flag: string) =>
    words.flatMap((word, index) => (word === flag ? [words[index + 1] ?? ""] : []));

  test("tells its version in one way", () => {
    expect(parseQemuVersion("QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)\n")).toEqual([
      7, 2, 22,
    ]);
    expect(parseQemuVersion("QEMU emulator version 10.0.50\nCopyright\n")).toEqual([10, 0, 50]);
    expect(parseQemuVersion("")).toBeUndefined();
    expect(parseQemuVersion("version 7.2.1")).toBeUndefined();
  });

  test("that is too old is refused", () => {
    for (const version of [
      [6, 0, 0],
      [6, 2, 0],
      [7, 2, 22],
      [11, 0, 0],
    ] as const)
      checkQemuVersion(version, "/q");
    expect(() => checkQemuVersion([5, 2, 0], "/q")).toThrow("/q is QEMU 5.2.0; machines need 6.0 or newer");
  });

  test("has no devices but the guest's, no network, and a sandbox", () => {
    const words = qemuArguments([7, 2, 22], plan);
    expect(words).toContain("-nodefaults");
    expect(words).toContain("-no-user-config");
    expect(after(words, "-nic")).toEqual(["none"]);
    expect(after(words, "-sandbox")[0]).toMatch(/^on,.*spawn=deny/);
    expect(after(words, "-device")).toEqual([
      "virtio-blk-pci,drive=image",
      "virtio-serial-pci",
      "virtserialport,chardev=control,name=hako.agent",
    ]);
    expect(after(words, "-chardev").filter((each) => each.startsWith("socket"))).toEqual([
      "socket,id=control,fd=7",
      "socket,id=qmp,fd=9",
    ]);
    expect(JSON.parse(after(words, "-blockdev")[0] ?? "")).toMatchObject({
      "read-only": true,
      file: { filename: "/with,comma", "read-only": true },
    });
    expect(after(words, "-append")[0]?.split(" ")).toContain("hako.agent");
    expect(after(words, "-m")).toEqual(["256M"]);
    expect(after(words, "-smp")).toEqual(["2"]);
  });

  test("of a container listens, has ports without a backend, and files that can only be read", () => {
    const words = qemuArguments([7, 2, 22], { ...plan, listens: true, streams: 2, trees: true });
    expect(after(words, "-chardev").filter((each) => !each.startsWith("ringbuf"))).toEqual([
      "socket,id=control,fd=7,server=on,wait=off",
      "socket,id=qmp,fd=9,server=on,wait=off",
      "null,id=stream0",
      "null,id=stream1",
    ]);
    expect(after(words, "-device").slice(-3)).toEqual([
      "virtserialport,chardev=stream0,name=hako.stream.0",
      "virtserialport,chardev=stream1,name=hako.stream.1",
      "virtio-9p-pci,fsdev=tree,mount_tag=hako.trees",
    ]);
    expect(after(words, "-fsdev")[0]).toMatch(/^local,.*readonly=on,.*path=\/trees$/);
  });

  test("that grows has ports, slots and processors for what is plugged, and a kernel that uses it", () => {
    const grows = { memory: 8 * 2 ** 30, cpus: 4 };
    const words = qemuArguments([7, 2, 22], { ...plan, grows });
    expect(after(words, "-m")).toEqual(["256M,slots=32,maxmem=8192M"]);
    // emulated processors are there from the beginning, and left alone
    expect(after(words, "-smp")).toEqual(["4,maxcpus=4"]);
    expect(after(words, "-append")[0]?.split(" ")).toContain("maxcpus=2");
    const native = qemuArguments([7, 2, 22], { ...plan, grows, accelerator: "kvm" });
    expect(after(native, "-smp")).toEqual(["2,maxcpus=4"]);
    expect(after(native, "-append")[0]).not.toContain("maxcpus");
    const ports = after(words, "-device").filter((each) => each.startsWith("pcie-root-port"));
    expect(ports).toHaveLength(6);
    expect(new Set(ports).size).toBe(6);
    expect(isRootPort(rootPort(3))).toBeTrue();
    expect(isRootPort("")).toBeFalse();
    expect(after(words, "-append")[0]).toContain(" memhp_default_state=online");
    // a small host's machine too
    const small = qemuArguments([7, 2, 22], { ...plan, grows: { memory: 1, cpus: 1 } });
    expect(after(small, "-m")).toEqual(["256M,slots=32,maxmem=384M"]);
    expect(after(small, "-smp")).toEqual(["2,maxcpus=2"]);
  });

  test("gets what its version knows, and what its accelerator needs", () => {
    const machine = (version: readonly [number, number, number]) =>
      after(qemuArguments(version, plan), "-machine")[0];
    expect(machine([7, 2, 0])).not.toContain("hpet");
    expect(machine([8, 0, 0])).toContain("hpet=off");
    expect(machine([11, 1, 0])).toContain("hpet=off");
    // what it emulates wrongly is left out
    expect(after(qemuArguments([7, 2, 22], plan), "-append")[0]).toEndWith(" clearcpuid=141");
    expect(after(qemuArguments([10, 0, 0], plan), "-append")[0]).not.toContain("clearcpuid");
    const kvm = qemuArguments([7, 2, 0], { ...plan, accelerator: "kvm" });
    expect(after(kvm, "-accel")).toEqual(["kvm"]);
    expect(after(kvm, "-cpu")).toEqual(["host"]);
    expect(after(qemuArguments([7, 2, 0], plan), "-cpu")).toEqual([
      "max,erms=off,fsrm=off,la57=off,smap=off,smep=off,pku=off",
    ]);
    // what keeps guests apart stays where it is a boundary
    expect(after(kvm, "-append")[0]).not.toMatch(/mitigations|clearcpuid|hugepage/);
  });
});

describe("what a probe comes to", () => {
  test("names emulation as what it is", () => {
    const kvm = { accelerator: "kvm", works: false, reason: "no" } as const;
    const tcg = { accelerator: "tcg", works: true, seconds: 2 } as const;
    expect(machineWords({ accelerator: "tcg", trials: [kvm, tcg] })).toBe(
      "emulated: slow, and no security boundary (kvm: no)",
    );
    expect(machineWords({ accelerator: "tcg", trials: [tcg] })).toBe(
      "emulated: slow, and no security boundary",
    );
    expect(machineWords({ accelerator: "kvm", trials: [{ ...kvm, works: true }] })).toBe("by KVM");
    expect(machineWords({ accelerator: undefined, trials: [kvm] })).toBe("none can be had: kvm: no");
  });
});
