// hako where a CI job runs it: in a container that lacks rights, or whose seccomp filter hides calls. Both check and run name what is
// missing, and the flag of the outer container that gives it.
import { describe, expect } from "bun:test";
import { existsSync } from "node:fs";
import { dirname } from "node:path";
import type { BundleMount } from "./bundle-config";
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
  ...mounts: BundleMount[]
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
  });
}

const CHECK = "hako check; echo $?";
const RUN = "hako --cgroup-manager disabled run --rootfs / job -- echo ran";

describe("check and run in an outer container", () => {
  e2e("docker's own: the filter hides clone3, and root lacks CAP_SYS_ADMIN", () => {
    using box = new Box();
    const checked = inContainer(box, DOCKER, dockersFilter(), CHECK);
    expect(checked.stdout).toMatch(
      /^rights +missing +root lacks CAP_SYS_ADMIN \(.*--cap-add SYS_ADMIN or --privileged/m,
    );
    expect(checked.stdout).toMatch(/^mount namespaces +missing +clone: .*\(.*seccomp=unconfined/m);
    expect(checked.stdout).toMatch(/^Containers can't run here: rights, mount namespaces,.*\.\n1\n$/m);
    expect(`${checked.stdout}${checked.stderr}`).not.toContain("run as root");
    const ran = inContainer(box, DOCKER, dockersFilter(), RUN);
    expect(ran.stderr).toMatch(/^hako: clone: .*\(.*--cap-add SYS_ADMIN.*\)\n$/);
    expect(ran.status).toBe(125);
  }, [needsHako]);

  e2e("without a filter: root is told which capability it lacks", () => {
    using box = new Box();
    const ran = inContainer(box, DOCKER, undefined, RUN);
    expect(ran.stderr).toBe(
      "hako: clone3: operation not permitted (root lacks CAP_SYS_ADMIN here, as in a container: --cap-add SYS_ADMIN or --privileged there)\n",
    );
    expect(inContainer(box, DOCKER, undefined, CHECK).stdout).toEndWith("\n1\n");
  }, [needsHako]);

  e2e("with CAP_SYS_ADMIN: loopback can't be set up", () => {
    using box = new Box();
    const capabilities = [...DOCKER, "SYS_ADMIN"];
    const checked = inContainer(box, capabilities, undefined, CHECK);
    expect(checked.stdout).toMatch(
      /^network namespaces +missing +ioctl lo: operation not permitted \(.*--cap-add NET_ADMIN/m,
    );
    expect(checked.stdout).toEndWith("\nContainers can't run here: network namespaces.\n1\n");
    expect(checked.stdout).toMatch(
      /^raised limits +absent +no CAP_SYS_RESOURCE: .*\(.*--cap-add SYS_RESOURCE/m,
    );
    const ran = inContainer(box, capabilities, undefined, RUN);
    expect(ran.stderr).toMatch(
      /^hako: network loopback: ioctl lo: .*\(root lacks CAP_NET_ADMIN .*--cap-add NET_ADMIN/,
    );
    const shared = RUN.replace("--rootfs", "--network host --rootfs");
    expect(inContainer(box, capabilities, undefined, shared)).toMatchObject({ status: 0, stdout: "ran\n" });
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

  e2e("a filter that hides clone3 alone: clone makes all processes", () => {
    using box = new Box();
    const capabilities = [
      ...DOCKER,
      "SYS_ADMIN",
      "NET_ADMIN",
      "SYS_RESOURCE",
      "SYS_PTRACE",
      "DAC_READ_SEARCH",
    ];
    const check = inContainer(box, capabilities, FILTER_CLONE3, CHECK);
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
    const { status, stdout, stderr } = inContainer(box, capabilities, FILTER_CLONE3, lines, cgroups);
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
