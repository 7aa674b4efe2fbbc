import { describe, expect, test } from "bun:test";
import { sysctlPath } from "../../src/drivers/namespaces/program/sysctl";
import { ATTR } from "../../src/linux/mount/mount-calls";
import { MOUNT_OPTIONS, planOf } from "../../src/oci/mount-options";

describe("mount options", () => {
  test("the table knows every option of the runtime-spec", () => {
    const names =
      "async atime bind defaults dev diratime dirsync exec iversion lazytime loud mand noatime nodev nodiratime noexec noiversion nolazytime nomand norelatime " +
      "nostrictatime nosuid nosymfollow private ratime rbind rdev rdiratime relatime remount rexec rnoatime rnodev " +
      "rnodiratime rnoexec rnorelatime rnostrictatime rnosuid rnosymfollow ro rprivate rrelatime rro rrw rshared " +
      "rslave rstrictatime rsuid rsymfollow runbindable rw shared silent slave strictatime suid symfollow sync tmpcopyup unbindable";
    const unknown = names.split(" ").filter((name) => !MOUNT_OPTIONS.has(name));
    expect(unknown).toEqual([]);
  });

  test("attributes, propagation and the file system's own options come apart", () => {
    const plan = planOf(["rbind", "ro", "nosuid", "rnodev", "rslave", "size=64k", "mode=755,uid=3", "sync"]);
    expect(plan.bind).toBe("rbind");
    expect(plan.own).toEqual({ set: ATTR.RDONLY | ATTR.NOSUID, clear: 0 });
    expect(plan.recursive).toEqual({ set: ATTR.NODEV, clear: 0 });
    expect(plan.propagation).toEqual([{ propagation: "slave", recursive: true }]);
    expect(plan.data).toEqual(["size=64k", "mode=755", "uid=3"]);
    expect(plan.superblock).toEqual(["sync"]);
  });

  test.each([
    [["ro", "rw"], 0, ATTR.RDONLY],
    [["rw", "ro"], ATTR.RDONLY, 0],
    [["noatime", "relatime"], 0, ATTR.ATIME],
    [["relatime", "noatime"], ATTR.NOATIME, ATTR.ATIME],
    [["strictatime", "noatime"], ATTR.NOATIME, ATTR.ATIME],
    [["strictatime", "norelatime"], 0, ATTR.ATIME],
    [["noatime", "nodiratime"], ATTR.NOATIME | ATTR.NODIRATIME, ATTR.ATIME],
  ])("%j: the later one is right", (options, set, clear) => {
    expect(planOf(options).own).toEqual({ set, clear });
  });
});

describe("an option that is in the table changes something", () => {
  const plans = (options: readonly string[]) => {
    const { nofollow, ...plan } = planOf(options);
    return JSON.stringify([plan, [...nofollow]]);
  };
  for (const option of MOUNT_OPTIONS.keys()) {
    // by its definition: mount(8) "defaults"
    if (option === "defaults") continue;
    test(option, () => {
      const befores = [[], ...[...MOUNT_OPTIONS.keys()].map((other) => [other])];
      expect(befores.some((before) => plans([...before, option]) !== plans(before))).toBe(true);
      expect(planOf([option]).data).toEqual([]);
    });
  }
});

test.each([[["rbind", "bind"]], [["bind", "rbind"]]])("%j binds the whole tree", (options) => {
  expect(planOf(options).bind).toBe("rbind");
});

test("a comma that is escaped doesn't part options", () => {
  expect(planOf(["lowerdir=/a\\,1:/b,upperdir=/u"]).data).toEqual(["lowerdir=/a\\,1:/b", "upperdir=/u"]);
});

test("flags of the superblock: the opposite of one takes it back", () => {
  expect(planOf(["silent", "iversion", "loud"]).superblock).toEqual(["iversion"]);
  expect(planOf(["noiversion", "iversion"]).superblock).toEqual(["iversion"]);
});

describe("kernel parameters", () => {
  test.each([
    ["net.ipv4.ip_forward", "net/ipv4/ip_forward"],
    ["net/ipv4/ip_forward", "net/ipv4/ip_forward"],
    ["net.ipv4.conf.eth0/1.forwarding", "net/ipv4/conf/eth0.1/forwarding"],
    ["net/ipv4/conf/eth0.1/forwarding", "net/ipv4/conf/eth0.1/forwarding"],
  ])("%s is %s", (name, path) => {
    expect(sysctlPath(name)).toBe(path);
  });

  test.each(["", "../sysrq-trigger", "kernel/../../x", "kernel..x", "kernel.", "/kernel", "kernel.//.x"])(
    "%p is refused",
    (name) => {
      expect(() => sysctlPath(name)).toThrow("is no kernel parameter");
    },
  );
});
