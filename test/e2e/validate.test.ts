// validate: what create would refuse, in its words, and without making anything.
import { describe, expect } from "bun:test";
import { existsSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Box, type BundleConfig, e2e, expectUnchanged, hostSnapshot, needsHako } from "./support";

describe("validate", () => {
  e2e("of a device rule's access the letters r, w and m count; none of them is a mistake", () => {
    using box = new Box();
    const validate = (rule: object) => {
      const bundle = box.bundle(["true"], ({ linux }) => {
        linux.resources.devices = [{ allow: false, access: "rwm" }, rule];
      });
      return box.hako("validate", "--bundle", bundle);
    };
    const device = { type: "c", major: 1, minor: 11 };
    for (const access of ["rwmx", "r,w", "rrw"]) {
      expect(validate({ allow: true, ...device, access })).toMatchObject({ status: 0 });
    }
    for (const rule of [{ access: "x" }, { access: "RW" }, { access: "" }, {}]) {
      const { status, stdout, stderr } = validate({ allow: true, ...device, ...rule });
      expect(status).toBe(1);
      expect(stdout + stderr).toContain("/linux/resources/devices/1/access: expected letters of rwm");
    }
  }, [needsHako]);

  e2e("a good bundle: nothing is said", () => {
    using box = new Box();
    const bundle = box.bundle(["true"]);
    expect(box.hako("validate", "--bundle", bundle, box.id())).toMatchObject({
      status: 0,
      stdout: "",
      stderr: "",
    });
    expect(box.hakoWith({ cwd: bundle }, "validate").status).toBe(0);
  }, [needsHako]);

  e2e("unknown fields are told, and are no failure", () => {
    using box = new Box();
    const bundle = box.bundle(["true"], (config) => {
      Object.assign(config.linux.resources, { meomry: { limit: 1 } });
    });
    const result = box.hako("validate", "--bundle", bundle);
    expect([result.status, result.stderr]).toEqual([
      0,
      `warning: ${bundle}/config.json: /linux/resources/meomry: unknown, and does nothing\n`,
    ]);
    box.ok("run", "--bundle", bundle, box.id());
  }, [needsHako]);

  e2e("every problem has a line and a pointer", () => {
    using box = new Box();
    const bundle = box.bundle(["true"], (config) => {
      config.process.cwd = "tmp";
      config.process.args = [];
      config.linux.namespaces.push({ type: "pid" });
      Object.assign(config.linux, { seccomp: { defaultAction: "SCMP_ACT_NOTIFY" } });
    });
    const result = box.hako("validate", "--bundle", bundle, "../up");
    expect(result.status).toBe(1);
    const lines = result.stderr.trim().split("\n");
    expect(lines.length).toBe(5);
    for (const part of [
      "container id",
      "/process/args",
      "/process/cwd",
      "/linux/namespaces/",
      "/linux/seccomp/defaultAction",
    ]) {
      expect(lines.filter((line) => line.includes(part)).length).toBe(1);
    }
  }, [needsHako]);

  interface Finding {
    pointer: string;
    message: string;
    severity: string;
  }

  const findings = (box: Box, bundle: string): Finding[] => {
    const result = box.hako("validate", "--json", "--bundle", bundle);
    expect(result.stderr).toBe("");
    const found = JSON.parse(result.stdout) as Finding[];
    expect(result.status).toBe(found.some(({ severity }) => severity === "error") ? 1 : 0);
    return found;
  };

  const bind = (source: string, destination = "/a") => ({
    destination,
    type: "bind",
    source,
    options: ["rbind"],
  });
  const refused: [what: string, pointer: string, change: (config: BundleConfig) => void][] = [
    ["a bind mount of nothing", "/mounts/7", ({ mounts }) => mounts.push(bind("/no/such"))],
    ["a file on a directory", "/mounts/7", ({ mounts }) => mounts.push(bind("/etc/passwd", "/tmp"))],
    [
      "a file system that nobody knows",
      "/mounts/7",
      ({ mounts }) => mounts.push({ destination: "/a", type: "nosuchfs" }),
    ],
    [
      "an option that its file system does not know",
      "/mounts/7",
      ({ mounts }) => mounts.push({ destination: "/a", type: "tmpfs", options: ["r0"] }),
    ],
    [
      "a mount below /proc",
      "/mounts/7",
      ({ mounts }) => mounts.push({ destination: "/proc/x", type: "tmpfs" }),
    ],
    [
      "a hook that is missing",
      "/hooks/createRuntime/0",
      (config) => {
        config.hooks = { createRuntime: [{ path: "/no/such" }] };
      },
    ],
    [
      "a hook that is no program",
      "/hooks/prestart/1",
      (config) => {
        config.hooks = { prestart: [{ path: "/bin/true" }, { path: "/etc/passwd" }] };
      },
    ],
    [
      "a program that is missing",
      "/process/args/0",
      ({ process }) => {
        process.args = ["no-such-program"];
      },
    ],
    [
      "a program at a path that is missing",
      "/process/args/0",
      ({ process }) => {
        process.args = ["/bin/no-such"];
      },
    ],
    [
      "a program without the right",
      "/process/args/0",
      ({ process }) => {
        process.args = ["/etc/passwd"];
      },
    ],
    [
      "a program that is a directory",
      "/process/args/0",
      ({ process }) => {
        process.args = ["/bin"];
      },
    ],
    [
      "a PATH that leads elsewhere",
      "/process/args/0",
      ({ process }) => {
        process.env = ["PATH=/usr/none"];
      },
    ],
    [
      "a namespace that has ended",
      "/linux/namespaces/1/path",
      ({ linux }) => {
        linux.namespaces[1] = { type: "network", path: "/run/netns/none" };
      },
    ],
    [
      "a namespace of another type",
      "/linux/namespaces/1/path",
      ({ linux }) => {
        linux.namespaces[1] = { type: "network", path: "/proc/self/ns/uts" };
      },
    ],
  ];
  for (const [what, pointer, change] of refused) {
    e2e(`what create refuses, in its words: ${what}`, async () => {
      using box = new Box();
      const before = hostSnapshot(box.root);
      const bundle = box.bundle(["true"], change);
      const found = findings(box, bundle);
      expect(found.map((each) => each.pointer)).toEqual([pointer]);
      const { status, stderr } = box.hako("create", "--bundle", bundle, box.id());
      expect(status).toBe(1);
      expect(stderr).toContain(found[0]?.message ?? "nothing");
      await expectUnchanged(before, box.root);
    }, [needsHako]);
  }

  e2e("what is found by way of mounts is no problem, nor what can't be known yet", () => {
    using box = new Box();
    const tools = box.path("tools");
    mkdirSync(tools);
    writeFileSync(join(tools, "tool"), "#!/bin/sh\n", { mode: 0o755 });
    const good = (args: string[], ...mounts: BundleConfig["mounts"]) => {
      const bundle = box.bundle(args, (config) => {
        config.mounts.push(...mounts);
        config.process.env = ["PATH=/bin:/link"];
      });
      symlinkSync("/opt/tools", join(bundle, "rootfs/link"));
      expect([args, findings(box, bundle)]).toEqual([args, []]);
    };
    good(["/opt/tools/tool"], bind(tools, "/opt/tools"));
    good(["tool"], bind(tools, "/opt/tools"));
    good(["/link/../tools/tool"], bind(tools, "/link"));
    good(["/run/later"], { destination: "/run", type: "tmpfs" });
    // the last one on a place is what counts
    const bundle = box.bundle(["/a/tool"], ({ mounts }) => mounts.push(bind(tools), bind("/var/empty")));
    mkdirSync("/var/empty", { recursive: true });
    expect(findings(box, bundle).map(({ pointer }) => pointer)).toEqual(["/process/args/0"]);
  }, [needsHako]);

  e2e("names that create leaves out are warnings, with what was meant", () => {
    using box = new Box();
    const bundle = box.bundle(["true"], ({ process, linux }) => {
      process.capabilities?.bounding?.push("CAP_SYSADMIN");
      const seccomp = {
        defaultAction: "SCMP_ACT_ALLOW",
        syscalls: [{ names: ["mkdir", "opne", "s390_pci_mmio_read"], action: "SCMP_ACT_ERRNO" }],
      };
      Object.assign(linux, { seccomp });
    });
    expect(findings(box, bundle)).toEqual([
      {
        pointer: "/process/capabilities/bounding/3",
        message: 'unknown here, and left out: "CAP_SYSADMIN" (did you mean CAP_SYS_ADMIN?)',
        severity: "warning",
      },
      {
        pointer: "/linux/seccomp/syscalls/0/names/1",
        message: 'unknown system call, and left out: "opne" (did you mean open?)',
        severity: "warning",
      },
    ]);
    box.ok("run", "--bundle", bundle, box.id());
  }, [needsHako]);

  e2e("one wrong type hides no other problem, and makes none up", () => {
    using box = new Box();
    const bundle = box.bundle(["no-such-program"], (config) => {
      Object.assign(config, { ociVersion: 1 });
      config.mounts.splice(0, 0, { destination: 5 } as never);
      config.mounts.push(bind("/no/such"));
      Object.assign(config.linux, { rootfsPropagation: "sideways" });
      config.linux.sysctl = { "kernel.panic": "1" };
    });
    expect(
      findings(box, bundle).map(({ pointer, message }) => `${pointer}: ${message}`.slice(0, 60)),
    ).toEqual([
      "/ociVersion: expected a string, got 1",
      "/mounts/0/destination: expected a string, got 5",
      "/linux/rootfsPropagation: expected one of private, rprivate,",
      "/linux/sysctl/kernel.panic: is the whole host's: no namespac",
      "/mounts/8: mount /no/such on /a: open_tree /no/such: no such",
      '/process/args/0: unable to start container process: exec: "n',
    ]);
    // without them nobody knows what is the host's
    const other = box.bundle(["true"], (config) => {
      Object.assign(config.linux, { namespaces: [{ type: "pid" }, 7, { type: "mount" }] });
    });
    expect(findings(box, other).map(({ pointer }) => pointer)).toEqual(["/linux/namespaces/1"]);
  }, [needsHako]);

  e2e("nothing of a config is an order for the terminal, or as long as it likes", () => {
    using box = new Box();
    const long = "x".repeat(70_000);
    const bundle = box.bundle(["true"], (config) => {
      config.linux.rootfsPropagation = "\u001b]0;owned\u0007\u009b2J";
      config.linux.sysctl = { [`kernel.${long}`]: "1", "kernel.\u001b[2J": "1" };
      config.process.cwd = long;
      Object.assign(config, { [`unknown\u001b[2J${long}`]: 1 });
    });
    const { stderr } = box.hako("validate", "--bundle", bundle);
    expect(stderr.trim().split("\n").length).toBe(5);
    expect(stderr).not.toMatch(/[^\n\x20-\x7e]/);
    expect(Math.max(...stderr.split("\n").map((line) => line.length))).toBeLessThan(1000);
    expect(stderr).toContain("\\x9b2J");
    const created = box.hako("create", "--bundle", bundle, box.id()).stderr;
    expect(created).not.toMatch(/[^\n\x20-\x7e]/);
    expect(created.length).toBeLessThan(5000);
  }, [needsHako]);

  e2e("nothing is run: hooks and programs are looked at", async () => {
    using box = new Box();
    const before = hostSnapshot(box.root);
    const mark = box.path("ran");
    const bundle = box.bundle(["true"], (config) => {
      const hook = { path: "/bin/sh", args: ["sh", "-c", `touch ${mark}`] };
      config.hooks = {
        prestart: [hook],
        createRuntime: [hook],
        startContainer: [hook],
        poststop: [{ path: "/no/such" }],
      };
      config.mounts.push(bind(box.dir, "/made/by/create"));
    });
    expect(findings(box, bundle)).toMatchObject([{ pointer: "/hooks/poststop/0", severity: "warning" }]);
    expect(existsSync(mark)).toBe(false);
    expect(existsSync(join(bundle, "rootfs/made"))).toBe(false);
    await expectUnchanged(before, box.root);
  }, [needsHako]);

  e2e("ids and bundles of the seed's table", () => {
    using box = new Box();
    const good = box.bundle(["true"]);
    const id = box.id();
    box.ok("create", "--bundle", good, id);
    const file = box.path("file");
    writeFileSync(file, "");
    symlinkSync(good, box.path("link"));
    const said = (bundle: string, name: string) => {
      const { status, stderr } = box.hako("validate", "--bundle", bundle, name);
      return `${status} ${stderr.trim()}`;
    };
    expect(said(good, "")).toContain("missing container id");
    expect(said(good, id)).toMatch(/^1 .*already in use/);
    expect(said(box.path("none"), box.id())).toMatch(
      /^1 invalid bundle path ".*": .*no such file or directory/,
    );
    expect(said(file, box.id())).toMatch(/^1 invalid bundle path ".*", it should be a directory/);
    expect(said("", box.id())).toMatch(/^1 missing bundle path/);
    expect(said(box.path("link"), box.id())).toBe("0 ");
    // a mapping that is broken blocks an id
    const broken = box.id();
    for (const sandbox of ["a", "b"]) {
      mkdirSync(join(box.root, "containers-mapping", broken, sandbox), { recursive: true });
    }
    expect(said(good, broken)).toMatch(/^1 too many files \(2\) in/);
    box.ok("mapping", "delete", broken);
    expect(said(good, broken)).toBe("0 ");
  }, [needsHako]);
});
