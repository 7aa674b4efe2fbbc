// Network interfaces of the host that are moved into a container.
import { expect } from "bun:test";
import { Box, type BundleConfig, e2e, execute, needsHako, needsProgram } from "./support";

const PROBE = `hk${process.pid % 100000}p`;
const needsDummy = (() => {
  if (process.getuid?.() !== 0) return "needs root";
  const made = execute("ip", ["link", "add", PROBE, "type", "veth", "peer", "name", `${PROBE}q`]);
  execute("ip", ["link", "del", PROBE]);
  return made.status === 0 ? undefined : "this kernel makes no veth interfaces";
})();
const NEEDS = [needsHako, needsProgram("ip"), needsDummy];

/** A pair of interfaces with an address, gone after `using`. */
class Pair implements Disposable {
  readonly name = `hk${process.pid % 100000}a`;
  readonly peer = `hk${process.pid % 100000}b`;

  constructor() {
    for (const line of [
      `link add ${this.name} type veth peer name ${this.peer}`,
      `addr add 192.0.2.7/24 dev ${this.name}`,
      `addr add 2001:db8::7/64 dev ${this.name} nodad`,
      `link set ${this.name} up`,
      `link set ${this.peer} up`,
    ]) {
      const done = execute("ip", line.split(" "));
      if (done.status !== 0) throw new Error(`ip ${line}: ${done.stderr}`);
    }
  }

  /** What the host sees of it; nothing when it isn't there. */
  onHost(): string {
    return execute("ip", ["-o", "addr", "show", "dev", this.name]).stdout;
  }

  [Symbol.dispose](): void {
    execute("ip", ["link", "del", this.peer]);
  }
}

function withDevices(netDevices: object, more: (config: BundleConfig) => void = () => {}) {
  return (config: BundleConfig) => {
    Object.assign(config.linux, { netDevices });
    more(config);
  };
}

e2e(
  "an interface moves with its addresses, under another name, and is up",
  () => {
    using pair = new Pair();
    using box = new Box();
    const id = box.id();
    box.ok(
      "create",
      "--bundle",
      box.bundle(["sleep", "600"], withDevices({ [pair.name]: { name: "inside0" } })),
      id,
    );
    expect(pair.onHost()).toBe("");
    const seen = box.ok("exec", id, "ip", "addr", "show", "dev", "inside0").stdout;
    expect(seen).toMatch(/[<,]UP[,>]/);
    expect(seen).toContain("inet 192.0.2.7/24");
    expect(seen).toContain("inet6 2001:db8::7/64");
  },
  NEEDS,
);

e2e(
  "a name with %d is numbered by the kernel",
  () => {
    using pair = new Pair();
    using box = new Box();
    expect(box.sh("ip -o link", withDevices({ [pair.name]: { name: "net%d" } }))).toContain("net0@");
  },
  NEEDS,
);

e2e(
  "a create that fails gives the interface back as it was",
  () => {
    using pair = new Pair();
    using box = new Box();
    const before = pair.onHost().replaceAll(/^\d+: |valid_lft.*$/gm, "");
    const mutate = withDevices({ [pair.name]: { name: "inside0" } }, (config) => {
      config.process.args = ["/no/such/program"];
    });
    expect(box.run([], mutate).stderr).toContain("/no/such/program");
    expect(pair.onHost().replaceAll(/^\d+: |valid_lft.*$/gm, "")).toBe(before);
    const missing = box.run(["true"], withDevices({ [pair.name]: { name: "inside0" }, nosuch0: {} }));
    expect(missing.status).toBe(1);
    expect(missing.stderr).toContain(
      "config /linux/netDevices/nosuch0: there is no network interface nosuch0",
    );
    expect(pair.onHost().replaceAll(/^\d+: |valid_lft.*$/gm, "")).toBe(before);
  },
  NEEDS,
);

e2e("names that are none, taken names, and a missing namespace are refused by field", () => {
  using box = new Box();
  const rows: [ReturnType<typeof withDevices>, string][] = [
    [withDevices({ "a/b": {} }), "/linux/netDevices/a~1b: is no name"],
    [withDevices({ eth9: { name: "much-too-long-a-name" } }), "/linux/netDevices/eth9/name: "],
    [withDevices({ eth8: { name: "x" }, eth9: { name: "x" } }), "/linux/netDevices/eth9: x is there twice"],
    [
      withDevices({ eth9: {} }, (config) => {
        config.linux.namespaces = config.linux.namespaces.filter(({ type }) => type !== "network");
      }),
      "/linux/netDevices/eth9: needs a network namespace",
    ],
    [withDevices({ lo: { name: "lo" } }), "the container has a network interface lo already"],
  ];
  for (const [mutate, expected] of rows) {
    const result = box.run(["true"], mutate);
    expect(result.status).toBe(1);
    expect(result.stderr).toContain(expected);
  }
}, [needsHako]);
