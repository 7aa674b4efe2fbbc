import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { bundleFindings } from "../../src/container/validate/validate";
import { problemLine } from "../../src/oci/config";
import { defaultConfig } from "../../src/oci/default";
import { unifiedFileProblem } from "../../src/oci/unified-files";
import { checkedConfig } from "../../src/oci/validate";

type Json = Record<string, unknown>;

let dir = "";
let bundle = "";
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), "hako-oci-"));
  bundle = join(dir, "bundle");
  mkdirSync(join(bundle, "rootfs/bin"), { recursive: true });
  writeFileSync(join(bundle, "rootfs/bin/sh"), "#!/bin/busybox", { mode: 0o755 });
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

/** What create would refuse of a bundle. */
function errors(path: string): string[] {
  const { file, findings } = bundleFindings(path, "cgroupfs");
  return findings
    .filter(({ severity }) => severity === "error")
    .map((each) => (file === undefined ? each.message : problemLine(each)));
}

/** The problems of the default config with some fields of `process`, `linux` and of the document replaced. */
function problems(change: { process?: Json; linux?: Json; mounts?: Json[]; domainname?: string }): string {
  const base = defaultConfig({ rootless: false });
  const config = {
    ...base,
    process: { ...base.process, ...change.process },
    linux: { ...base.linux, ...change.linux },
    mounts: change.mounts ?? base.mounts,
    domainname: change.domainname,
  };
  writeFileSync(join(bundle, "config.json"), JSON.stringify(config));
  return errors(bundle).join("\n");
}

const NAMESPACES = ["pid", "network", "ipc", "uts", "mount"].map((type) => ({ type }));
const IN_USER = [...NAMESPACES, { type: "user" }];

describe("another isolation than that of namespaces", () => {
  const base = defaultConfig({ rootless: false });
  function findings(change: Json) {
    writeFileSync(join(bundle, "config.json"), JSON.stringify({ ...base, ...change }));
    const found = bundleFindings(bundle, "cgroupfs").findings;
    return ["error", "warning"].map((severity) =>
      found
        .filter((each) => each.severity === severity)
        .map(({ pointer, message }) => `${pointer}: ${message}`),
    );
  }
  const machine = "asks for a virtual machine of its own making: hako's are made by --driver vm";

  test("is refused where it is asked for", () => {
    const [problems] = findings({
      vm: {
        hypervisor: { path: "/usr/bin/qemu", parameters: [] },
        kernel: { path: "/boot/vmlinuz" },
        image: { path: "/vm.img", format: "raw" },
        hwConfig: { vcpus: 2 },
      },
      annotations: { "run.oci.handler": "krun", "run.oci.seccomp_bpf_data": "AAAA" },
    });
    expect(problems).toEqual([
      `/vm/hypervisor: ${machine}`,
      `/vm/kernel: ${machine}`,
      `/vm/image: ${machine}`,
      `/vm/hwConfig: ${machine}`,
      "/annotations/run.oci.handler: needs crun: for a virtual machine of hako's see --driver vm",
      "/annotations/run.oci.seccomp_bpf_data: needs crun: hako compiles /linux/seccomp",
    ]);
  });
  test("is not asked for by what Go writes for nothing, nor by an empty annotation", () => {
    const empty = {
      hypervisor: { path: "" },
      kernel: { path: "", parameters: null },
      image: { path: "", format: "" },
    };
    expect(findings({ vm: empty, annotations: { "run.oci.handler": "" } })).toEqual([[], []]);
    expect(findings({ vm: null })).toEqual([[], []]);
  });
  test("what is for Kata's machine alone is named", () => {
    const annotations = {
      "io.katacontainers.config.hypervisor.default_memory": "2048",
      "io.katacontainers.config_path": "/etc/kata.toml",
      "io.katacontainers.pkg.oci.container_type": "pod_sandbox",
    };
    expect(findings({ annotations })).toEqual([
      [],
      [
        "/annotations: nothing comes of io.katacontainers.config.hypervisor.default_memory, io.katacontainers.config_path: hako runs containers in namespaces, not in Kata's machine",
      ],
    ]);
  });
});

describe("bundles", () => {
  test("a good one has no problems; its paths are absolute, without links", () => {
    expect(problems({})).toBe("");
    const link = join(dir, "link");
    symlinkSync(bundle, link);
    expect(checkedConfig(link, "cgroupfs")).toMatchObject({ bundle, rootfs: join(bundle, "rootfs") });
  });

  test.each([
    ["", "missing bundle path"],
    [
      "/nowhere/at/all",
      'invalid bundle path "/nowhere/at/all": open /nowhere/at/all: no such file or directory',
    ],
    ["/etc/passwd", 'invalid bundle path "/etc/passwd", it should be a directory'],
    ["/proc", /config\.json.*no such file or directory/],
  ])("%p", (path, text) => {
    expect(() => checkedConfig(path, "cgroupfs")).toThrow();
    expect(errors(path).join()).toMatch(text instanceof RegExp ? text : new RegExp(RegExp.escape(text)));
  });

  test("create is told everything in one line", () => {
    problems({ process: { args: [], cwd: "x" } });
    expect(() => checkedConfig(bundle, "cgroupfs")).toThrow(/\/process\/args: .*; \/process\/cwd: /);
  });
});

describe("kernel parameters", () => {
  test.each(["kernel.domainname", "kernel/domainname"])("%s may say what /domainname says", (name) => {
    const found = (domainname: string) =>
      problems({ domainname, linux: { namespaces: NAMESPACES, sysctl: { [name]: "a" } } });
    expect(found("")).toBe("");
    expect(found("a")).toBe("");
    expect(found("b")).toContain('contradicts /domainname, "b"');
  });

  const sysctl = { "net.ipv4.ip_forward": "1" };

  test("of the network: not where the namespace that is joined is the host's", () => {
    const joined = NAMESPACES.map((each) =>
      each.type === "network" ? { ...each, path: "/proc/self/ns/net" } : each,
    );
    expect(problems({ linux: { namespaces: joined, sysctl } })).toContain(
      "/linux/sysctl/net.ipv4.ip_forward: would be the host's",
    );
    expect(problems({ linux: { namespaces: NAMESPACES, sysctl } })).toBe("");
  });

  test("of users: only in a user namespace", () => {
    const limits = { "user.max_user_namespaces": "3" };
    const map = [{ hostID: 1000, size: 10 }];
    expect(problems({ linux: { sysctl: limits } })).toContain("needs the user namespace");
    expect(
      problems({ linux: { namespaces: IN_USER, uidMappings: map, gidMappings: map, sysctl: limits } }),
    ).toBe("");
  });
});

describe("bind mounts", () => {
  const MAP = { containerID: 0, hostID: 100_000, size: 1000 };
  const bind = { destination: "/a", type: "bind", source: "/tmp" };
  test.each([
    [{ ...bind, options: ["rbind", "ro", "rslave", "loud"] }, ""],
    [{ ...bind, options: ["bind", "size=1k"] }, "/mounts/0/options/1: bind mounts cannot"],
    [{ ...bind, options: ["bind", "idmap"] }, "/mounts/0/options: idmap without uidMappings and gidMappings"],
    [{ ...bind, options: ["bind", "idmap"], uidMappings: [MAP] }, "/mounts/0/gidMappings: missing"],
    [
      { ...bind, options: ["bind", "idmap=uids=0-1-10"] },
      "/mounts/0/options/1: idmap: both are needed: uids=",
    ],
    [{ ...bind, options: ["bind", "idmap=uids=0-1-10;gids=0-1-10"] }, ""],
    [
      { ...bind, options: ["idmap=uids=0-1-1;gids=0-1-1"], uidMappings: [MAP], gidMappings: [MAP] },
      "/mounts/0/options/0: idmap: uidMappings and gidMappings say it already",
    ],
    [{ ...bind, options: ["rbind", "ridmap"], uidMappings: [MAP], gidMappings: [MAP] }, ""],
    [
      { ...bind, options: ["bind"], uidMappings: [{ ...MAP, size: 0 }], gidMappings: [MAP] },
      "/mounts/0/uidMappings/0/size",
    ],
    [{ destination: "/a", type: "tmpfs", options: ["idmap"] }, "/mounts/0/options: only a bind mount"],
    [{ destination: "/a", type: "bind" }, "/mounts/0/source: missing"],
    [{ destination: "/a", type: "tmpfs", options: ["size=1k"] }, ""],
    [{ ...bind, options: ["rbind", "nocopy", "rprivate"] }, ""],
    [
      { ...bind, options: ["rbind", "RO"] },
      '/mounts/0/options/1: bind mounts cannot have any filesystem-specific options applied: "RO" (did you mean ro?)',
    ],
    [
      { destination: "/a", type: "none", options: ["remount", "bind", "r0"] },
      "/mounts/0/options/2: bind mounts cannot",
    ],
    [
      { destination: "/a", type: "cgroup", options: ["r0"] },
      '/mounts/0/options/0: cgroup mounts have no such option: "r0"',
    ],
    [{ destination: "/a", type: "cgroup", options: ["ro", "nsdelegate", "release_agent=/x"] }, ""],
    [{ destination: "/a", type: "tmpfs", options: ["size=64k"] }, ""],
  ])("%j", (mount, text) => {
    const found = problems({ mounts: [mount] });
    if (text === "") expect(found).toBe("");
    else expect(found).toContain(text);
  });
});

test("a profile may notify one of the calls that pass a listener on, not all", () => {
  const seccomp = (...names: string[]) => ({
    defaultAction: "SCMP_ACT_ALLOW",
    listenerPath: "/run/agent",
    syscalls: names.map((name) => ({ names: ["mkdir", name], action: "SCMP_ACT_NOTIFY" })),
  });
  expect(problems({ linux: { seccomp: seccomp("sendmsg") } })).toBe("");
  expect(problems({ linux: { seccomp: seccomp("sendmmsg") } })).toBe("");
  expect(problems({ linux: { seccomp: seccomp("sendmmsg", "sendmsg") } })).toContain(
    "/linux/seccomp/syscalls/1/names/1: sendmsg and sendmmsg can't both be notified",
  );
});

describe("user namespaces", () => {
  const linux = (map: Json[]) => ({ namespaces: IN_USER, uidMappings: map, gidMappings: map });
  test("the program's ids must be mapped", () => {
    const user = { uid: 5, gid: 6, additionalGids: [0, 7] };
    const found = problems({ process: { user }, linux: linux([{ containerID: 0, hostID: 1000, size: 5 }]) });
    expect(found).toContain("/process/user/uid: 5 is not in /linux/uidMappings");
    expect(found).toContain("/process/user/gid: 6 is not in /linux/gidMappings");
    expect(found).toContain("/process/user/additionalGids/1: 7 is not");
    expect(found).not.toContain("additionalGids/0");
  });

  test("what a mapping leaves out is 0, as in Go", () => {
    expect(problems({ linux: linux([{ hostID: 1000, size: 5 }]) })).toBe("");
    expect(problems({ linux: linux([{ hostID: 1000 }]) })).toContain("/linux/uidMappings/0/size");
  });
});

test("a device rule without allow forbids, a user that is null is root", () => {
  expect(problems({ linux: { resources: { devices: [{ access: "rwm" }] } }, process: { user: null } })).toBe(
    "",
  );
});

test("unified has files of controllers, and what bounds the cgroups below", () => {
  for (const file of ["memory.high", "hugetlb.2MB.max", "io.bfq.weight", "cgroup.max.depth"]) {
    expect(unifiedFileProblem(file)).toBeUndefined();
  }
  for (const file of ["procs", "threads", "kill", "freeze", "type", "subtree_control", "events", "max"]) {
    expect(unifiedFileProblem(`cgroup.${file}`)).toContain("is no controller's");
  }
  for (const file of [
    "",
    "memory",
    ".",
    "..",
    "../memory.max",
    ".memory",
    "memory/max",
    "a b.c",
    "memory.",
  ]) {
    expect(unifiedFileProblem(file)).toContain("is not the name of a cgroup file");
  }
});
