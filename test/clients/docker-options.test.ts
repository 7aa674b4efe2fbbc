// @cgroup-v2
// docker can't tell hako from runc: what its flags ask for.
import { afterAll, beforeAll, describe, expect } from "bun:test";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { e2e, IS_HAKO, isV2, type Needs, needsBusybox, needsProgram, needsRoot } from "../e2e/support";
import { Docker } from "./docker-daemon";
import { hasAllCapabilities } from "./machine";

const needs: Needs[] = [needsRoot, needsBusybox, needsProgram("dockerd"), needsProgram("containerd")];
const ready = needs.every((need) => need === undefined);
const needsAllForRunc: Needs =
  IS_HAKO || hasAllCapabilities ? undefined : "runc refuses a capability that this machine has not";

let docker: Docker | undefined;
const use = (): Docker => {
  if (docker === undefined) throw new Error("there is no dockerd");
  return docker;
};
const FOREVER = ["sh", "-c", "while :; do sleep 1; done"];
/** The lines that a shell script prints in a container. */
const lines = (options: string[], script: string): string[] => {
  const result = use().run(...options, "box", "sh", "-c", script);
  if (result.status !== 0) throw new Error(`${options.join(" ")}: ${result.stdout}${result.stderr}`);
  return result.stdout.trimEnd().split("\n");
};

beforeAll(async () => {
  if (ready) docker = await Docker.start();
}, 240_000);
afterAll(async () => {
  await docker?.[Symbol.asyncDispose]();
}, 240_000);

describe("docker run, who the program is", () => {
  e2e(
    "user, groups, host name, working directory, environment, umask, name of its process",
    () => {
      const options = [
        "--user",
        "1000",
        "--group-add",
        "44",
        "--group-add",
        "45",
        "--hostname",
        "crate",
        "--env",
        "A=b",
        "--workdir",
        "/tmp/deep/er",
      ];
      expect(
        lines(options, "id -u; id -g; id -G; hostname; pwd; echo $A $HOME; umask; cat /proc/1/comm; true"),
      ).toEqual(["1000", "1000", "1000 44 45", "crate", "/tmp/deep/er", "b /tmp", "0022", "sh"]);
      expect(use().run("--user", "user", "box", "id", "-u").stdout).toBe("1000\n");
      expect(use().run("--user", "nobody", "box", "true").status).not.toBe(0);
    },
    needs,
  );

  e2e(
    "capabilities, dropped and added; no new privileges; seccomp's default, off, and a profile",
    () => {
      const script = "grep -E '^(CapEff|CapBnd|NoNewPrivs|Seccomp):' /proc/self/status | tr -d '\\t'";
      expect(lines([], script)).toEqual([
        "CapEff:00000000a80425fb",
        "CapBnd:00000000a80425fb",
        "NoNewPrivs:0",
        "Seccomp:2",
      ]);
      const strict = [
        "--cap-drop",
        "ALL",
        "--security-opt",
        "no-new-privileges",
        "--security-opt",
        "seccomp=unconfined",
      ];
      expect(lines(strict, script)).toEqual([
        "CapEff:0000000000000000",
        "CapBnd:0000000000000000",
        "NoNewPrivs:1",
        "Seccomp:0",
      ]);
      expect(
        lines(["--cap-drop", "ALL", "--cap-add", "NET_ADMIN", "--user", "1000"], script).slice(0, 2),
      ).toEqual(["CapEff:0000000000000000", "CapBnd:0000000000001000"]);
      const profile = use().machine.path("profile.json");
      const rule = { names: ["mkdir", "mkdirat"], action: "SCMP_ACT_ERRNO", errnoRet: 95 };
      writeFileSync(profile, JSON.stringify({ defaultAction: "SCMP_ACT_ALLOW", syscalls: [rule] }));
      const refused = use().run("--security-opt", `seccomp=${profile}`, "box", "mkdir", "/tmp/x");
      expect(refused.stderr).toMatch(/not supported/i);
      expect(refused.status).toBe(1);
    },
    needs,
  );

  e2e("--privileged: all capabilities that the machine has, all devices, nothing masked", () => {
    const script =
      "grep CapEff /proc/self/status; ls /dev | wc -l; : > /proc/sys/kernel/core_uses_pid; mount -t tmpfs tmpfs /mnt && echo mounted; grep -c ' /proc/kcore ' /proc/mounts";
    const bounding = /^CapBnd:\t(.*)$/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1];
    const [have, devices, ...rest] = lines(["--privileged", "--tmpfs", "/mnt"], `${script}; true`);
    expect(BigInt(`0x${have?.split("\t")[1]}`) & ~BigInt(`0x${bounding}`)).toBe(0n);
    expect(Number(devices)).toBeGreaterThan(20);
    expect(rest).toEqual(["mounted", "0"]);
    expect(lines(["--cap-add", "ALL"], "grep CapEff /proc/self/status")[0]).toMatch(/ff$/);
  }, [...needs, needsAllForRunc]);
});

describe("docker run, files", () => {
  e2e(
    "a read-only root, tmpfs, volumes, files, read-only ones",
    () => {
      const { machine } = use();
      mkdirSync(machine.path("volume"));
      writeFileSync(machine.path("volume/file"), "in\n");
      const options = [
        "--read-only",
        "--tmpfs",
        "/scratch:size=1m,mode=1750",
        "--volume",
        `${machine.path("volume")}:/v`,
      ];
      options.push(
        "--volume",
        `${machine.path("volume/file")}:/etc/file:ro`,
        "--volume",
        "/anonymous",
        "--volume",
        "named:/named",
      );
      const script =
        "touch /x 2>/dev/null || echo refused; stat -c %a /scratch; grep ' /scratch ' /proc/mounts | grep -o 'size=[0-9]*k'; cat /v/file; echo out > /v/out; cat /etc/file; touch /etc/file 2>/dev/null || echo refused; touch /anonymous/x /named/x && echo made";
      const size = lines(options, script);
      expect(size).toContain("size=1024k");
      expect(size.filter((line) => !line.startsWith("size="))).toEqual([
        "refused",
        "1750",
        "in",
        "in",
        "refused",
        "made",
      ]);
      expect(readFileSync(machine.path("volume/out"), "utf8")).toBe("out\n");
      expect(lines(["--mount", "type=volume,source=named,target=/elsewhere"], "ls /elsewhere")).toEqual([
        "x",
      ]);
      expect(lines(["--volume", "fromimage:/etc"], "cat /etc/group")[0]).toBe("root:x:0:");
      expect(
        lines(["--mount", "type=tmpfs,target=/mnt,tmpfs-size=2m"], "grep ' /mnt ' /proc/mounts")[0],
      ).toContain("size=2048k");
      expect(lines(["--shm-size", "1m"], "grep ' /dev/shm ' /proc/mounts")[0]).toContain("size=1024k");
    },
    needs,
  );

  e2e(
    "propagation: mounts of the host appear in a slave, and those of a shared one on the host",
    async () => {
      const { machine } = use();
      machine.ok("mkdir", "-p", machine.path("data/slave/sub"), machine.path("data/shared/sub"));
      using box = use().detached(
        [
          "--cap-add",
          "SYS_ADMIN",
          "--security-opt",
          "apparmor=unconfined",
          "--volume",
          `${machine.path("data/slave")}:/slave:rslave`,
          "--volume",
          `${machine.path("data/shared")}:/shared:rshared`,
        ],
        ...FOREVER,
      );
      machine.ok("mount", "-t", "tmpfs", "tmpfs", machine.path("data/slave/sub"));
      machine.ok("touch", machine.path("data/slave/sub/from-host"));
      expect(box.exec("ls", "/slave/sub").stdout).toBe("from-host\n");
      expect(box.exec("mount", "-t", "tmpfs", "tmpfs", "/shared/sub")).toMatchObject({ status: 0 });
      box.exec("touch", "/shared/sub/from-container");
      expect(machine.ok("ls", machine.path("data/shared/sub"))).toBe("from-container\n");
      machine.ok("umount", machine.path("data/shared/sub"), machine.path("data/slave/sub"));
    },
    needs,
  );

  e2e(
    "cp, diff, commit, export",
    () => {
      const { machine } = use();
      using box = use().detached([], ...FOREVER);
      writeFileSync(machine.path("given"), "given\n");
      use().ok("cp", machine.path("given"), `${box.name}:/tmp/given`);
      expect(box.exec("cat", "/tmp/given").stdout).toBe("given\n");
      use().ok("cp", `${box.name}:/etc/group`, machine.path("taken"));
      expect(readFileSync(machine.path("taken"), "utf8")).toStartWith("root:x:0:");
      expect(use().ok("diff", box.name)).toContain("A /tmp/given\n");
      use().ok("commit", box.name, "committed");
      expect(use().run("committed", "cat", "/tmp/given").stdout).toBe("given\n");
      use().ok("export", "--output", machine.path("export.tar"), box.name);
      expect(existsSync(machine.path("export.tar"))).toBe(true);
    },
    needs,
  );
});

describe("docker run, the kernel's settings", () => {
  e2e(
    "ulimits, sysctls, devices and their rules, OOM score @v2",
    () => {
      const options = [
        "--ulimit",
        "nofile=100:200",
        "--ulimit",
        "core=0",
        "--sysctl",
        "net.ipv4.ip_unprivileged_port_start=80",
        "--sysctl",
        "kernel.shm_rmid_forced=1",
      ];
      options.push(
        "--device",
        "/dev/null:/dev/nothing:rw",
        "--device-cgroup-rule",
        "c 1:5 r",
        "--oom-score-adj",
        "500",
      );
      const script =
        "ulimit -Sn; ulimit -Hn; cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/shm_rmid_forced; stat -c '%t:%T' /dev/nothing; echo x > /dev/nothing && echo written; cat /proc/self/oom_score_adj; mknod /tmp/kmsg c 1 11; cat /tmp/kmsg >/dev/null 2>&1 || echo denied";
      expect(lines(options, script)).toEqual(["100", "200", "80", "1", "1:3", "written", "500", "denied"]);
    },
    needs,
  );

  e2e(
    "limits of memory, CPUs, processes and block devices @v2",
    () => {
      const options = [
        "--memory",
        "64m",
        "--memory-reservation",
        "32m",
        "--cpu-shares",
        "512",
        "--cpuset-cpus",
        "0",
        "--pids-limit",
        "40",
      ];
      const files = isV2
        ? ["memory.low", "cpu.weight", "cpuset.cpus"]
        : ["memory/memory.soft_limit_in_bytes", "cpu/cpu.shares", "cpuset/cpuset.cpus"];
      const values = lines(options, `cd /sys/fs/cgroup; cat ${files.join(" ")}; nproc`);
      expect([values[0], ...values.slice(2)]).toEqual([String(32 << 20), "0", "1"]);
      expect(Number(values[1])).toBeGreaterThan(0);
      const bomb = use().run(
        "--pids-limit",
        "5",
        "box",
        "sh",
        "-c",
        "for i in 1 2 3 4 5 6 7 8; do sleep 1 & done; wait",
      );
      expect(bomb.stderr).toMatch(/can't fork/);
    },
    needs,
  );
});

describe("docker run, namespaces", () => {
  e2e(
    "the host's: processes, network, IPC, UTS",
    () => {
      const { machine } = use();
      const of = (name: string) => machine.run("readlink", `/proc/1/ns/${name}`).stdout.trim();
      const read = "for name in pid net ipc uts; do readlink /proc/self/ns/$name; done";
      const host = use().docker(
        "run",
        "--rm",
        "--pid",
        "host",
        "--network",
        "host",
        "--ipc",
        "host",
        "--uts",
        "host",
        "box",
        "sh",
        "-c",
        read,
      );
      expect(host.stdout.trim().split("\n")).toEqual([of("pid"), of("net"), of("ipc"), of("uts")]);
    },
    needs,
  );

  e2e(
    "another container's, which go on when that one's neighbour ends",
    async () => {
      using first = use().detached(["--ipc", "shareable"], ...FOREVER);
      const shared = `container:${first.name}`;
      const options = ["--pid", shared, "--ipc", shared, "--network", shared];
      const read = "for name in pid net ipc; do readlink /proc/self/ns/$name; done";
      const own = first.exec("sh", "-c", read).stdout;
      const second = use().docker("run", "--rm", ...options, "box", "sh", "-c", read);
      expect(second).toMatchObject({ status: 0, stdout: own });
      // without a pid namespace of its own: all of its processes end with it, and no others
      const third = "third";
      use().ok(
        "run",
        "--detach",
        "--name",
        third,
        "--pid",
        shared,
        "--network",
        "none",
        "box",
        "sh",
        "-c",
        "sleep 777 & sleep 778 & wait",
      );
      await first.until("its processes are seen", () => /sleep 777/.test(first.exec("ps").stdout));
      use().ok("rm", "--force", third);
      await first.until("its processes are gone", () => !/sleep 77/.test(first.exec("ps").stdout));
      expect(first.status).toBe("running 0");
    },
    needs,
  );

  e2e("--init: signals reach the program, orphans are reaped", async () => {
    using box = use().detached(
      ["--init"],
      "sh",
      "-c",
      "trap 'exit 6' TERM; (sleep 0.2 &); while :; do sleep 0.1; done",
    );
    expect(box.exec("cat", "/proc/1/comm").stdout).toMatch(/^(docker-init|tini)\n$/);
    await box.until("no orphan is left", () => !box.exec("ps", "-o", "stat,args").stdout.includes("Z "));
    use().ok("stop", box.name);
    expect(box.status).toBe("exited 6");
  }, [...needs, needsProgram("docker-init")]);

  e2e(
    "docker's own network: two containers, a published port, and the host's name",
    async () => {
      const { machine } = use();
      use().ok("network", "create", "own");
      try {
        const serve = "mkdir /www; echo page > /www/index.html; exec busybox httpd -f -p 80 -h /www";
        use().ok(
          "run",
          "--detach",
          "--name",
          "web",
          "--network",
          "own",
          "--publish",
          "8080:80",
          "box",
          "sh",
          "-c",
          serve,
        );
        const get = () =>
          use().docker("run", "--rm", "--network", "own", "box", "busybox", "wget", "-qO-", "http://web/");
        expect(get()).toMatchObject({ status: 0, stdout: "page\n" });
        const address = use()
          .ok("inspect", "--format", '{{(index .NetworkSettings.Networks "own").IPAddress}}', "web")
          .trim();
        const client = machine.run("busybox", "wget", "-qO-", `http://${address}/`);
        expect(client.stdout).toBe("page\n");
      } finally {
        use().docker("rm", "--force", "web");
        use().docker("network", "rm", "own");
      }
    },
    needs,
  );
});

describe("docker with other settings", () => {
  e2e(
    "--userns-remap: containers in a user namespace",
    async () => {
      await using remapped = await Docker.start({
        flags: ["--userns-remap", "nobody:nogroup"],
        files: { "/etc/subuid": "nobody:165536:65536\n", "/etc/subgid": "nobody:165536:65536\n" },
      });
      const box = remapped.run("box", "sh", "-c", "id -u; cat /proc/self/uid_map; touch /x && echo made");
      expect(box.stderr).toBe("");
      expect(box.stdout).toMatch(/^0\n +0 +165536 +65536\nmade\n$/);
    },
    needs,
  );
});
