// What hako tells of itself and of the host: check, env, man.
import { expect } from "bun:test";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { Box, e2e, execute, HAKO, needsHako, needsProgram } from "./support";

e2e("check has a line for each point, and says what to do", () => {
  using box = new Box();
  const result = box.hako("check");
  const findings = JSON.parse(box.hako("check", "--format", "json").stdout) as {
    name: string;
    verdict: string;
    advice: string;
  }[];
  expect(result.status).toBe(0);
  // a header, and what it comes to
  expect(result.stdout.trim().split("\n")).toHaveLength(findings.length + 3);
  const absent = findings.filter(({ verdict }) => verdict === "absent").map(({ name }) => name);
  const without = absent.length === 0 ? "" : `; what is absent: ${absent.join(", ")}`;
  expect(result.stdout).toEndWith(`\nThis host can run containers${without}.\n`);
  // what was found is in the last column, and pads no other line
  expect(result.stdout).not.toMatch(/ $/m);
  const names = findings.map(({ name }) => name);
  for (const name of [
    "kernel",
    "rights",
    "mount namespaces",
    "user namespaces",
    "cgroups",
    "seccomp",
    "overlay",
    "machines",
  ])
    expect(names).toContain(name);
  for (const { verdict, advice } of findings)
    expect([verdict, advice === ""]).toEqual([verdict, verdict === "ok"]);
}, [needsHako]);

e2e("check compares limits with what clients ask for by default", () => {
  const raised = (...before: string[]) => {
    const line = 'exec 2>&1; "$@" | grep "^raised limits"';
    return execute("sh", ["-c", line, "sh", ...before, HAKO, "check"]).stdout;
  };
  const asked = Math.min(1048576, Number(readFileSync("/proc/sys/fs/nr_open", "utf8")));
  expect(raised("setpriv", "--bounding-set=-sys_resource", "prlimit", "--nofile=4000:4000")).toStartWith(
    `raised limits              absent      no CAP_SYS_RESOURCE: nofile is 4000, podman asks for ${asked}`,
  );
  // it names limits that podman can have
  expect(raised("setpriv", "--bounding-set=-sys_resource", "prlimit", "--nofile=4000:4000")).toContain(
    'default_ulimits = ["nofile=4000", "nproc=',
  );
  // an ordinary user's podman asks for what there is
  expect(raised("setpriv", "--reuid=4242", "--clear-groups")).toMatch(/^raised limits +ok +not needed/);
}, [needsHako, needsProgram("setpriv"), needsProgram("prlimit")]);

e2e("check exits with 1 where something needed is missing", () => {
  // limits of a user namespace are its own
  const within = (limit: string, ...command: string[]) =>
    execute("unshare", [
      "--user",
      "--map-root-user",
      "sh",
      "-c",
      `echo 0 > /proc/sys/user/max_${limit}_namespaces && exec "$@"`,
      "sh",
      ...command,
    ]);
  const unmounted = within("mnt", HAKO, "check");
  expect(unmounted.stdout).toMatch(
    /^mount namespaces +missing +clone3: no space left on device \(user.max_mnt_namespaces is 0: sysctl -w /m,
  );
  expect(unmounted.stdout).toMatch(/^Containers can't run here: mount namespaces, /m);
  expect(unmounted.status).toBe(1);
  const powerless = within("user", "setpriv", "--bounding-set=-all", HAKO, "check");
  expect(powerless.stdout).toMatch(
    /^rights +missing +no user namespace \(root lacks CAP_SYS_ADMIN .*--cap-add SYS_ADMIN/m,
  );
  expect(powerless.stdout).not.toContain("run as root");
  expect(powerless.status).toBe(1);
}, [needsHako, needsProgram("setpriv"), needsProgram("unshare")]);

e2e("where programs in memory are forbidden, check and exec say so", () => {
  using box = new Box();
  const id = box.id();
  // the setting is a pid namespace's own, and so are the ids of processes
  const line = `${HAKO} --root ${box.root} run --detach --bundle ${box.bundle(["sleep", "600"])} ${id} || exit
    ${HAKO} --root ${box.root} exec ${id} echo before
    echo 2 > /proc/sys/vm/memfd_noexec
    ${HAKO} --root ${box.root} check | grep '^programs in'
    ${HAKO} --root ${box.root} exec ${id} true; echo $?
    ${HAKO} --root ${box.root} kill ${id} KILL`;
  const result = execute("unshare", ["--pid", "--fork", "--mount-proc", "sh", "-c", line]);
  expect(result.stdout).toMatch(
    /^before\nprograms in memory +absent .*exec needs them: sysctl vm.memfd_noexec=1\)\n255\n$/,
  );
  expect(result.stderr).toMatch(/^hako: memfd_create .*\(sysctl vm.memfd_noexec must be 0 or 1\)\n$/);
}, [
  needsHako,
  needsProgram("unshare"),
  existsSync("/proc/sys/vm/memfd_noexec") ? undefined : "a kernel without vm.memfd_noexec",
]);

e2e("env tells the runtime, the host and the kernel", () => {
  using box = new Box();
  const env = JSON.parse(box.ok("env", "--json").stdout);
  expect(env.runtime).toMatchObject({ spec: "1.3.0", root: box.root, driver: "namespaces" });
  expect(env.kernel.release).toBe(execute("uname", ["-r"]).stdout.trim());
  expect(box.ok("env").stdout).toContain("kernel.release");
}, [needsHako]);

e2e("the manual page has every command and flag, and groff takes it", () => {
  using box = new Box();
  const page = box.ok("man").stdout;
  expect(page).toStartWith(".TH HAKO 1");
  for (const part of [".SS exec", ".SS cgroup show", "\\-\\-additional\\-gids", ".SH EXIT STATUS"])
    expect(page).toContain(part);
  if (Bun.which("groff") === null) return;
  const file = box.path("hako.1");
  writeFileSync(file, page);
  expect(execute("groff", ["-man", "-Tutf8", "-ww", "-z", file]).stderr).toBe("");
}, [needsHako]);
