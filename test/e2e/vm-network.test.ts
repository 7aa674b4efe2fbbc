// Networks of containers in machines: the driver "vm".
import { afterAll, expect } from "bun:test";
import { spawn } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { environment, leftIn, needsMachine, setUp, shared } from "./machines";
import {
  Box,
  type BundleConfig,
  e2e,
  execute,
  HAKO,
  needsBusybox,
  needsProgram,
  type Result,
  TIME_LIMIT,
  until,
} from "./support";

const needs = [needsMachine, needsBusybox, ...["ip", "tc", "python3"].map(needsProgram)];
const cache = shared.path("cache");
const env = environment(cache);
const box = new Box();
afterAll(() => box[Symbol.dispose]());

/** Machines boot in seconds. */
const LONG = 6 * TIME_LIMIT;

function hako(...words: string[]): Result {
  return execute(HAKO, ["--root", box.root, ...words], { env, timeout: 2 * TIME_LIMIT });
}

function ok(command: string, ...words: string[]): string {
  const { status, stdout, stderr } = execute(command, words);
  if (status !== 0) throw new Error(`${command} ${words.join(" ")}: ${stderr}`);
  return stdout;
}

/** A network namespace as engines make them, and one that is beside it. */
class Networks implements Disposable {
  readonly ours = `hako-vm-${process.pid}-a`;
  readonly theirs = `hako-vm-${process.pid}-b`;

  constructor() {
    for (const name of [this.ours, this.theirs]) {
      ok("ip", "netns", "add", name);
      this.ip(name, "link set lo up");
    }
  }

  get path(): string {
    return `/run/netns/${this.ours}`;
  }

  ip(name: string, line: string): string {
    return ok("ip", "-n", name, ...line.split(" "));
  }

  /** Connects the two by a pair of interfaces of one name. */
  pair(device: string, mtu: number, ...addresses: [ours: string, theirs: string][]): void {
    this.ip(this.ours, `link add ${device} type veth peer name ${device} netns ${this.theirs}`);
    for (const [name, side] of [
      [this.ours, 0],
      [this.theirs, 1],
    ] as const) {
      for (const pair of addresses)
        this.ip(name, `addr add ${pair[side]} dev ${device}${pair[side].includes(":") ? " nodad" : ""}`);
      // what changes a second later would be a difference
      const settings = `/proc/sys/net/ipv6/conf/${device}`;
      ok("ip", "netns", "exec", name, "sh", "-c", `echo 0 >${settings}/accept_dad`);
      this.ip(name, `link set ${device} mtu ${mtu} up`);
    }
    // with the carrier come routes
    const isReady = (name: string) =>
      this.ip(name, `-6 route show table all dev ${device}`).includes("local fe80") &&
      this.ip(name, `link show ${device}`).includes("state UP");
    const end = Date.now() + TIME_LIMIT;
    while (![this.ours, this.theirs].every(isReady) && Date.now() < end) Bun.sleepSync(20);
  }

  /** What there is to see of the first, which must not change. */
  seen(): string {
    const { ours } = this;
    const lines = ["-o link", "-o addr", "route show table all", "-6 route show table all", "rule"];
    return [ok("tc", "-n", ours, "qdisc"), ...lines.map((line) => this.ip(ours, line))]
      .join("\n")
      .replace(/ (expires|valid_lft) \S+/g, "");
  }

  [Symbol.dispose](): void {
    for (const name of [this.ours, this.theirs]) execute("ip", ["netns", "delete", name]);
  }
}

/** In the other namespace: takes bytes on one port, sends some to another of the container's, answers questions for names. */
const PEER = `
import hashlib, socket, struct, sys, threading, time
listening = socket.create_server(("10.98.0.1", 7001))
names = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); names.bind(("10.98.0.1", 53))
def take():
    connection, _ = listening.accept(); digest = hashlib.sha256(); count = 0
    while data := connection.recv(1 << 18): digest.update(data); count += len(data)
    print("taken", count, digest.hexdigest(), flush=True)
def answer():
    while True:
        question, sender = names.recvfrom(2048)
        asked = question[12:question.index(b"\\0", 12) + 5]
        answers = b"\\xc0\\x0c\\0\\1\\0\\1\\0\\0\\0\\1\\0\\4\\xc0\\0\\2\\x21" if asked[-4:-2] == b"\\0\\1" else b""
        names.sendto(question[:2] + struct.pack(">HHHHH", 0x8580, 1, 1 if answers else 0, 0, 0) + asked + answers, sender)
def give():
    while True:
        try: connection = socket.create_connection(("10.98.0.2", 7002), 2); break
        except OSError: time.sleep(0.2)
    connection.sendall(bytes(3000000)); connection.shutdown(socket.SHUT_WR); connection.recv(1)
threading.Thread(target=answer, daemon=True).start()
threads = [threading.Thread(target=each) for each in (take, give)]
for each in threads: each.start()
print("ready", flush=True)
for each in threads: each.join()
`;

/** In the container. */
const SCRIPT = `
export PATH=/bin
b() { busybox "$@"; }
for each in eth0 late0; do echo "$each" $(cat /sys/class/net/$each/mtu /sys/class/net/$each/address); done
b ip -o addr | sed 's/ valid_lft.*//'; b ip route; b ip -6 route; b ip rule; b ip neigh
cd /proc/sys/net/ipv4; cat ip_forward conf/eth0/log_martians neigh/eth0/gc_stale_time
for each in "10.98.0.1" "-s 1372 10.98.0.1" "-s 20000 10.98.0.1" "10.99.0.1" "fd98::1"; do
  b ping -c 1 -W 10 $each >/dev/null && echo "reached $each"
done
b nslookup -type=a name.test 10.98.0.1 | grep 192.0.2.33
head -c 3000000 /dev/zero | b nc 10.98.0.1 7001
b nc -l -p 7002 </dev/null | wc -c
`;

function bundle(networks: Networks, args: string[], more: (config: BundleConfig) => void = () => {}): string {
  return box.bundle(args, (config) => {
    config.root.readonly = true;
    config.annotations = { "org.hako.driver": "vm" };
    config.linux.namespaces = config.linux.namespaces.map((each) =>
      each.type === "network" ? { ...each, path: networks.path } : each,
    );
    more(config);
  });
}

function leavesNothing(): void {
  expect(leftIn(box.root)).toEqual([]);
}

e2e(
  "a network namespace is the guest's, with what came into it until the start, and is as it was afterwards",
  async () => {
    setUp(cache);
    using networks = new Networks();
    const { ours, theirs } = networks;
    networks.pair("eth0", 1400, ["10.98.0.2/24", "10.98.0.1/24"], ["fd98::2/64", "fd98::1/64"]);
    networks.ip(ours, "route add default via 10.98.0.1");
    networks.ip(ours, "-6 route add default via fd98::1");
    networks.ip(ours, "route add 10.97.0.0/16 nexthop via 10.98.0.7 dev eth0 nexthop via 10.98.0.8 dev eth0");
    networks.ip(ours, "route add unreachable 10.96.0.0/16");
    networks.ip(ours, "neigh add 10.98.0.9 lladdr 02:00:00:00:00:09 dev eth0");
    networks.ip(ours, "rule add from 10.98.0.2 lookup 100");
    networks.ip(ours, "route add 10.95.0.0/16 via 10.98.0.1 table 100");
    const before = networks.seen();
    const peer = spawn("ip", ["netns", "exec", theirs, "python3", "-c", PEER], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    let told = "";
    peer.stdout.on("data", (data) => {
      told += data;
    });
    const [id, out] = [box.id(), box.path("out")];
    try {
      await until("the peer is there", () => told !== "", LONG);
      const dir = bundle(networks, ["sh", "-c", SCRIPT], (config) => {
        config.linux.sysctl = {
          "net.ipv4.ip_forward": "1",
          "net.ipv4.conf.eth0.log_martians": "1",
          "net/ipv4/neigh/eth0/gc_stale_time": "77",
        };
        for (const set of Object.values(config.process.capabilities ?? {})) set.push("CAP_NET_RAW");
      });
      const line = `${HAKO} --root ${box.root} create --bundle ${dir} ${id} >${out} 2>&1`;
      expect(execute("sh", ["-c", line], { env, timeout: 2 * TIME_LIMIT }).status).toBe(0);
      networks.pair("late0", 1500, ["10.99.0.2/24", "10.99.0.1/24"]);
      const late = networks.seen();
      expect(hako("start", id)).toMatchObject({ status: 0, stderr: "" });
      expect(hako("wait", id).stdout).toBe("0\n");
      const said = readFileSync(out, "utf8");
      const mac = (device: string) => /ether (\S+)/.exec(networks.ip(ours, `link show ${device}`))?.[1];
      for (const words of [
        `eth0 1400 ${mac("eth0")}\n`,
        `late0 1500 ${mac("late0")}\n`,
        "inet 10.98.0.2/24",
        "inet6 fd98::2/64",
        "inet 10.99.0.2/24",
        "default via 10.98.0.1 dev eth0",
        "unreachable 10.96.0.0/16",
        "\n10.97.0.0/16",
        "default via fd98::1 dev eth0",
        "from 10.98.0.2 lookup 100",
        "10.98.0.9 dev eth0 lladdr 02:00:00:00:00:09",
        "\n1\n1\n77\nreached 10.98.0.1\n",
        "reached -s 1372 10.98.0.1",
        "reached -s 20000 10.98.0.1",
        "reached 10.99.0.1",
        "reached fd98::1",
        "192.0.2.33",
        "\n3000000\n",
      ])
        expect(said).toContain(words);
      expect(said.match(/lookup 100/g)?.length).toBe(1);
      const zeros = new Bun.CryptoHasher("sha256").update(new Uint8Array(3_000_000)).digest("hex");
      await until("the peer has all", () => told.includes(`taken 3000000 ${zeros}`));
      expect(late).toContain("hako0");
      expect(hako("delete", id)).toMatchObject({ status: 0, stderr: "" });
    } finally {
      peer.kill();
      hako("delete", "--force", id);
    }
    networks.ip(ours, "link del late0");
    expect(networks.seen()).toBe(before);
    leavesNothing();
  },
  needs,
  LONG,
);

e2e(
  "a command that is killed leaves no tap and no filter after delete; an empty namespace is told",
  async () => {
    using networks = new Networks();
    const empty = hako(
      "run",
      "--driver",
      "vm",
      "--rootfs",
      "/",
      "--network",
      networks.path,
      "--",
      "ls",
      "/sys/class/net",
    );
    expect(empty).toMatchObject({ status: 0, stdout: "lo\n" });
    expect(empty.stderr).toMatch(/has no network: its network namespace has no interface but lo\n$/);
    networks.pair("eth0", 1500, ["10.98.0.2/24", "10.98.0.1/24"]);
    // what classifies frames already stays
    ok("tc", "-n", networks.ours, "qdisc", "add", "dev", "eth0", "clsact");
    const before = networks.seen();
    const id = box.id();
    const words = [
      "run",
      "--driver",
      "vm",
      "--rootfs",
      "/",
      "--network",
      networks.path,
      "--name",
      id,
      "--",
      "sleep",
      "600",
    ];
    const killed = spawn(HAKO, ["--root", box.root, ...words], { env, stdio: "ignore" });
    const filters = () => ok("tc", "-n", networks.ours, "filter", "show", "dev", "eth0", "ingress");
    await until("the network is taken", () => filters().includes("mirred"), LONG);
    // the interface goes with hako itself until QEMU has it
    await Bun.sleep(500);
    killed.kill("SIGKILL");
    await new Promise((done) => killed.on("exit", done));
    expect(networks.seen()).not.toBe(before);
    // nobody else's machine takes it meanwhile
    expect(hako(...words.slice(0, 7), "--", "true").stderr).toContain(
      "network interface eth0 of the container, which is another machine's",
    );
    expect(hako("delete", "--force", id).status).toBe(0);
    expect(networks.seen()).toBe(before);
    leavesNothing();
  },
  needs,
  LONG,
);

e2e(
  "the host's network, a process's namespace and interfaces that are no Ethernet are refused by name",
  () => {
    setUp(cache);
    using networks = new Networks();
    const refusal = (path: string) => {
      const { status, stderr } = hako(
        "run",
        "--driver",
        "vm",
        "--rootfs",
        "/",
        "--network",
        path,
        "--",
        "true",
      );
      expect(status).not.toBe(0);
      expect(stderr).toContain('the driver "vm" can\'t do this');
      return stderr;
    };
    const file = box.path("namespace");
    writeFileSync(file, "");
    ok("mount", "--bind", "/proc/self/ns/net", file);
    try {
      expect(refusal(file)).toMatch(/the host's network: .* \(--network none, or /);
    } finally {
      ok("umount", file);
    }
    expect(refusal("/proc/self/ns/net")).toContain("the network namespace /proc/self/ns/net");
    ok("ip", "-n", networks.ours, "tuntap", "add", "tun0", "mode", "tun");
    networks.ip(networks.ours, "link set tun0 up");
    expect(refusal(networks.path)).toContain("network interface tun0 of the container, which is no Ethernet");
    expect(refusal("host")).toContain("the host's network");
    leavesNothing();
  },
  needs,
  LONG,
);
