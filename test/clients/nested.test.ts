// hako inside of containers as pods, docker and podman have them, made by another runtime: what `check` finds, what it takes, and what goes on without.
import { afterAll, beforeAll, describe, expect } from "bun:test";
import { chmodSync, existsSync, mkdirSync } from "node:fs";
import { basename, dirname } from "node:path";
import { e2e, HAKO, type Needs, needsBusybox, needsHako, needsProgram, needsRoot } from "../e2e/support";
import type { SecurityContext } from "./cri-client";
import { CriPods, type Pod } from "./cri-pods";
import { Docker } from "./docker-daemon";
import { needsRootless, USER } from "./ordinary-user";
import { clientTest, IMAGE, Store } from "./support";

const needs: Needs[] = [needsRoot, needsBusybox, needsHako, needsProgram("runc"), needsProgram("containerd")];
const LIBRARIES = ["/lib", "/lib64", "/usr"].filter(existsSync);
const PATH = "/hako:/bin:/usr/bin";
const hako = basename(HAKO);

/** What a container's program says of hako there: `check`, a run, and both weaker ones; last a policy with the first that has run. */
const ASKS = `${hako} check; echo "status $?"
for flags in "" "--weaker proc" "--weaker namespaces"; do
  echo "=== $flags"; ${hako} run --rootfs / $flags -- sh -c 'echo ran as $(id -u); : > /etc/x' 2>&1 | grep -v "can't create"
done
mkdir -p /tmp/project && cd /tmp/project
for flags in "" "--weaker proc" "--weaker namespaces"; do
  ${hako} run --policy agent $flags -- sh -c 'echo in > file' 2>/dev/null && break
done
echo "=== policy $flags"; cat file; ls /etc/x 2>&1`;

interface Outcome {
  /** What check says is missing; undefined: it can run containers. */
  missing?: RegExp;
  /** What a run says, without leniency and with each; undefined: it ran. */
  run?: RegExp;
  proc?: RegExp;
  namespaces?: RegExp;
  user?: number;
}

function expectOutcome(said: string, { missing, run, proc, namespaces, user = 0 }: Outcome): void {
  const [check = "", ...parts] = said.split(/^=== /m);
  if (missing === undefined) expect(check).toMatch(/^This host can run containers.*\nstatus 0$/m);
  else
    expect(check).toMatch(
      new RegExp(`${missing.source}[^]*\\nContainers can't run here: .*\\nstatus 1$`, "m"),
    );
  const ran = new RegExp(`^ran as ${user}$`, "m");
  const [plain = "", withProc = "", without = "", policy = ""] = parts;
  expect(plain).toMatch(run ?? ran);
  expect(withProc).toMatch(proc ?? ran);
  expect(without).toMatch(namespaces ?? ran);
  const works = run === undefined ? "" : proc === undefined ? "--weaker proc" : "--weaker namespaces";
  expect(policy).toBe(`policy ${works}\nin\nls: /etc/x: No such file or directory\n`);
}

/** As a kubelet has them for procMount: Default. */
const MASKED: SecurityContext = {
  maskedPaths: ["/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/scsi", "/sys/firmware"],
  readonlyPaths: ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
};
/** The profile "restricted" of Kubernetes' Pod Security Standards, and no writable root. */
const RESTRICTED: SecurityContext = {
  ...{ user: 1000, dropCapabilities: ["ALL"], noNewPrivileges: true, readOnlyRoot: true },
};
const FILTERED = /clone: operation not permitted \(.*securityContext\.seccompProfile\.type: Unconfined/;
const POD_NO_PIVOT = /pivot_root: .*securityContext\.seccompProfile\.type: Unconfined/;
const NO_PROC = /\/proc here is masked .*securityContext\.procMount: Unmasked with hostUsers: false/;

let pods: CriPods | undefined;
let pod: Pod | undefined;
let started: Docker | undefined;
const ready = needs.every((need) => need === undefined);
const needsDocker = needsProgram("dockerd");
beforeAll(async () => {
  if (!ready) return;
  pods = await CriPods.start({ runtime: Bun.which("runc") ?? "runc" });
  pod = await pods.run({ name: "pod", privileged: true });
  if (needsDocker === undefined) started = await Docker.start();
}, 240_000);
afterAll(async () => {
  await pod?.[Symbol.asyncDispose]();
  await pods?.[Symbol.asyncDispose]();
  await started?.[Symbol.asyncDispose]();
}, 240_000);

describe("in a pod", () => {
  const rows: (readonly [name: string, SecurityContext, Outcome])[] = [
    ["seccomp unconfined", { ...MASKED, seccomp: "Unconfined" }, { missing: NO_PROC, run: NO_PROC }],
    [
      "seccomp of the runtime",
      { ...MASKED, seccomp: "RuntimeDefault" },
      { missing: FILTERED, run: FILTERED, proc: FILTERED },
    ],
    [
      "restricted",
      { ...MASKED, ...RESTRICTED, seccomp: "RuntimeDefault" },
      { missing: FILTERED, run: FILTERED, proc: FILTERED, user: 1000 },
    ],
    [
      "restricted, seccomp unconfined",
      { ...MASKED, ...RESTRICTED, seccomp: "Unconfined" },
      { missing: NO_PROC, run: NO_PROC, user: 1000 },
    ],
    ["an unmasked procfs", { ...RESTRICTED, seccomp: "Unconfined" }, { user: 1000 }],
    [
      "CAP_SYS_ADMIN, which the runtime's filter doesn't let pivot",
      { ...MASKED, seccomp: "RuntimeDefault", addCapabilities: ["SYS_ADMIN"] },
      { missing: POD_NO_PIVOT, run: POD_NO_PIVOT, proc: POD_NO_PIVOT },
    ],
    ["privileged", { privileged: true }, {}],
  ];
  for (const [name, security, outcome] of rows)
    e2e(
      name,
      async () => {
        if (pods === undefined || pod === undefined) throw new Error("there is no pod");
        const temporary = pods.machine.path(`tmp-${name.replace(/\W+/g, "-")}`);
        mkdirSync(temporary);
        chmodSync(temporary, 0o777);
        const id = await pod.start(name.replace(/\W+/g, "-"), ["sleep", "1000"], {
          security,
          env: { PATH, HOME: "/", KUBERNETES_SERVICE_HOST: "10.0.0.1" },
          mounts: [
            ...LIBRARIES.map((path) => ({ host: path, at: path, readonly: true })),
            { host: dirname(HAKO), at: "/hako", readonly: true },
            { host: temporary, at: "/tmp" },
          ],
        });
        expectOutcome((await pods.cri.exec(id, "sh", "-c", ASKS)).stdout, outcome);
      },
      needs,
    );
});

const MOUNTS = LIBRARIES.flatMap((path) => ["-v", `${path}:${path}:ro`]);
const OUTER = [...MOUNTS, "-v", `${dirname(HAKO)}:/hako:ro`, "-e", `PATH=${PATH}`, "-e", "HOME=/"];
const DOCKER_FILTERED = /clone: operation not permitted \(.*--security-opt seccomp=unconfined/;
const DOCKER_NO_PROC = /\/proc here is masked .*--security-opt systempaths=unconfined/;
const NO_PIVOT = /pivot_root: .*--security-opt seccomp=unconfined/;

describe("in docker's containers", () => {
  const unfiltered = ["--security-opt", "seccomp=unconfined"];
  for (const [flags, outcome] of [
    [[], { missing: DOCKER_FILTERED, run: DOCKER_FILTERED, proc: DOCKER_FILTERED }],
    [unfiltered, { missing: DOCKER_NO_PROC, run: DOCKER_NO_PROC }],
    [[...unfiltered, "--security-opt", "systempaths=unconfined"], {}],
    [["--cap-add", "SYS_ADMIN"], { missing: NO_PIVOT, run: NO_PIVOT, proc: NO_PIVOT }],
    [["--cap-add", "SYS_ADMIN", ...unfiltered], {}],
    [["--privileged"], {}],
  ] as const satisfies (readonly [readonly string[], Outcome])[])
    e2e(flags.join(" ") || "without flags", () => {
      const words = ["--runtime", "runc", ...OUTER, ...flags, "box", "sh", "-c", ASKS];
      expectOutcome(started?.run(...words).stdout ?? "there is no dockerd", outcome);
    }, [...needs, needsDocker]);
});

describe("in an ordinary user's podman", () => {
  clientTest("without flags, and with an unmasked procfs @all", () => {
    using store = new Store({ uid: USER });
    const said = (...flags: string[]) =>
      store.podman("run", "--rm", "--tmpfs", "/run", ...OUTER, ...flags, IMAGE, "sh", "-c", ASKS).stdout;
    expectOutcome(said(), { missing: DOCKER_NO_PROC, run: DOCKER_NO_PROC });
    expectOutcome(said("--security-opt", "unmask=ALL"), {});
  }, [...needs, ...needsRootless]);
});
