// @cgroup-v2
// The view that a program has of itself must be the one that runc gives it: the same bundle is run by both.
import { describe, expect } from "bun:test";
import { Box, type BundleConfig, e2e, execute, needsHako, needsProgram } from "./support";

const RUNC = Bun.which("runc") ?? "runc";

/** Differences that are meant: what is taken out of both views before they are compared, and why. */
const ACCEPTED: { aspect: string; why: string; normalise: (text: string) => string }[] = [
  {
    aspect: "mountinfo",
    why: "masked paths are one shared empty mount here, a tmpfs or /dev/null each in runc: only the place counts",
    normalise: (text) =>
      text
        .split("\n")
        .map((line) =>
          /^\S+ (\/proc\/(acpi|kcore|keys|timer_list|scsi|latency_stats|timer_stats|sched_debug)|\/sys\/firmware) /.test(
            line,
          )
            ? `masked ${line.split(" ")[1]}`
            : line,
        )
        .sort()
        .join("\n"),
  },
  {
    aspect: "mountinfo",
    why: "runc asks for relatime on no bind of its own, and the kernel writes what the mount below had: the same by another word",
    normalise: (text) => text.replaceAll(",relatime", "").replaceAll("relatime,", ""),
  },
  {
    aspect: "mountinfo",
    why: "read-only is a property of the mount here; runc makes the new sysfs read-only as well",
    normalise: (text) => text.replaceAll("- sysfs sysfs ro", "- sysfs sysfs rw"),
  },
  {
    aspect: "mountinfo",
    why: "the tmpfs that holds the v1 hierarchies is read-only here, as the mount's options ask; runc leaves it writable",
    normalise: (text) =>
      text.replaceAll(/^\/ \/sys\/fs\/cgroup r[ow],(.* - tmpfs )/gm, "/ /sys/fs/cgroup ro,$1"),
  },
  {
    aspect: "mountinfo",
    why: "in a cgroup namespace runc mounts anew; here it is a bind, whose source is called what the host calls it",
    normalise: (text) =>
      text
        .replaceAll("- cgroup systemd ", "- cgroup cgroup ")
        .replaceAll("- cgroup2 cgroup2 ", "- cgroup2 cgroup "),
  },
  {
    aspect: "mountinfo",
    why: "on pure v2 runc mounts cgroup2 without the options of the host's own mount, which takes them from that too; hako leaves them",
    normalise: (text) => text.replaceAll(/(- cgroup2 cgroup rw)\S*/g, "$1"),
  },
  {
    aspect: "mountinfo",
    why: "on a hybrid host the unified hierarchy is shown too; runc leaves it out",
    normalise: (text) =>
      text
        .split("\n")
        .filter((line) => !line.includes(" /sys/fs/cgroup/unified "))
        .join("\n"),
  },
  {
    aspect: "mountinfo",
    why: "a device that is bound is nosuid and noexec here; runc leaves it as it is on the host",
    normalise: (text) =>
      text.replaceAll(/^(\S+ \/dev\/(?:null|zero|full|u?random|tty) r[ow]),nosuid,noexec /gm, "$1 "),
  },
  {
    aspect: "descriptors",
    why: "the program has the caller's own standard streams; runc run copies them through pipes and stays between",
    normalise: (text) => text.replaceAll(/(\/fd\/[012]) .*/g, "$1 STREAM"),
  },
  {
    aspect: "devices",
    why: "/dev/mqueue belongs to the user namespace's root; with runc its group is not mapped",
    normalise: (text) => text.replaceAll(/^(mqueue directory 0:0 1777 0:)\d+/gm, (_, line) => `${line}0`),
  },
  {
    aspect: "directories",
    why: "/dev/mqueue belongs to the user namespace's root; with runc its group is not mapped",
    normalise: (text) => text.replaceAll(/^(\/dev\/mqueue directory 1777 0:)\d+/gm, (_, line) => `${line}0`),
  },
];

/** What a program sees otherwise on cgroup v2 than on v1. */
const ON_V2 = ["mountinfo", "cgroup"];
/** What no bundle changes: looked at in the first one each time, in the others with all the long tail. */
const SAME = ["uname", "personality", "timer slack", "core dump filter", "command line"];

interface Aspect {
  name: string;
  args: string[];
  normalise?: (text: string) => string;
}

/** Numbers that differ from run to run. */
function settle(text: string): string {
  return text
    .replaceAll(/\/tmp\/hako-e2e-output-\S+/g, "OUTPUT")
    .replaceAll(/(pipe|socket|anon_inode):\[?\d+\]?/g, "$1")
    .replaceAll(/(shared|master):\d+/g, "$1");
}

const VOLATILE =
  /^(Vm|Rss|Hugetlb|Name|State|Pid|Tgid|NStgid|NSpid|NSpgid|NSsid|PPid|voluntary|nonvoluntary|SigQ|FDSize|x86|untag)/;

const ASPECTS: Aspect[] = [
  {
    name: "status",
    args: ["cat", "/proc/self/status"],
    normalise: (text) =>
      text
        .split("\n")
        .filter((line) => !VOLATILE.test(line))
        .join("\n"),
  },
  { name: "limits", args: ["cat", "/proc/self/limits"] },
  {
    name: "descriptors",
    args: ["sh", "-c", "for fd in /proc/$$/fd/*; do echo $fd $(readlink $fd); done"],
  },
  {
    name: "mountinfo",
    args: ["cat", "/proc/self/mountinfo"],
    // without ids, and without the device numbers of file systems made for the container
    normalise: (text) =>
      text.replaceAll(/^\d+ \d+ \d+:\d+ /gm, "").replaceAll(/inode64|nr_inodes=\d+,?/g, ""),
  },
  { name: "cgroup", args: ["cat", "/proc/self/cgroup"] },
  {
    name: "namespaces",
    args: ["sh", "-c", "for ns in /proc/self/ns/*; do echo $ns $(readlink $ns); done"],
    normalise: (text) =>
      text.replaceAll(/(\w+):\[(\d+)\]/g, (link, type) =>
        execute("readlink", [`/proc/self/ns/${type}`]).stdout.trim() === link ? "host" : "new",
      ),
  },
  { name: "environment", args: ["env"] },
  { name: "working directory", args: ["pwd"] },
  { name: "out-of-memory score", args: ["cat", "/proc/self/oom_score_adj"] },
  { name: "uname", args: ["uname", "-a"] },
  { name: "umask", args: ["sh", "-c", "umask"] },
  {
    name: "session, process group, priority",
    args: ["sh", "-c", "cut -d' ' -f 4-8,18,19,38,40,41 /proc/$$/stat"],
  },
  { name: "personality", args: ["cat", "/proc/self/personality"] },
  { name: "timer slack", args: ["cat", "/proc/self/timerslack_ns"] },
  { name: "core dump filter", args: ["cat", "/proc/self/coredump_filter"] },
  {
    name: "devices",
    args: [
      "sh",
      "-c",
      "cd /dev; stat -c '%n %F %t:%T %a %u:%g' * pts/* . ..; for x in *; do readlink $x; done; true",
    ],
  },
  {
    name: "directories",
    args: ["stat", "-c", "%n %F %a %u:%g", "/", "/proc", "/sys", "/dev/pts", "/dev/shm", "/dev/mqueue"],
  },
  { name: "network", args: ["sh", "-c", "ip -o link; ip -o addr; ip route"] },
  { name: "processes", args: ["ps", "-o", "pid,user,comm"] },
  { name: "command line", args: ["cat", "/proc/1/cmdline", "/proc/1/comm"] },
];

const BUNDLES: [string, (config: BundleConfig) => void][] = [
  ["the default bundle", () => {}],
  [
    "an ordinary user with ambient capabilities and groups",
    (config) => {
      const caps = ["CAP_NET_BIND_SERVICE"];
      config.process.user = { uid: 1000, gid: 1000, additionalGids: [10, 20], umask: 0o77 };
      config.process.capabilities = {
        bounding: caps,
        effective: caps,
        permitted: caps,
        inheritable: caps,
        ambient: caps,
      };
      config.process.noNewPrivileges = false;
      config.process.cwd = "/tmp";
      config.process.oomScoreAdj = 100;
    },
  ],
  [
    "no limits, no capabilities, read-only, a cgroup namespace",
    (config) => {
      delete config.process.capabilities;
      config.process.rlimits = [];
      config.process.noNewPrivileges = false;
      config.root.readonly = true;
      config.linux.namespaces.push({ type: "cgroup" });
    },
  ],
  [
    "the host's network, uts and ipc",
    (config) => {
      config.linux.namespaces = config.linux.namespaces.filter(({ type }) => ["mount", "pid"].includes(type));
      delete config.hostname;
      config.mounts = config.mounts.filter(
        ({ destination }) => !["/dev/mqueue", "/sys", "/sys/fs/cgroup"].includes(destination),
      );
    },
  ],
  [
    "a user namespace",
    (config) => {
      config.linux.namespaces.push({ type: "user" });
      config.linux.uidMappings = [{ containerID: 0, hostID: 100000, size: 65536 }];
      config.linux.gidMappings = [{ containerID: 0, hostID: 100000, size: 65536 }];
    },
  ],
];

for (const [index, [name, mutate]] of BUNDLES.entries()) {
  describe(name, () => {
    for (const aspect of ASPECTS) {
      const marks = [
        ON_V2.includes(aspect.name) && " @v2",
        SAME.includes(aspect.name) && index > 0 && " @all",
      ];
      e2e([aspect.name, ...marks.filter(Boolean)].join(""), () => {
        using box = new Box();
        execute("chmod", ["755", box.dir]);
        const bundle = box.bundle(aspect.args, mutate);
        const clean = (text: string): string =>
          ACCEPTED.filter((accepted) => accepted.aspect === aspect.name).reduce(
            (result, accepted) => accepted.normalise(result),
            settle((aspect.normalise ?? ((same) => same))(text)),
          );
        const ours = box.hako("run", "--bundle", bundle, box.id());
        const theirs = execute(RUNC, ["--root", box.path("runc"), "run", "--bundle", bundle, box.id()]);
        expect({ status: ours.status, stderr: ours.stderr, view: clean(ours.stdout) }).toEqual({
          status: theirs.status,
          stderr: theirs.stderr,
          view: clean(theirs.stdout),
        });
      }, [needsProgram("runc"), needsHako]);
    }
  });
}
