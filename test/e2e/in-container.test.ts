// hako where a CI job runs it: in a container that lacks rights, or whose seccomp filter hides calls. Both check and run name what is
// missing, and the flag of the outer container that gives it.
import { describe, expect } from "bun:test";
import { existsSync } from "node:fs";
import { dirname } from "node:path";
import type { BundleConfig, BundleMount } from "./bundle-config";
import { Box, e2e, HAKO, isV2, needsHako, type Result } from "./support";

/** What docker gives its containers. */
const DOCKER =
  "CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP NET_BIND_SERVICE SYS_CHROOT KILL AUDIT_WRITE".split(
    " ",
  );
/** CLONE_NEW* that docker's profile looks for in the flags of clone. */
const NEW_NAMESPACES = 0x7e020000;
const MOUNT_CALLS = ["mount", "open_tree", "move_mount", "fsopen", "fsconfig", "fsmount", "mount_setattr"];

interface Profile {
  defaultAction: string;
  syscalls: object[];
}

const errno = (names: string[], errnoRet: number, args?: object[]) => ({
  names,
  action: "SCMP_ACT_ERRNO",
  errnoRet,
  ...(args === undefined ? {} : { args }),
});

/** As docker's own profile: clone3 isn't there, so that libcs take clone, whose flags can be looked at. */
const FILTER_CLONE3: Profile = { defaultAction: "SCMP_ACT_ALLOW", syscalls: [errno(["clone3"], 38)] };

/** The same without CAP_SYS_ADMIN, which opens the rest of it. */
function dockersFilter(): Profile {
  const bits = Array.from({ length: 31 }, (_, bit) => 2 ** bit).filter((bit) => (NEW_NAMESPACES & bit) !== 0);
  const clone = bits.map((bit) =>
    errno(["clone"], 1, [{ index: 0, value: bit, valueTwo: bit, op: "SCMP_CMP_MASKED_EQ" }]),
  );
  const others = errno(["unshare", "setns", "pivot_root", ...MOUNT_CALLS], 1);
  return { ...FILTER_CLONE3, syscalls: [errno(["clone3"], 38), ...clone, others] };
}

/** Runs a line of shell in a container that has the hako under test, and these capabilities. */
function inContainer(
  box: Box,
  capabilities: string[],
  seccomp: Profile | undefined,
  line: string,
  {
    mounts = [],
    change = () => {},
  }: { mounts?: BundleMount[]; change?: (config: BundleConfig) => void } = {},
): Result {
  const bind = (source: string, destination = source) => ({
    destination,
    type: "bind",
    source,
    options: ["rbind", "ro"],
  });
  return box.run(["sh", "-c", line], (config) => {
    const names = capabilities.map((name) => `CAP_${name}`);
    config.process.capabilities = { bounding: names, effective: names, permitted: names };
    config.process.env = ["PATH=/hako:/bin:/usr/bin", "HOME=/root"];
    config.mounts.push(...["/lib", "/lib64", "/usr"].filter(existsSync).map((path) => bind(path)));
    config.mounts.push(bind(dirname(HAKO), "/hako"), { destination: "/run", type: "tmpfs", source: "tmpfs" });
    config.mounts.push(...mounts);
    if (seccomp !== undefined) Object.assign(config.linux, { seccomp });
    change(config);
  });
}

const CHECK = "hako check; echo $?";
const RUN = "hako --cgroup-manager disabled run --rootfs / job -- echo ran";

describe("check and run in an outer container", () => {
  e2e("docker's own: the filter hides clone3, and root lacks CAP_SYS_ADMIN", () => {
    using box = new Box();
    const checked = inContainer(box, DOCKER, dockersFilter(), CHECK);
    expect(checked.stdout).toMatch(
      /^rights +missing +no user namespace \(root lacks CAP_SYS_ADMIN .*--cap-add SYS_ADMIN with --security-opt seccomp=unconfined, or --privileged/m,
    );
    expect(checked.stdout).toMatch(/^mount namespaces +missing +clone: .*\(.*seccomp=unconfined/m);
    expect(checked.stdout).toMatch(/^Containers can't run here: rights, mount namespaces,.*\.\n1\n$/m);
    expect(`${checked.stdout}${checked.stderr}`).not.toContain("run as root");
    const ran = inContainer(box, DOCKER, dockersFilter(), RUN);
    expect(ran.stderr).toMatch(/^hako: clone: .*\(.*seccomp=unconfined or .*; --weaker namespaces .*\)\n$/);
    expect(ran.status).toBe(125);
    const weaker = RUN.replace("--rootfs / job", "--rootfs / --weaker namespaces");
    expect(checked.stdout).toMatch(/^landlock +/m);
    const confined = inContainer(box, DOCKER, dockersFilter(), weaker);
    if (!/^landlock +ok +.*--weaker namespaces/m.test(checked.stdout))
      expect(confined).toMatchObject({ status: 125, stderr: expect.stringContaining("Landlock") });
    else expect(confined).toMatchObject({ status: 0, stdout: "ran\n", stderr: "" });
  }, [needsHako]);

  e2e("with CAP_SYS_ADMIN: loopback stays down, and that is told", () => {
    using box = new Box();
    const capabilities = [...DOCKER, "SYS_ADMIN"];
    const checked = inContainer(box, capabilities, undefined, CHECK);
    expect(checked.stdout).toMatch(
      /^loopback +absent +ioctl lo: operation not permitted \(.*--cap-add NET_ADMIN/m,
    );
    expect(checked.stdout).toMatch(
      /\nThis host can run containers; what is absent: [a-z ,]*loopback[a-z ,]*\.\n0\n$/,
    );
    expect(checked.stdout).toMatch(
      /^raised limits +absent +no CAP_SYS_RESOURCE: .*\(.*--cap-add SYS_RESOURCE/m,
    );
    const ran = inContainer(box, capabilities, undefined, RUN);
    expect(ran).toMatchObject({ status: 0, stdout: "ran\n" });
    expect(ran.stderr).toMatch(
      /^hako: warning: network loopback: ioctl lo: .*\(root lacks CAP_NET_ADMIN .*--cap-add NET_ADMIN.*\); it stays down\n$/,
    );
    const shared = RUN.replace("--rootfs", "--network host --rootfs");
    expect(inContainer(box, capabilities, undefined, shared)).toMatchObject({ status: 0, stderr: "" });
    const [bundle] = ["hako spec; hako --cgroup-manager disabled run job"];
    const inBundle = inContainer(
      box,
      capabilities,
      undefined,
      `mkdir -p /run/b/rootfs; cd /run/b; ${bundle}`,
    );
    expect(inBundle.stderr).toMatch(/network loopback: ioctl lo: .*--cap-add NET_ADMIN/);
    expect(inBundle.status).toBe(1);
  }, [needsHako]);

  e2e("with CAP_SYS_ADMIN under docker's filter, which lets nobody change the root directory", () => {
    using box = new Box();
    const filter: Profile = { ...FILTER_CLONE3, syscalls: [errno(["clone3"], 38), errno(["pivot_root"], 1)] };
    const capabilities = [...DOCKER, "SYS_ADMIN", "NET_ADMIN"];
    const checked = inContainer(box, capabilities, filter, CHECK);
    expect(checked.stdout).toMatch(/^mount namespaces +missing +pivot_root: .*\(.*seccomp=unconfined/m);
    expect(checked.stdout).toEndWith("\nContainers can't run here: mount namespaces.\n1\n");
    const ran = inContainer(box, capabilities, filter, RUN);
    expect(ran.stderr).toMatch(/: pivot_root: .*\(.*seccomp=unconfined.*; --weaker namespaces .*\)\n$/);
    expect(ran).toMatchObject({ status: 125, stdout: "" });
  }, [needsHako]);

  e2e("root that may not override modes", () => {
    using box = new Box();
    const ran = inContainer(
      box,
      ["SYS_ADMIN"],
      undefined,
      RUN.replace("--rootfs", "--network host --rootfs"),
    );
    expect(ran.stderr).toMatch(/permission denied \(root lacks CAP_DAC_OVERRIDE .*--cap-add DAC_OVERRIDE/);
  }, [needsHako]);

  e2e("a filter that hides newer calls: clone makes all processes, and descriptors are sent", () => {
    using box = new Box();
    const filter: Profile = {
      ...FILTER_CLONE3,
      syscalls: [errno(["clone3"], 38), errno(["pidfd_getfd"], 1)],
    };
    const capabilities = [
      ...DOCKER,
      "SYS_ADMIN",
      "NET_ADMIN",
      "SYS_RESOURCE",
      "SYS_PTRACE",
      "DAC_READ_SEARCH",
    ];
    const check = inContainer(box, capabilities, filter, CHECK);
    expect(check.stdout).toMatch(/\nThis host can run containers(; what is absent: [a-z ,]+)?\.\n0\n$/);
    const id = box.id();
    // with the host's cgroups, which it may write
    const cgroups = {
      destination: "/sys/fs/cgroup",
      type: "bind",
      source: "/sys/fs/cgroup",
      options: ["rbind", "rw"],
    };
    const lines = `set -e
      hako run --rootfs / ${box.id()} -- sh -c 'trap "exit 7" TERM; kill -TERM $$; exit 8' || echo "handler $?"
      hako run --rootfs / ${box.id()} -- cat /proc/self/status | grep -E 'Sig(Blk|Cgt)'
      hako run --detach --rootfs / ${id} -- sleep 600
      pid=$(hako ps --json ${id} | tr -d '[ \\n]' | cut -d, -f1)
      grep -c "^0::.*${id}$" /proc/$pid/cgroup || true
      hako exec ${id} echo joined
      hako exec --tty ${id} echo on a terminal < /dev/null
      hako delete --force ${id}`;
    const { status, stdout, stderr } = inContainer(box, capabilities, filter, lines, {
      mounts: [cgroups],
    });
    const unified = isV2 || existsSync("/sys/fs/cgroup/unified") ? 1 : 0;
    expect({ status, stdout, stderr }).toEqual({
      status: 0,
      // nothing is blocked, and no handler of ours is left
      stdout: `handler 7\nSigBlk:\t${"0".repeat(16)}\nSigCgt:\t${"0".repeat(16)}\n${unified}\njoined\non a terminal\n`,
      stderr,
    });
  }, [needsHako]);

  e2e("enough: check says so, and it is so; cgroups that are read-only are no limits", () => {
    using box = new Box();
    const capabilities = [...DOCKER, "SYS_ADMIN", "NET_ADMIN"];
    const checked = inContainer(box, capabilities, undefined, CHECK);
    expect(checked.stdout).toMatch(/\nThis host can run containers(; what is absent: [a-z ,]+)?\.\n0\n$/);
    expect(inContainer(box, capabilities, undefined, RUN)).toMatchObject({ status: 0, stdout: "ran\n" });
  }, [needsHako]);
});

/** The outer one shows all of /proc. */
function unmasked({ linux }: BundleConfig): void {
  linux.maskedPaths = [];
  linux.readonlyPaths = [];
}

const AS_JSON = "--report 3 --quiet";

describe("root without CAP_SYS_ADMIN has a user namespace", () => {
  e2e("its files are what they are, what is written is thrown away, exec comes in", () => {
    using box = new Box();
    const lines = `set -e
      hako run --rootfs / -- sh -c 'id -u; echo x > /root/gone; echo x > /etc/gone || echo read-only' 2>/dev/null
      test ! -e /root/gone
      hako run --detach --rootfs / --name job -- sleep 600
      hako exec job sh -c 'echo "joined as $(id -u)"; grep CapEff /proc/self/status'
      hako list --quiet
      hako delete --force job
      ls -A /run/hako`;
    const ran = inContainer(box, DOCKER, undefined, lines, { change: unmasked });
    expect({ ...ran, stdout: ran.stdout.replace(/^CapEff:.*$/m, "CapEff") }).toMatchObject({
      status: 0,
      stdout: "0\nread-only\njoined as 0\nCapEff\njob\n",
      stderr: "",
    });
  }, [needsHako]);

  e2e("check says by what right", () => {
    using box = new Box();
    const { stdout } = inContainer(box, DOCKER, undefined, CHECK, { change: unmasked });
    expect(stdout).toMatch(/^rights +ok +in a user namespace, for hako run --rootfs; .*CAP_SYS_ADMIN$/m);
    expect(stdout).toMatch(/\nThis host can run containers(; what is absent: [a-z ,]+)?\.\n0\n$/);
  }, [needsHako]);

  e2e("without CAP_SETFCAP it has none: the error names that", () => {
    using box = new Box();
    const few = DOCKER.filter((name) => name !== "SETFCAP");
    const ran = inContainer(box, few, undefined, RUN, { change: unmasked });
    expect(ran.stderr).toMatch(
      /^hako: config \/linux\/\w+: write .*: operation not permitted \(root lacks CAP_SETFCAP .*--cap-add SETFCAP/,
    );
    expect(ran.status).toBe(125);
  }, [needsHako]);

  e2e("what nobody has asked for is not needed: a host name, a keyring", () => {
    using box = new Box();
    const filter: Profile = {
      defaultAction: "SCMP_ACT_ALLOW",
      syscalls: [errno(["sethostname", "keyctl", "add_key", "request_key"], 1)],
    };
    const capabilities = [...DOCKER, "SYS_ADMIN", "NET_ADMIN"];
    expect(inContainer(box, capabilities, filter, RUN)).toMatchObject({
      ...{ status: 0, stdout: "ran\n", stderr: "" },
    });
    const named = inContainer(box, capabilities, filter, RUN.replace("--rootfs", "--hostname x --rootfs"));
    expect(named.stderr).toMatch(/sethostname x: operation not permitted \(.*seccomp=unconfined/);
    expect(named.status).toBe(125);
  }, [needsHako]);
});

describe("--weaker proc", () => {
  e2e("is named where /proc is masked, and never taken by itself", () => {
    using box = new Box();
    const ran = inContainer(box, DOCKER, undefined, RUN);
    expect(ran.stderr).toMatch(/^hako: config \/mounts\/0: mount proc on \/proc: .*--weaker proc goes on/);
    expect(ran).toMatchObject({ status: 125, stdout: "" });
    const { stdout } = inContainer(box, DOCKER, undefined, CHECK);
    expect(stdout).toMatch(/^proc mounts +missing +.*--weaker proc/m);
    expect(stdout).toEndWith("\nContainers can't run here: proc mounts.\n1\n");
  }, [needsHako]);

  e2e("has the outer one, where nothing can be done to outer processes, and the report says so", () => {
    using box = new Box();
    const inner = [
      "cat /proc/1/environ",
      "ls /proc/1/root/",
      "echo 9 > /proc/1/oom_score_adj",
      "echo b > /proc/sysrq-trigger",
    ]
      .map((line) => `{ ${line}; } 2>/dev/null && echo "could: ${line}"`)
      .join("; ");
    const lines = `cat /proc/1/environ > /dev/null && ls /proc/1/root/ > /dev/null && echo "outside it can"
      hako run --rootfs / --weaker proc ${AS_JSON} -- sh -c '${inner}; readlink /proc/self/exe; ls -d /proc/1' 3>/run/report
      echo $?; cat /run/report`;
    const { stdout, stderr } = inContainer(box, DOCKER, undefined, lines);
    const [report = "{}", status, ...before] = stdout.trimEnd().split("\n").reverse();
    expect({ stderr, status, weaker: JSON.parse(report).weaker }).toEqual({
      ...{ stderr: "", status: "0", weaker: ["proc"] },
    });
    expect(before.reverse()).toEqual(["outside it can", expect.stringMatching(/busybox|bin/), "/proc/1"]);
  }, [needsHako]);

  e2e("is not taken where a new one can be made", () => {
    using box = new Box();
    const line = `hako run --rootfs / --weaker proc ${AS_JSON} -- true 3>/run/report; cat /run/report`;
    const { stdout } = inContainer(box, DOCKER, undefined, line, { change: unmasked });
    expect(JSON.parse(stdout)).toMatchObject({ exitCode: 0, weaker: [] });
  }, [needsHako]);
});
