// Networks with rules of `hako run --rootfs`: what is reached, what is not, and what is told of it; as root and as an ordinary user.
import { afterAll, beforeAll, describe, expect } from "bun:test";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import type { NetworkAttempt, RefusedDestination } from "../../src/network/attempts";
import {
  type HakoUser,
  HOST_ADDRESS,
  NEEDS_WORLD,
  OutsideWorld,
  refusedLines,
  SERVERS,
  SILENCE,
  say,
  sayByUdp,
} from "./outside-world";
import { NEEDS } from "./rootless-home";
import {
  busyboxRootfs,
  e2e,
  execute,
  needsBusybox,
  needsRoot,
  type Result,
  TIME_FACTOR,
  until,
} from "./support";

const ABLE = [needsRoot, ...NEEDS_WORLD, ...NEEDS];
let world: OutsideWorld;
beforeAll(async () => {
  if (ABLE.every((need) => need === undefined)) world = await OutsideWorld.make();
});
afterAll(async () => {
  await world?.[Symbol.asyncDispose]();
});

/** Runs lines of bash under flags. */
function run(who: HakoUser, flags: readonly string[], ...lines: string[]): Result {
  return hako(who, "run", "--rootfs", "/", ...flags, "--", "bash", "-c", lines.join("\n"));
}

function hako(who: HakoUser, ...words: string[]): Result {
  return who === "root" ? world.hako(...words) : world.asUser(...words);
}

function allow(...rules: string[]): string[] {
  return rules.flatMap((rule) => ["--network", `allow:${rule}`]);
}

/** What the lines have printed. */
function printed(result: Result): string[] {
  return result.stdout.split("\n").slice(0, -1);
}

for (const who of ["root", "user"] as const)
  describe(`as ${who}`, () => {
    e2e(
      "an allowed name is reached at its ports, others are not",
      () => {
        const result = run(
          who,
          allow("web.test", "*.web.test:5432", "six.test:80"),
          say("web.test", 80),
          say("web.test", 443),
          say("web.test", 5432),
          say("api.web.test", 5432),
          say("six.test", 80),
          say("other.test", 80),
        );
        expect(printed(result)).toEqual([
          `${SERVERS.public} 80 hello`,
          `${SERVERS.public} 443 hello`,
          "refused",
          `${SERVERS.public} 5432 hello`,
          `${SERVERS.v6} 80 hello`,
          "refused",
        ]);
        expect(refusedLines(result)).toEqual([
          "hako: web.test:5432 was refused: --network allow:web.test:5432",
          "hako: other.test was refused: --network allow:other.test",
        ]);
      },
      ABLE,
    );

    e2e(
      "addresses and ranges of both families, and nothing by an address that only a name's rule allows",
      () => {
        const result = run(
          who,
          allow(`${SERVERS.other}:443`, "10.0.0.0/8:5432", "[2001:db8::/64]:443", "web.test:443"),
          say(SERVERS.other, 443),
          say(SERVERS.private, 5432),
          say(SERVERS.v6, 443),
          say(SERVERS.public, 443),
          say(SERVERS.private, 443),
        );
        expect(printed(result)).toEqual([
          `${SERVERS.other} 443 hello`,
          `${SERVERS.private} 5432 hello`,
          `${SERVERS.v6} 443 hello`,
          "refused",
          "refused",
        ]);
        expect(refusedLines(result)).toContain(
          `hako: ${SERVERS.public}:443 was refused: --network allow:${SERVERS.public}`,
        );
      },
      ABLE,
    );

    e2e(
      "UDP is answered from the address that was asked, for names and addresses",
      () => {
        const result = run(
          who,
          allow("web.test:443/udp", "six.test:443/udp", `${SERVERS.other}:5432/udp`),
          sayByUdp("web.test", 443),
          sayByUdp("six.test", 443),
          sayByUdp(SERVERS.other, 5432),
          sayByUdp(SERVERS.public, 443, SILENCE),
          say("web.test", 443),
        );
        expect(printed(result)).toEqual([
          `${SERVERS.public} 443 hello`,
          `${SERVERS.v6} 443 hello`,
          `${SERVERS.other} 5432 hello`,
          "nothing",
          "refused",
        ]);
        expect(refusedLines(result)).toContain(
          `hako: ${SERVERS.public}:443 was refused: --network allow:${SERVERS.public}:443/udp`,
        );
      },
      ABLE,
    );

    e2e(
      "a name that leads to the host, its network or a cloud's credentials is refused, unless a rule names the address",
      async () => {
        await onHost;
        const names = ["rebind.test", "inner.test", "meta.test", "me.test"];
        const rules = names.map((name) => `${name}:80`);
        const lines = names.map((name) => say(name, 80));
        const result = run(who, allow(...rules), ...lines);
        expect(printed(result)).toEqual(["refused", "refused", "refused", "refused"]);
        expect(refusedLines(result)).toEqual([
          "hako: rebind.test:80 was refused: 127.0.0.1 is loopback: --network allow:127.0.0.1",
          `hako: inner.test:80 was refused: ${SERVERS.private} is private: --network allow:${SERVERS.private}`,
          `hako: meta.test:80 was refused: ${SERVERS.metadata} is where clouds give credentials out: --network allow:${SERVERS.metadata}`,
          `hako: me.test:80 was refused: ${HOST_ADDRESS} is the host itself: --network allow:${HOST_ADDRESS}`,
        ]);
        const named = run(who, allow(...rules, "10.0.0.0/8", HOST_ADDRESS), ...lines);
        expect(printed(named)).toEqual([
          "refused",
          `${SERVERS.private} 80 hello`,
          "refused",
          `${HOST_ADDRESS} 80 hello`,
        ]);
      },
      ABLE,
    );

    e2e("the host's loopback is not the container's, and the program may listen where rules have ports", async () => {
      await onHost;
      const result = run(
        who,
        allow("web.test:80,5432"),
        say("127.0.0.1", 80),
        say("localhost", 80),
        say("::1", 80),
        "bash -c 'exec 3<>/dev/tcp/127.0.0.1/80' 2>/dev/null && echo own || echo none",
        // an ordinary user has no right to a port below 1024
        `busybox nc -l -p ${who === "root" ? 80 : 5432} -e echo mine &`,
        `until busybox nc 127.0.0.1 ${who === "root" ? 80 : 5432} 2>/dev/null; do sleep 0.1; done`,
        say("web.test", 80),
      );
      expect(printed(result)).toEqual([
        "refused",
        "refused",
        "refused",
        "none",
        "mine",
        `${SERVERS.public} 80 hello`,
      ]);
    }, [...ABLE, needsBusybox]);

    e2e(
      "bytes, half-close and resets come through",
      () => {
        const count = 3_000_000;
        const result = run(
          who,
          allow("web.test:80"),
          `exec 3<>/dev/tcp/web.test/80; echo bytes ${count} >&3; head -c ${2 * count} <&3 | wc -c`,
          "exec 4<>/dev/tcp/web.test/80; echo reset >&4; read -r line <&4 2>/dev/null; echo status $?",
          say("nobody.test", 80),
        );
        expect(printed(result)).toEqual([`${count}`, "status 1", "refused"]);
      },
      ABLE,
    );

    e2e(
      "what was sent right before the end comes, and is in the log",
      () => {
        const log = join(world.home.runtime, `log-${who}`);
        const report = join(world.home.runtime, `report-${who}`);
        const result = run(
          who,
          [
            ...allow("web.test:80,5432", "nobody.test:80"),
            "--network-log",
            log,
            "--report",
            report,
            "--quiet",
          ],
          "exec 3<>/dev/tcp/web.test/5432; echo hello >&3; exec 3<&-",
          say("other.test", 80),
          say("web.test", 443),
          say("web.test", 443),
          "exec 3<>/dev/tcp/web.test/80; echo x >&3; read -r line <&3; kill -9 $$",
        );
        expect(result.status).toBe(137);
        expect(result.stderr).toBe("");
        const lines = readFileSync(log, "utf8").trimEnd().split("\n");
        const attempts = lines.map((line) => JSON.parse(line) as NetworkAttempt);
        const rows = attempts.map(({ name, address, port, verdict, sent }) => [
          name,
          address,
          port,
          verdict,
          sent,
        ]);
        expect(rows).toContainEqual(["web.test", SERVERS.public, 5432, "allowed", 6]);
        expect(rows).toContainEqual(["other.test", null, null, "refused", 0]);
        expect(rows).toContainEqual(["web.test", SERVERS.public, 80, "allowed", 2]);
        const { refused } = JSON.parse(readFileSync(report, "utf8")) as { refused: RefusedDestination[] };
        expect(refused[0]).toEqual({
          ...{ host: "other.test", port: null, protocol: null, why: "no rule", address: null, count: 1 },
        });
      },
      ABLE,
    );

    e2e(
      "what was sent right before the end comes, where its name is looked up first",
      () => {
        const result = run(
          who,
          [...allow("slow.test:80", "slow.test:443/udp"), "--network-log", "2"],
          "exec 3<>/dev/tcp/slow.test/80; echo hello >&3; echo hello > /dev/udp/slow.test/443",
        );
        const lines = result.stderr.trim().split("\n");
        const told = lines.map((line) => JSON.parse(line) as NetworkAttempt);
        expect(told.map(({ verdict, protocol, sent }) => [verdict, protocol, sent]).sort()).toEqual([
          ["allowed", "tcp", 6],
          ["allowed", "udp", 6],
        ]);
      },
      ABLE,
    );

    e2e(
      "the end waits for nobody who doesn't answer, and each of them is told",
      async () => {
        const silent = ["hole.test:80", "holes.test:80", "silent.test:80", "silent.test:443/udp"];
        const lines = silent.map((place) => {
          const [host, port = "", udp] = place.split(/[:/]/);
          return `exec {fd}<>/dev/${udp ?? "tcp"}/${host}/${port}; echo hello >&$fd`;
        });
        const forwarded = "exec {fd}<>/dev/tcp/127.0.0.1/81; echo hello >&$fd";
        const words = ["run", "--rootfs", "/", ...allow(...silent), "--forward", "81:silent.test:80"];
        const program = [...lines, forwarded, "sleep 1.5; echo over"].join("\n");
        const child = Bun.spawn(
          [...world.words(who), ...words, "--network-log", "2", "--", "bash", "-c", program],
          { env: world.env, stdio: ["ignore", "pipe", "pipe"] },
        );
        await child.stdout.getReader().read();
        const over = performance.now();
        expect(await child.exited).toBe(0);
        // it would take five seconds to wait for what was sent
        expect(performance.now() - over).toBeLessThan(4000 * TIME_FACTOR);
        const told = (await child.stderr.text()).trim().split("\n");
        const attempts = told.map((line) => JSON.parse(line) as NetworkAttempt);
        const row = ({ name, port, protocol, verdict, why }: NetworkAttempt) =>
          `${name}:${port}${protocol === "udp" ? "/udp" : ""} ${verdict} ${why}`;
        expect(attempts.map(row).sort()).toEqual(silent.map((place) => `${place} failed ECANCELED`).sort());
      },
      ABLE,
    );

    e2e("no address answers pings that nobody has passed on", () => {
      const to = ["web.test", SERVERS.other, SERVERS.v6, "198.19.255.255"];
      const result = run(
        who,
        [...allow("web.test", "[2001:db8::/64]:80"), "--cap-add", "NET_RAW"],
        "busybox ping -c 1 -W 1 127.0.0.1 >/dev/null && echo own",
        ...to.map((host) => `busybox ping -c 1 -W 1 ${host} | grep -o '[01] packets received' &`),
        "wait",
        say("web.test", 80),
      );
      expect(printed(result)).toEqual([
        "own",
        ...to.map(() => "0 packets received"),
        `${SERVERS.public} 80 hello`,
      ]);
    }, [...ABLE, needsBusybox]);

    e2e("--forward and --publish", async () => {
      await onHost;
      const result = run(
        who,
        ["--forward", "80", "--forward", "81:web.test:5432", "--forward", `82:${SERVERS.private}:80`],
        say("127.0.0.1", 80),
        say("::1", 80),
        say("localhost", 81),
        say("localhost", 82),
        "cat /etc/hosts | grep -c nobody.test",
      );
      expect(printed(result)).toEqual([
        "127.0.0.1 80 hello",
        "127.0.0.1 80 hello",
        `${SERVERS.public} 5432 hello`,
        `${SERVERS.private} 80 hello`,
        // without rules names are the host's, of which nothing is asked
        "1",
      ]);
      const port = who === "root" ? 8101 : 8102;
      const inside =
        "busybox nc -l -p 3000 -e cat & until grep -q :0BB8 /proc/net/tcp*; do sleep 0.1; done; echo ready; wait";
      const child = Bun.spawn(
        [
          ...world.words(who),
          "run",
          "--rootfs",
          "/",
          "--publish",
          `${port}:3000`,
          "--",
          "bash",
          "-c",
          inside,
        ],
        {
          env: world.env,
          stdio: ["ignore", "pipe", "inherit"],
        },
      );
      await child.stdout.getReader().read();
      expect(world.onHost("bash", "-c", say("127.0.0.1", port, "there and back")).stdout).toBe(
        "there and back\n",
      );
      // of another address nothing was said
      expect(world.onHost("bash", "-c", say(HOST_ADDRESS, port)).stdout).toBe("refused\n");
      expect(await child.exited).toBe(0);
    }, [...ABLE, needsBusybox]);
  });

describe("what rules go with", () => {
  e2e(
    "names are asked for by TCP and at other servers too, and nobody outside is asked",
    () => {
      const query =
        "\\x00\\x1a\\x12\\x34\\x01\\x00\\x00\\x01\\x00\\x00\\x00\\x00\\x00\\x00\\x03web\\x04test\\x00\\x00\\x01\\x00\\x01";
      const ask = (server: string) =>
        `exec 3<>/dev/tcp/${server}/53; printf '${query}' >&3; head -c 44 <&3 | tail -c 4 | od -An -tu1`;
      const result = run(
        "root",
        allow("web.test"),
        ask("198.18.0.1"),
        ask("8.8.8.8"),
        "cat /etc/resolv.conf",
      );
      expect(printed(result).map((line) => line.trim().replaceAll(/ +/g, "."))).toEqual([
        "198.18.1.0",
        "198.18.1.0",
        "nameserver.198.18.0.1",
      ]);
    },
    ABLE,
  );

  e2e(
    "what a killed one has left is removed, though it has no record",
    async () => {
      const { box } = world.home;
      const id = box.id();
      const rules = ["--network", "allow:web.test", "--inject-header", "A:b@https://web.test"];
      const words = [
        "run",
        "--rootfs",
        "/",
        "--name",
        id,
        ...rules,
        "--",
        "sh",
        "-c",
        "echo begun; sleep 60",
      ];
      const running = Bun.spawn([...world.words("root"), ...words], { env: world.env, stdout: "pipe" });
      await running.stdout.getReader().read();
      running.kill("SIGKILL");
      await running.exited;
      const directory = join(box.root, id);
      world.hako("kill", "--all", id, "KILL");
      await until("it has ended", () => box.state(id).status === "stopped");
      const left = readdirSync(directory);
      expect(left).toEqual(expect.arrayContaining(["ca-certificates.crt", "hosts", "resolv.conf", "rules"]));
      rmSync(join(directory, "state.json"));
      expect(hako("root", "delete", "--force", id)).toMatchObject({ status: 0, stderr: "" });
      expect(existsSync(directory)).toBe(false);
    },
    ABLE,
  );

  e2e(
    "memory that a burst took is given back when nothing comes any more",
    async () => {
      // each byte of a request that gets a header goes through the engine's heap
      const megabytes = 20;
      const head = `POST / HTTP/1.1\\r\\nHost: web.test\\r\\nContent-Length: ${megabytes}000000\\r\\n\\r\\n`;
      const post = `exec 3<>/dev/tcp/web.test/80; printf '${head}' >&3; yes '' | head -c ${megabytes}000000 >&3`;
      const program = `for i in 1 2 3 4 5 6 7 8; do (${post}) & done; wait; echo over; sleep 60`;
      const flags = [...allow("web.test"), "--inject-header", "A:b@web.test"];
      const child = Bun.spawn(
        [...world.words("root"), "run", "--rootfs", "/", ...flags, "--", "bash", "-c", program],
        { env: world.env, stdio: ["ignore", "pipe", "inherit"] },
      );
      const megabytesOfOwn = () =>
        Number(/^RssAnon:\s+(\d+)/m.exec(readFileSync(`/proc/${child.pid}/status`, "utf8"))?.[1]) / 1024;
      let [most, isOver] = [0, false];
      void child.stdout
        .getReader()
        .read()
        .then(() => {
          isOver = true;
        });
      for (; !isOver; await Bun.sleep(10)) most = Math.max(most, megabytesOfOwn());
      // of a burst that took little there is little to give back
      const wanted = Math.max(0.75 * most, 24);
      let rest = megabytesOfOwn();
      const deadline = performance.now() + 5000 * TIME_FACTOR;
      for (; rest > wanted && performance.now() < deadline; await Bun.sleep(100)) rest = megabytesOfOwn();
      child.kill();
      await child.exited;
      expect(rest).toBeLessThanOrEqual(wanted);
    },
    ABLE,
  );

  e2e("a root file system without /etc, one with a link that leads nowhere, and a -v of the caller's", () => {
    const bare = world.home.box.path("bare");
    busyboxRootfs(bare);
    rmSync(join(bare, "etc"), { recursive: true, force: true });
    const before = readdirSync(bare);
    const inside = (rootfs: string, ...flags: string[]) =>
      world.hako(
        "run",
        "--rootfs",
        rootfs,
        ...flags,
        ...allow("web.test"),
        "--",
        "/bin/busybox",
        "cat",
        "/etc/resolv.conf",
      );
    expect(inside(bare).stdout).toBe("nameserver 198.18.0.1\n");
    expect(readdirSync(bare)).toEqual(before);
    mkdirSync(join(bare, "etc"));
    symlinkSync("../run/systemd/resolve/stub-resolv.conf", join(bare, "etc/resolv.conf"));
    expect(inside(bare).stdout).toBe("nameserver 198.18.0.1\n");
    expect(inside(bare, "--discard").stdout).toBe("nameserver 198.18.0.1\n");
    expect(inside(bare, "--read-only").stdout).toBe("nameserver 198.18.0.1\n");
    expect(readdirSync(join(bare, "etc"))).toEqual(["resolv.conf"]);
    const own = world.home.box.path("resolv");
    writeFileSync(own, "nameserver 192.0.2.1\n");
    expect(inside(bare, "-v", `${own}:/etc/resolv.conf`).stdout).toBe("nameserver 192.0.2.1\n");
  }, [...ABLE, needsBusybox]);

  e2e(
    "limits of time, signals, a terminal and ids of its own",
    () => {
      const web = say("web.test", 80);
      const late = run("user", [...allow("web.test"), "--timeout", `${3 * TIME_FACTOR}s`], web, "sleep 60");
      expect([late.status, printed(late)]).toEqual([124, [`${SERVERS.public} 80 hello`]]);
      const ended = execute(
        "timeout",
        ["1", ...world.words("root"), "run", "--rootfs", "/", ...allow("web.test"), "--", "sleep", "60"],
        { env: world.env },
      );
      expect(ended.status).toBe(124);
      const terminal = run("root", [...allow("web.test"), "--tty"], web);
      expect(terminal.stdout).toContain(`${SERVERS.public} 80 hello`);
      const mapped = run("root", [...allow("web.test"), "--userns", "auto"], web, "id -u");
      expect(printed(mapped)).toEqual([`${SERVERS.public} 80 hello`, "0"]);
      const first = run(
        "root",
        [...allow("web.test"), "--no-init", "--cap-add", "NET_ADMIN"],
        web,
        "ip link del eth0; ip link show eth0 2>&1 | grep -c exist",
        web,
      );
      expect(printed(first)).toEqual([`${SERVERS.public} 80 hello`, "1", "refused"]);
    },
    ABLE,
  );

  for (const [flags, message] of [
    [[...allow("web.test"), "--detach"], "--detach contradicts"],
    [["--forward", "80", "--detach"], "--detach contradicts"],
    [[...allow("web.test"), "--network", "host"], "--network host contradicts --network allow:web.test"],
    [["--publish", "80", "--network", "host"], "--network host contradicts"],
    [[...allow("web.test"), "--network", "none"], "--network none contradicts"],
    [["--network-log", "x"], "--network-log needs a network with rules"],
    [[...allow("web.test"), "--network-log", "/no/such/file"], "--network-log /no/such/file"],
    [["--network", "allow:"], "a name or an address is missing"],
    [["--network", "alow:web.test"], "alow:web.test"],
    [["--publish", "203.0.113.77:80"], "cannot assign requested address"],
  ] as const)
    e2e(
      `${flags.join(" ")} is refused, and leaves nothing`,
      () => {
        const result = world.hako("run", "--rootfs", "/", ...flags, "--", "true");
        expect(result.status).not.toBe(0);
        expect(result.stderr).toContain(message);
        expect(world.hako("list", "--quiet").stdout).toBe("");
      },
      ABLE,
    );
});

/** Servers at addresses of the host itself. */
let onHost: Promise<unknown>;
beforeAll(() => {
  onHost =
    world === undefined
      ? Promise.resolve()
      : Promise.all(["127.0.0.1", HOST_ADDRESS].map((address) => world.onHostAt(address, 80)));
});
