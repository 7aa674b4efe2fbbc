// @cgroup-v2
// What config.json asks for, as a program in the container sees it.
import { describe, expect } from "bun:test";
import { spawn } from "node:child_process";
import { chmodSync, readFileSync, readlinkSync, statSync } from "node:fs";
import { join } from "node:path";
import {
  Box,
  type BundleConfig,
  e2e,
  execute,
  expectUnchanged,
  HAKO,
  hostSnapshot,
  IS_HAKO,
  isV2,
  needsHako,
  needsProgram,
  needsUserNamespace,
  readLinks,
  until,
} from "./support";

function without(config: BundleConfig, ...types: string[]): void {
  config.linux.namespaces = config.linux.namespaces.filter((namespace) => !types.includes(namespace.type));
}

function hostNamespace(type: string): string {
  return readlinkSync(`/proc/self/ns/${type}`);
}

describe("namespaces", () => {
  const FILES: Record<string, string> = {
    pid: "pid",
    network: "net",
    ipc: "ipc",
    uts: "uts",
    mount: "mnt",
    cgroup: "cgroup",
  };

  e2e("listed ones are new, the others are the host's", () => {
    using box = new Box();
    const types = Object.keys(FILES);
    const seen = box
      .sh(readLinks("/proc/self/ns", ...Object.values(FILES)), (config) => {
        config.linux.namespaces.push({ type: "cgroup" });
      })
      .trim()
      .split("\n");
    for (const [index, type] of types.entries()) {
      expect(seen[index]).toMatch(/^\w+:\[\d+\]$/);
      expect(seen[index]).not.toBe(hostNamespace(FILES[type] ?? ""));
    }
    const shared = box.sh(readLinks("/proc/self/ns", "net", "ipc", "uts", "cgroup", "user"), (config) => {
      without(config, "network", "ipc", "uts");
      delete config.hostname;
      // a new sysfs needs a network namespace of one's own
      config.mounts = config.mounts.filter((mount) => mount.destination !== "/dev/mqueue");
    });
    expect(shared.trim().split("\n")).toEqual(["net", "ipc", "uts", "cgroup", "user"].map(hostNamespace));
  });

  e2e("joined by path", async () => {
    using box = new Box();
    const holder = spawn("unshare", ["--net", "--ipc", "--uts", "sleep", "600"], { stdio: "ignore" });
    try {
      const own = (type: string): string => readlinkSync(`/proc/${holder.pid}/ns/${type}`);
      for (const type of ["net", "ipc", "uts"])
        await until(`a namespace of its own: ${type}`, () => own(type) !== hostNamespace(type));
      const seen = box.sh(readLinks("/proc/self/ns", "net", "ipc", "uts"), (config) => {
        without(config, "network", "ipc", "uts");
        delete config.hostname;
        for (const [type, file] of [
          ["network", "net"],
          ["ipc", "ipc"],
          ["uts", "uts"],
        ])
          config.linux.namespaces.push({ type: type ?? "", path: `/proc/${holder.pid}/ns/${file}` });
      });
      expect(seen.trim().split("\n")).toEqual(["net", "ipc", "uts"].map(own));
    } finally {
      holder.kill("SIGKILL");
    }
  });

  e2e("a joined pid namespace: the program is not its first process", async () => {
    using box = new Box();
    const id = box.id();
    box.ok("run", "--detach", "--bundle", box.bundle(["sleep", "600"]), id);
    const { pid } = box.state(id);
    const out = box.sh("readlink /proc/self/ns/pid; echo $$", (config) => {
      without(config, "pid");
      config.linux.namespaces.push({ type: "pid", path: `/proc/${pid}/ns/pid` });
    });
    const [namespace, number] = out.trim().split("\n");
    expect(namespace).toBe(readlinkSync(`/proc/${pid}/ns/pid`));
    expect(Number(number)).toBeGreaterThan(1);
  });

  e2e("a path of the wrong type is refused", () => {
    using box = new Box();
    const result = box.run(["true"], (config) => {
      without(config, "network");
      config.linux.namespaces.push({ type: "network", path: "/proc/self/ns/uts" });
    });
    expect(result.status).toBe(1);
  });

  e2e("host name, domain name, loopback", () => {
    using box = new Box();
    const out = box.sh("hostname; cat /proc/sys/kernel/domainname; ip -o addr show lo", (config) => {
      config.hostname = "crate";
      if (IS_HAKO) config.domainname = "example.org";
    });
    const [hostname, domain, address] = out.split("\n");
    expect(hostname).toBe("crate");
    if (IS_HAKO) expect(domain).toBe("example.org");
    expect(address).toContain("127.0.0.1/8");
  });

  for (const [hostID, uid, gid] of [
    [0, 1000, 1000],
    [100_000, 1000, 1000],
    [100_000, 1000, 0],
  ] as const) {
    e2e(`a user namespace where nobody is root: ${uid}:${gid} is the host's ${hostID}`, async () => {
      using box = new Box();
      const before = hostSnapshot(box.root);
      chmodSync(box.dir, 0o755);
      const id = box.id();
      const bundle = box.bundle(["sleep", "600"], (config) => {
        config.linux.namespaces.push({ type: "user" });
        config.linux.uidMappings = [{ containerID: uid, hostID, size: 1 }];
        config.linux.gidMappings = [{ containerID: gid, hostID, size: 1 }];
        config.process.user = { uid, gid };
        config.process.capabilities = {};
        for (const mount of config.mounts)
          mount.options = mount.options?.filter((option) => !option.startsWith("gid="));
      });
      execute("chown", ["-R", `${hostID}:${hostID}`, join(bundle, "rootfs")]);
      box.ok("run", "--detach", "--bundle", bundle, id);
      const line = "id -u; id -g; touch /made; echo > /dev/null; grep CapEff /proc/self/status";
      expect(box.ok("exec", id, "sh", "-c", line).stdout).toBe(`${uid}\n${gid}\nCapEff:\t0000000000000000\n`);
      const { uid: owner, gid: group } = statSync(join(bundle, "rootfs/made"));
      expect([owner, group]).toEqual([hostID, hostID]);
      const other = box.hako("exec", "--user", "5", id, "true");
      expect(other.stderr).toContain(
        "setresuid 5 in the user namespace: invalid argument (5 has no mapping there)",
      );
      // whoever joins its user namespace is who it can be there
      const path = `/proc/${box.state(id).pid}/ns/user`;
      const joined = box.run(["id", "-u"], (config) => {
        config.linux.namespaces.push({ type: "user", path });
        config.process.user = { uid, gid };
        config.process.capabilities = {};
        for (const mount of config.mounts)
          mount.options = mount.options?.filter((option) => !option.startsWith("gid="));
      });
      expect(joined).toMatchObject({ status: 0, stdout: `${uid}\n` });
      box.ok("delete", "--force", id);
      await expectUnchanged(before, box.root);
    }, [needsHako, needsUserNamespace]);
  }

  e2e("additional groups that can't be had in a user namespace are left out, and named unless nothing is lost", () => {
    using box = new Box();
    const bundle = (groups: number[]) =>
      box.bundle(["sh", "-c", "grep Groups /proc/self/status"], (config) => {
        config.mounts = config.mounts.filter(({ destination }) => destination === "/proc");
        config.linux.namespaces = ["pid", "mount", "ipc", "uts"].map((type) => ({ type }));
        config.linux.resources = {};
        delete config.linux.cgroupsPath;
        config.process.rlimits = [];
        config.process.user.additionalGids = groups;
      });
    // unshare -r denies setgroups, as the kernel wants it of an ordinary user
    const run = (groups: number[]) =>
      execute("unshare", ["-Urm", HAKO, "--root", box.root, "run", "--bundle", bundle(groups), box.id()]);
    const warning = "hako: warning: config /process/user/additionalGids: left out, as the user namespace ";
    expect(run([0])).toMatchObject({ status: 0, stderr: "" });
    expect(run([0, 7, 8])).toMatchObject({ status: 0, stderr: `${warning}denies setgroups: 7, 8\n` });
    const maps = [{ containerID: 0, hostID: 100_000, size: 10 }];
    chmodSync(box.dir, 0o755);
    const id = box.started(["sleep", "600"], (config) => {
      config.linux.namespaces.push({ type: "user" });
      config.linux.uidMappings = maps;
      config.linux.gidMappings = maps;
    });
    expect(box.ok("exec", "-g", "7,4000", id, "id", "-G")).toMatchObject({
      stdout: "0 7\n",
      stderr: `${warning}has no mapping for them: 4000\n`,
    });
  }, [needsHako, needsUserNamespace]);

  e2e("the ambient capabilities that runc spec asks for, and can't have, are no word to its user", () => {
    using box = new Box();
    const { stdout, stderr, status } = box.run(["grep", "CapAmb", "/proc/self/status"], (config) => {
      // as runc 1.1 writes it: nothing inheritable
      const names = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"];
      config.process.capabilities = { bounding: names, effective: names, permitted: names, ambient: names };
    });
    expect([stdout, stderr, status]).toEqual(["CapAmb:\t0000000000000000\n", "", 0]);
  }, [needsHako]);

  e2e("a user namespace with its maps", () => {
    using box = new Box();
    chmodSync(box.dir, 0o755);
    const out = box.sh(
      "cat /proc/self/uid_map /proc/self/gid_map; id -u; id -g; touch /tmp/mine; stat -c %u:%g /tmp/mine; stat -c %u:%g /dev",
      (config) => {
        config.linux.namespaces.push({ type: "user" });
        config.linux.uidMappings = [{ containerID: 0, hostID: 100000, size: 65536 }];
        config.linux.gidMappings = [{ containerID: 0, hostID: 200000, size: 65536 }];
        config.mounts.push({ destination: "/tmp", type: "tmpfs", source: "tmpfs", options: ["mode=1777"] });
      },
    );
    const lines = out.trim().split("\n");
    expect(lines[0]?.trim().split(/ +/)).toEqual(["0", "100000", "65536"]);
    expect(lines[1]?.trim().split(/ +/)).toEqual(["0", "200000", "65536"]);
    expect(lines.slice(2)).toEqual(["0", "0", "0:0", "0:0"]);
  }, [needsUserNamespace]);
});

describe("process", () => {
  e2e("arguments, environment, working directory", () => {
    using box = new Box();
    const result = box.run(
      ["sh", "-c", 'pwd; echo "$A|$B|$0|$1"; env | wc -l', "zero", "o n e"],
      (config) => {
        config.process.env = ["PATH=/bin", "A=a b", "B=", "A=last"];
        config.process.cwd = "/made/for/it";
      },
    );
    expect(result.stdout).toContain("/made/for/it\n");
    expect(result.stdout).toContain("||zero|o n e\n".slice(1));
    expect(result.status).toBe(0);
  });

  e2e("user, additional groups, umask", () => {
    using box = new Box();
    const out = box.sh("id -u; id -g; id -G; umask; grep ^Groups /proc/self/status", (config) => {
      config.process.user = { uid: 1000, gid: 1001, additionalGids: [5, 6, 5, 1001], umask: 0o27 };
      config.process.capabilities = {};
    });
    const [uid, gid, groups, umask, status] = out.split("\n");
    expect([uid, gid, umask]).toEqual(["1000", "1001", "0027"]);
    expect(groups?.split(" ").sort()).toEqual(["1001", "5", "6"]);
    expect(
      status
        ?.trim()
        .split(/[\s:]+/)
        .slice(1)
        .sort(),
    ).toEqual(["1001", "5", "6"]);
  });

  e2e("the caller's groups, where an annotation keeps them", () => {
    using box = new Box();
    chmodSync(box.dir, 0o755);
    const groupsOf = (change: (config: BundleConfig) => void) => {
      const line = "grep ^Groups /proc/self/status";
      const bundle = box.bundle(["sh", "-c", `${line}; exec sleep 600`], (config) => {
        config.process.user = { uid: 1000, gid: 1001, additionalGids: [5] };
        change(config);
      });
      const id = box.id();
      const call = (...args: string[]) =>
        execute("setpriv", ["--groups", "4711,4712", HAKO, "--root", box.root, ...args]);
      call("create", "--bundle", bundle, id);
      box.ok("start", id);
      const pid = box.state(id).pid;
      const [groups = ""] = readFileSync(`/proc/${pid}/status`, "utf8").match(/^Groups:.*$/m) ?? [];
      const exec = call("exec", id, "sh", "-c", line);
      expect(exec.stderr).toBe("");
      return [groups, exec.stdout].map((text) => text.trim().split(/\s+/).slice(1).join(" "));
    };
    const annotated = (value: string) => (config: BundleConfig) => {
      config.annotations = { "run.oci.keep_original_groups": value };
    };
    expect(groupsOf(annotated("0"))).toEqual(["5", "5"]);
    expect(groupsOf(annotated("1"))).toEqual(["4711 4712", "4711 4712"]);
    const inside = groupsOf((config) => {
      annotated("1")(config);
      config.linux.namespaces.push({ type: "user" });
      config.linux.uidMappings = [{ containerID: 0, hostID: 100_000, size: 65_536 }];
      config.linux.gidMappings = [{ containerID: 0, hostID: 100_000, size: 65_536 }];
    });
    // they have no names inside
    expect(inside).toEqual(["4711 4712", "65534 65534"]);
  }, [needsHako, needsProgram("setpriv"), needsUserNamespace]);

  e2e("HOME comes from the container's passwd unless it is set", () => {
    using box = new Box();
    expect(box.sh("echo $HOME")).toBe("/root\n");
    expect(
      box.sh("echo $HOME", (config) => {
        config.process.env.push("HOME=/elsewhere");
      }),
    ).toBe("/elsewhere\n");
    expect(
      box.sh("echo $HOME", (config) => {
        config.process.user = { uid: 1000, gid: 1000 };
      }),
    ).toBe("/tmp\n");
  });

  e2e("capabilities, and no_new_privs", () => {
    using box = new Box();
    const status = (mutate: (config: BundleConfig) => void): Record<string, string> =>
      Object.fromEntries(
        box
          .sh("cat /proc/self/status", mutate)
          .split("\n")
          .map((line) => line.split(":\t") as [string, string]),
      );
    const kill = ["CAP_KILL"];
    const root = status((config) => {
      config.process.capabilities = {
        bounding: ["CAP_KILL", "CAP_CHOWN"],
        effective: kill,
        permitted: kill,
        inheritable: [],
        ambient: [],
      };
      config.process.noNewPrivileges = false;
    });
    // root's program gains what is in the bounding set at execve
    expect(root).toMatchObject({ CapInh: "0000000000000000", CapBnd: "0000000000000021", NoNewPrivs: "0" });
    const user = status((config) => {
      config.process.user = { uid: 1000, gid: 1000 };
      config.process.capabilities = {
        bounding: kill,
        effective: kill,
        permitted: kill,
        inheritable: kill,
        ambient: kill,
      };
    });
    const bit = "0000000000000020";
    expect(user).toMatchObject({
      CapInh: bit,
      CapPrm: bit,
      CapEff: bit,
      CapBnd: bit,
      CapAmb: bit,
      NoNewPrivs: "1",
    });
    const none = status((config) => {
      delete config.process.capabilities;
      config.process.user = { uid: 1000, gid: 1000 };
    });
    expect(none.CapEff).toBe("0000000000000000");
  });

  e2e("unknown capabilities are no failure", () => {
    using box = new Box();
    const result = box.run(["true"], (config) => {
      const all = ["CAP_KILL", "CAP_MOON"];
      config.process.capabilities = { bounding: all, effective: all, permitted: all };
    });
    expect(result.status).toBe(0);
  });

  e2e("capabilities that the sets don't let each other have are left out, and it is said", () => {
    using box = new Box();
    const kill = ["CAP_KILL"];
    const rows: [Record<string, string[]>, string][] = [
      [{ bounding: kill, permitted: kill, effective: kill, ambient: kill }, "can't be ambient: CAP_KILL"],
      [{ bounding: kill, inheritable: kill, ambient: kill }, "can't be ambient: CAP_KILL"],
      [{ bounding: kill, effective: kill }, "can't be effective: CAP_KILL"],
    ];
    for (const [sets, said] of rows) {
      const result = box.run(["grep", "CapAmb", "/proc/self/status"], (config) => {
        config.process.capabilities = sets;
        config.process.user = { uid: 1000, gid: 1000 };
      });
      expect(result).toMatchObject({ status: 0, stdout: "CapAmb:\t0000000000000000\n" });
      expect(result.stderr).toMatch(/^hako: warning: config \/process\/capabilities: [^\n]*\n$/);
      expect(result.stderr).toContain(said);
    }
  });

  e2e(
    "nothing is said of what root's program gets all the same, as in the bundles of runc's and crun's spec",
    () => {
      using box = new Box();
      const sets = (...names: string[]) => Object.fromEntries(names.map((name) => [name, ["CAP_KILL"]]));
      const all = ["bounding", "effective", "permitted", "ambient"];
      const bit = "CapEff:\t0000000000000020\n";
      const rows: [names: string[], noNewPrivileges: boolean, stdout: string, said: boolean][] = [
        [all, true, bit, false],
        [all, false, bit, false],
        [["bounding", "ambient"], false, bit, false],
        // without new privileges it doesn't get it
        [["bounding", "ambient"], true, "CapEff:\t0000000000000000\n", true],
        [["effective", "permitted", "ambient"], false, "CapEff:\t0000000000000000\n", true],
      ];
      for (const [names, noNewPrivileges, stdout, said] of rows) {
        const result = box.run(["grep", "CapEff", "/proc/self/status"], (config) => {
          config.process.capabilities = sets(...names);
          config.process.noNewPrivileges = noNewPrivileges;
        });
        expect(result).toMatchObject({ status: 0, stdout });
        if (IS_HAKO) expect(result.stderr.includes("can't be ambient: CAP_KILL")).toBe(said);
        if (IS_HAKO && !said) expect(result.stderr).toBe("");
      }
    },
  );

  e2e("a warning is one line by one write, whatever it is about", () => {
    using box = new Box();
    const name = "CAP_\u001b[2J\nhako: no warning";
    const bundle = box.bundle(["true"], (config) => {
      config.process.capabilities = { bounding: [name] };
    });
    const words = [HAKO, "--root", box.root, "run", "--bundle", bundle, box.id()];
    const trace = box.path("trace");
    const traced = execute("strace", [
      "-qq",
      "-e",
      "trace=write",
      "-e",
      "signal=none",
      "-o",
      trace,
      ...words,
    ]);
    expect(traced).toMatchObject({
      status: 0,
      stderr: `hako: warning: config /process/capabilities: unknown here and left out: ${"CAP_\\x1b[2J hako: no warning"}\n`,
    });
    const writes = readFileSync(trace, "utf8").split("\n");
    expect(writes.filter((line) => line.startsWith("write(2,"))).toHaveLength(1);
  }, [needsHako, needsProgram("strace")]);

  e2e("capabilities that the caller lacks itself are left out, and it is said where people read", () => {
    using box = new Box();
    const wanted = ["CAP_KILL", "CAP_SYS_TIME"];
    const run = (...flags: string[]) => {
      const bundle = box.bundle(["grep", "CapEff", "/proc/self/status"], (config) => {
        config.process.capabilities = { bounding: wanted, effective: wanted, permitted: wanted };
      });
      const runtime = [HAKO, "--root", box.root, ...flags, "run", "--bundle", bundle, box.id()];
      return execute("setpriv", ["--bounding-set", "-sys_time", ...runtime]);
    };
    const plain = run();
    expect(plain).toMatchObject({ status: 0, stdout: "CapEff:\t0000000000000020\n" });
    expect(plain.stderr).toContain("config /process/capabilities: left out");
    expect(plain.stderr).toContain("CAP_SYS_TIME");
    expect(plain.stderr).not.toContain("CAP_KILL");
    // podman decodes the whole log as the one object of a failure
    const logged = run("--log", box.path("log"), "--log-format", "json");
    expect(logged).toMatchObject({ status: 0, stderr: "" });
    expect(readFileSync(box.path("log"), "utf8")).toBe("");
    run("--log", box.path("log"), "--log-format", "json", "--debug");
    expect(readFileSync(box.path("log"), "utf8")).toContain("CAP_SYS_TIME");
  }, [needsHako, needsProgram("setpriv")]);

  e2e("rlimits", () => {
    using box = new Box();
    const out = box.sh("cat /proc/self/limits", (config) => {
      config.process.rlimits = [
        { type: "RLIMIT_NOFILE", soft: 123, hard: 456 },
        { type: "RLIMIT_CORE", soft: 0, hard: 0 },
      ];
    });
    expect(out).toMatch(/Max open files +123 +456/);
    expect(out).toMatch(/Max core file size +0 +0/);
    const repeated = box.run(["true"], (config) => {
      config.process.rlimits = [
        { type: "RLIMIT_NOFILE", soft: 1, hard: 456 },
        { type: "RLIMIT_NOFILE", soft: 123, hard: 456 },
      ];
    });
    if (IS_HAKO) expect(repeated.status).toBe(1);
  });

  e2e("without rlimits the program gets the caller's", () => {
    using box = new Box();
    const bundle = box.bundle(["sh", "-c", "ulimit -Sn; ulimit -Hn"], (config) => {
      config.process.rlimits = [];
    });
    const line = `ulimit -Sn 777; "$0" --root "$1" run --bundle "$2" "$3"; exit $?`;
    const runtime = execute("readlink", ["-f", process.env.HAKO ?? "dist/hako"], {
      cwd: process.cwd(),
    }).stdout.trim();
    const result = execute("sh", ["-c", line, runtime, box.root, bundle, box.id()]);
    expect(result.stdout.split("\n")[0]).toBe("777");
  }, [needsHako]);

  e2e("oom_score_adj", () => {
    using box = new Box();
    const out = box.sh("cat /proc/self/oom_score_adj", (config) => {
      config.process.oomScoreAdj = 321;
    });
    expect(out).toBe("321\n");
  });

  e2e("sysctl of the container's namespaces; of the host: refused", () => {
    using box = new Box();
    const out = box.sh("cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/shm_rmid_forced", (config) => {
      config.linux.sysctl = { "net.ipv4.ip_forward": "1", "kernel.shm_rmid_forced": "1" };
    });
    expect(out).toBe("1\n1\n");
    for (const name of ["kernel.panic", "kernel/../vm.swappiness"]) {
      const result = box.run(["true"], (config) => {
        config.linux.sysctl = { [name]: "1" };
      });
      expect(result.status).toBe(1);
    }
  });

  e2e("a terminal: size, controlling terminal, /dev/console", () => {
    using box = new Box();
    const bundle = box.bundle(
      ["sh", "-c", "tty; stty size; ls -l /dev/console; echo x > /dev/tty"],
      (config) => {
        config.process.terminal = true;
        config.process.consoleSize = { height: 33, width: 99 };
      },
    );
    const runtime = execute("readlink", ["-f", process.env.HAKO ?? "dist/hako"], {
      cwd: process.cwd(),
    }).stdout.trim();
    const result = execute("script", [
      "-qec",
      `${runtime} --root ${box.root} run --bundle ${bundle} ${box.id()}`,
      "/dev/null",
    ]);
    expect(result.stdout).toContain("/dev/pts/0\r\n");
    if (IS_HAKO) expect(result.stdout).toContain("/dev/console");
    expect(result.stdout).toContain("x\r\n");
    expect(result.status).toBe(0);
  }, [needsProgram("script")]);
});

describe("resources @v2", () => {
  e2e("memory, pids and cpu limits are in the cgroup", () => {
    using box = new Box();
    const id = box.id();
    const bundle = box.bundle(["sleep", "600"], (config) => {
      config.linux.resources = {
        ...config.linux.resources,
        memory: { limit: 64 << 20 },
        pids: { limit: 50 },
        cpu: { quota: 50_000, period: 100_000, shares: 512 },
      };
    });
    box.ok("run", "--detach", "--bundle", bundle, id);
    const path = (controller: string): string => {
      const lines = readFileSync(`/proc/${box.state(id).pid}/cgroup`, "utf8")
        .trim()
        .split("\n");
      const line = lines
        .map((text) => text.split(":"))
        .find((words) => (isV2 ? words[0] === "0" : words[1]?.split(",").includes(controller)));
      return `/sys/fs/cgroup${isV2 ? "" : `/${controller}`}${line?.[2] ?? "?"}`;
    };
    const read = (controller: string, v1: string, v2: string): string =>
      readFileSync(join(path(controller), isV2 ? v2 : v1), "utf8").trim();
    expect(read("memory", "memory.limit_in_bytes", "memory.max")).toBe(String(64 << 20));
    expect(read("pids", "pids.max", "pids.max")).toBe("50");
    expect(read("cpu", "cpu.cfs_quota_us", "cpu.max").split(" ")[0]).toBe("50000");
    if (!isV2) expect(read("cpu", "cpu.shares", "")).toBe("512");
  });

  e2e("more memory than the limit ends the program", () => {
    using box = new Box();
    const result = box.run(
      ["sh", "-c", "dd if=/dev/zero of=/dev/shm/x bs=1M count=60; echo survived"],
      (config) => {
        config.linux.resources.memory = { limit: 16 << 20, swap: 16 << 20 };
      },
    );
    expect(/Killed|137/.test(result.stderr + String(result.status))).toBe(true);
  });
});

describe("what the host does not have is refused by name", () => {
  const rows: [string, (config: BundleConfig) => void, RegExp][] = [
    ["an AppArmor profile", (config) => Object.assign(config.process, { apparmorProfile: "x" }), /apparmor/i],
    ["intelRdt", (config) => Object.assign(config.linux, { intelRdt: { closID: "x" } }), /intelRdt/],
  ];
  for (const [name, mutate, text] of rows) {
    e2e(name, async () => {
      using box = new Box();
      const before = hostSnapshot(box.root);
      const result = box.run(["true"], mutate);
      expect(result.status).toBe(1);
      expect(result.stderr).toMatch(text);
      await expectUnchanged(before, box.root);
    }, [needsHako]);
  }
});
