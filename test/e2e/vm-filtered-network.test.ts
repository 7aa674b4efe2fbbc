// Networks with rules for commands in machines: `hako run --driver vm --network allow:NAME`, as root and as an ordinary user.
import { afterAll, beforeAll, expect } from "bun:test";
import { spawn } from "node:child_process";
import { chmodSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { NetworkAttempt, RefusedDestination } from "../../src/network/attempts";
import { Authority } from "../../src/network/tls/authority";
import { environment, leftIn, needsMachine, needsVirtiofsd, setUp, shared } from "./machines";
import {
  type HakoUser,
  HOST_ADDRESS,
  NEEDS_WORLD,
  OutsideWorld,
  refusedLines,
  SERVERS,
  say,
  sayByUdp,
} from "./outside-world";
import { NEEDS, USER } from "./rootless-home";
import { e2e, execute, needsBusybox, needsProgram, type Result, TIME_LIMIT, until } from "./support";

const ABLE = [needsMachine, needsBusybox, ...NEEDS_WORLD, ...NEEDS];
const cache = shared.path("cache");
/** Machines boot in seconds. */
const LONG = 6 * TIME_LIMIT;

let world: OutsideWorld;
beforeAll(async () => {
  if (ABLE.some((need) => need !== undefined)) return;
  setUp(cache);
  // an ordinary user has the same kernel, and a guest of its own
  chmodSync(shared.dir, 0o755);
  world = await OutsideWorld.make();
  const authority = new Authority(["web.test"]);
  const { certificate, key } = authority.credentialsOf("web.test");
  const files = { authority: authority.certificate, certificate, key };
  for (const [name, text] of Object.entries(files)) writeFileSync(join(world.home.box.dir, name), text);
  const words = ["certificate", "key"].map((name) => join(world.home.box.dir, name));
  const script = join(import.meta.dir, "fixtures/https-echo.ts");
  await world.outside(script, SERVERS.public, "8443", ...words);
  await world.onHostAt("127.0.0.1", 80);
  await world.onHostAt(HOST_ADDRESS, 80);
});
afterAll(async () => {
  await world?.[Symbol.asyncDispose]();
});

function env(who: HakoUser): Record<string, string> {
  const { XDG_CACHE_HOME = "", XDG_DATA_HOME = "" } = environment(cache);
  return { ...world.env, ...(who === "root" && { XDG_CACHE_HOME }), XDG_DATA_HOME };
}

function hako(who: HakoUser, ...args: string[]): Result {
  const [program = "", ...words] = world.words(who);
  return execute(program, [...words, ...args], { env: env(who), timeout: 2 * TIME_LIMIT });
}

/** Runs lines of bash in a machine. */
function run(who: HakoUser, flags: readonly string[], ...lines: string[]): Result {
  const words = ["run", "--driver", "vm", "--rootfs", "/", "-w", "/", ...flags];
  return hako(who, ...words, "--", "bash", "-c", lines.join("\n"));
}

function allow(...rules: string[]): string[] {
  return rules.flatMap((rule) => ["--network", `allow:${rule}`]);
}

function printed({ stdout }: Result): string[] {
  return stdout.split("\n").slice(0, -1);
}

/** A line of bash that says how a name is answered for. */
function look(name: string): string {
  return `getent ahosts ${name} >/dev/null && echo there || echo "not there"`;
}

e2e(
  "--inject-header for HTTPS, in a machine @all",
  () => {
    const header = ["--inject-header", "Authorization:Bearer t0p@https://web.test:8443"];
    const [program = "", ...words] = world.words("root");
    const flags = ["--driver", "vm", "--rootfs", "/", "-w", "/", ...allow("web.test:8443"), ...header];
    const { stdout, stderr } = execute(
      program,
      [...words, "run", ...flags, "--", "curl", "-sS", "https://web.test:8443/in-a-machine"],
      { env: { ...env("root"), SSL_CERT_FILE: join(world.home.box.dir, "authority") }, timeout: LONG },
    );
    expect(stderr).toBe("");
    expect(JSON.parse(stdout)).toMatchObject({
      pathname: "/in-a-machine",
      headers: { authorization: "Bearer t0p" },
    });
  },
  [...ABLE, needsProgram("curl")],
  LONG,
);

const ROOTS = ["NET_ADMIN", "NET_RAW"].flatMap((right) => ["--cap-add", right]);

e2e(
  "what rules allow is reached from a machine, and nothing else, whatever its root does to the interface",
  () => {
    const report = join(world.home.runtime, "report");
    const result = run(
      "root",
      [...allow("web.test:80", "six.test:80", "web.test:443/udp"), "--report", report, ...ROOTS],
      "ls /proc/sys/net/ipv4/conf",
      say("web.test", 80),
      say("six.test", 80),
      sayByUdp("web.test", 443),
      "exec 3<>/dev/tcp/web.test/80; echo bytes 3000000 >&3; wc -c <&3",
      "(echo end; head -c 3000000 /dev/zero) | busybox nc web.test 80",
      look("other.test"),
      say("web.test", 443),
      ...[SERVERS.metadata, SERVERS.private, SERVERS.public, HOST_ADDRESS, "127.0.0.1"].map((to) =>
        say(to, 80),
      ),
      `ip address add ${SERVERS.other}/24 dev eth0; ip route replace 169.254.0.0/16 dev eth0`,
      say(SERVERS.metadata, 80),
      say(HOST_ADDRESS, 80),
      "busybox ping -c 1 -W 1 web.test >/dev/null || echo no echo",
    );
    expect(printed(result)).toEqual([
      "all",
      "default",
      "eth0",
      "lo",
      `${SERVERS.public} 80 hello`,
      `${SERVERS.v6} 80 hello`,
      `${SERVERS.public} 443 hello`,
      "3000000",
      "3000004",
      "not there",
      ...Array<string>(8).fill("refused"),
      "no echo",
    ]);
    expect(refusedLines(result)).toContain("hako: other.test was refused: --network allow:other.test");
    expect(result.stderr).toContain(`hako: ${SERVERS.metadata}:80 was refused`);
    const { refused } = JSON.parse(readFileSync(report, "utf8")) as { refused: RefusedDestination[] };
    expect(refused).toContainEqual(expect.objectContaining({ host: "web.test", port: 443 }));
  },
  ABLE,
  LONG,
);

e2e(
  "outbound from a machine, its log, ports that lead in and out, and no network when hako is gone",
  async () => {
    const log = join(world.home.runtime, "log");
    const id = world.home.box.id();
    const ports = ["--forward", "80", "--forward", "81:web.test:5432", "--publish", "3000"];
    const flags = ["--network", "outbound", "--network-log", log, "--name", id, ...ports];
    const [program = "", ...words] = world.words("root");
    const line = [
      say("dns.test", 443),
      say(SERVERS.other, 80),
      say(SERVERS.private, 80),
      say(HOST_ADDRESS, 80),
      say("127.0.0.1", 80),
      say("::1", 80),
      say("localhost", 81),
      "busybox nc -ll -p 3000 -e cat &",
      look("nowhere.test"),
      "sleep 600",
    ].join("\n");
    const served = spawn(
      program,
      [...words, "run", "--driver", "vm", "--rootfs", "/", "-w", "/", ...flags, "--", "bash", "-c", line],
      { env: env("root"), stdio: ["ignore", "pipe", "inherit"] },
    );
    let said = "";
    served.stdout.on("data", (data) => {
      said += data;
    });
    try {
      await until("all was called", () => said.split("\n").length > 8, LONG);
      expect(said.split("\n").slice(0, -1)).toEqual([
        `${SERVERS.public} 443 hello`,
        `${SERVERS.other} 80 hello`,
        "refused",
        "refused",
        "127.0.0.1 80 hello",
        "127.0.0.1 80 hello",
        `${SERVERS.public} 5432 hello`,
        "not there",
      ]);
      expect(world.onHost("bash", "-c", say("127.0.0.1", 3000, "echo")).stdout).toBe("echo\n");
      const lines = readFileSync(log, "utf8").trimEnd().split("\n");
      const attempts = lines.map((line) => JSON.parse(line) as NetworkAttempt);
      expect(attempts.map(({ address, port, verdict }) => [address, port, verdict])).toContainEqual([
        SERVERS.private,
        80,
        "refused",
      ]);
      served.kill("SIGKILL");
      await new Promise((done) => served.on("exit", done));
      const after = hako("root", "exec", id, "bash", "-c", `timeout 2 bash -c '${say(SERVERS.other, 80)}'`);
      expect(after.stdout).not.toContain("hello");
      expect(hako("root", "delete", "--force", id)).toMatchObject({ status: 0, stderr: "" });
    } finally {
      served.kill("SIGKILL");
      hako("root", "delete", "--force", id);
    }
    expect(leftIn(world.home.box.root)).toEqual([]);
  },
  ABLE,
  LONG,
);

e2e(
  "an ordinary user's machine by a policy: files, names and ports",
  () => {
    const { dir } = world.home.box;
    // one that boots is quicker than a template for one
    world.onHost(
      "sh",
      "-ec",
      `mkdir ${dir}/over; mount -t tmpfs tmpfs ${dir}/over; cd ${dir}/over; mkdir etc work
       mount -t overlay -o lowerdir=/etc,upperdir=$PWD/etc,workdir=$PWD/work overlay /etc
       mount --bind ${dir}/hosts /etc/hosts; mount --bind ${dir}/resolv.conf /etc/resolv.conf
       mkdir -p /etc/hako; printf '[machine]\\ntemplate = "off"\\n' >/etc/hako/config.toml
       cd ${dir}; mkdir -p me/.ssh me/project/.git/hooks; echo secret >me/.ssh/id; chown -R ${USER}:${USER} me`,
    );
    const project = `${dir}/me/project`;
    const words = ["run", "--driver", "vm", "--policy", "agent", "--forward", "5432:web.test:5432"];
    const lines = [
      "id -u",
      say("web.test", 80),
      say("six.test", 80),
      say("web.test", 443),
      say(SERVERS.metadata, 80),
      say("127.0.0.1", 80),
      say("localhost", 5432),
      look("other.test"),
      `cat ${dir}/me/.ssh/id 2>/dev/null || echo hidden`,
      "touch .git/hooks/x 2>/dev/null || echo held",
      "mv .git git 2>/dev/null || echo held",
      "echo made >made",
    ];
    const [program = "", ...given] = world.words("user");
    const there = given.map((word) => (word === "--wdns=/" ? `--wdns=${project}` : word));
    const result = execute(
      program,
      [...there, ...words, ...allow("web.test:80", "six.test:80"), "--", "bash", "-c", lines.join("\n")],
      { env: { ...env("user"), HOME: `${dir}/me` }, timeout: 2 * TIME_LIMIT },
    );
    expect(printed(result)).toEqual([
      `${USER}`,
      `${SERVERS.public} 80 hello`,
      `${SERVERS.v6} 80 hello`,
      "refused",
      "refused",
      "refused",
      `${SERVERS.public} 5432 hello`,
      "not there",
      "hidden",
      "held",
      "held",
    ]);
    expect(refusedLines(result)).toContain("hako: web.test:443 was refused: --network allow:web.test");
    expect(readFileSync(`${project}/made`, "utf8")).toBe("made\n");
  },
  [...ABLE, needsVirtiofsd],
  LONG,
);
