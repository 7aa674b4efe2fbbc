// The rule for all that is outside, beside others; and whom the host asks for names.
import { describe, expect, test } from "bun:test";
import { inetAddressText, parseInetAddress } from "../../src/linux/network/inet-address";
import { nameServersIn } from "../../src/network/host-name-servers";
import { nameAsked } from "../../src/network/name-answers";
import { networkPlan } from "../../src/network/network-plan";
import { isNetworkRule, networkRule } from "../../src/network/rule";
import { RuleSet } from "../../src/network/rule-set";

/** "allowed", or why not. */
function asked(rules: readonly string[], host: string, port: number, protocol: "tcp" | "udp" = "tcp") {
  const set = new RuleSet(rules.map(networkRule));
  return set.refusal({ host: parseInetAddress(host) ?? host, port, protocol }) ?? "allowed";
}

describe("outbound", () => {
  const cases = [
    ["203.0.113.7", "allowed"],
    ["2606:4700::1111", "allowed"],
    ["127.0.0.1", "loopback"],
    ["::ffff:127.0.0.1", "loopback"],
    ["::1", "loopback"],
    ["0.0.0.0", "this host"],
    ["10.1.2.3", "private"],
    ["100.64.0.1", "private"],
    ["fd12::1", "private"],
    ["169.254.1.1", "link-local"],
    ["169.254.169.254", "metadata"],
    ["fe80::1", "link-local"],
    ["64:ff9b::a00:1", "private"],
    ["224.0.0.1", "multicast"],
    ["198.18.0.1", "reserved"],
    ["255.255.255.255", "reserved"],
    ["a.name", "no rule"],
  ] as const;
  for (const [host, expected] of cases)
    test(`${host}: ${expected}`, () => {
      for (const protocol of ["tcp", "udp"] as const)
        expect(asked(["outbound"], host, 65535, protocol)).toBe(expected);
    });

  test("a rule adds an address, another one takes a range away", () => {
    expect(asked(["outbound", "allow:10.1.2.3:22"], "10.1.2.3", 22)).toBe("allowed");
    expect(asked(["outbound", "allow:10.1.2.3:22"], "10.1.2.3", 23)).toBe("private");
    expect(asked(["outbound", "deny:203.0.113.0/24"], "203.0.113.7", 80)).toBe("denied");
    expect(asked(["outbound", "deny:203.0.113.0/24"], "64:ff9b::cb00:7107", 80)).toBe("denied");
    expect(asked(["outbound", "deny:203.0.113.0/24:80"], "203.0.113.7", 81)).toBe("allowed");
  });

  test.each([
    ["allow:0.0.0.0/0", "203.0.113.7", "allowed"],
    ["allow:0.0.0.0/0", "169.254.169.254", "metadata"],
    ["allow:0.0.0.0/0", "127.0.0.1", "loopback"],
    ["allow:0.0.0.0/0", "10.1.2.3", "private"],
    ["allow:[::/0]", "2001:db8::1", "allowed"],
    ["allow:[::/0]", "fd00:ec2::254", "metadata"],
    ["allow:[::/0]", "::1", "loopback"],
    ["allow:[64:ff9b::/96]", "64:ff9b::a9fe:a9fe", "metadata"],
    ["allow:[64:ff9b::/96]", "64:ff9b::a00:1", "private"],
    ["allow:[64:ff9b::/96]", "64:ff9b::cb00:7107", "allowed"],
    ["allow:[64:ff9b::a00:0/104]", "64:ff9b::a00:1", "allowed"],
    ["allow:169.254.0.0/16", "169.254.169.254", "metadata"],
    ["allow:169.254.0.0/16", "169.254.1.1", "allowed"],
    ["allow:169.254.169.254", "169.254.169.254", "allowed"],
    ["allow:10.0.0.0/8", "10.1.2.3", "allowed"],
    ["allow:10.0.0.0/7", "10.1.2.3", "private"],
    ["allow:100.64.0.0/10", "100.100.100.200", "metadata"],
    ["allow:127.0.0.0/8", "127.0.0.1", "allowed"],
  ])("a range means what it says, and no narrower range of others: %s, %s: %s", (rule, host, expected) => {
    expect(asked([rule], host, 80)).toBe(expected);
    const set = new RuleSet([networkRule(rule)]);
    const address = parseInetAddress(host) ?? new Uint8Array();
    expect(set.refusalOfAnswer(address, 80, "tcp")).toBe(
      expected === "allowed" ? undefined : (expected as never),
    );
  });

  test("a range of all addresses names none of the host's own", () => {
    const names = (rule: string) =>
      new RuleSet([networkRule(rule)]).namesAddress(Uint8Array.of(203, 0, 113, 1), 80, "tcp");
    expect(["allow:0.0.0.0/0", "allow:203.0.113.0/24", "allow:203.0.113.1"].map(names)).toEqual([
      false,
      true,
      true,
    ]);
  });

  test("whether a rule names an address is asked of those that do", () => {
    const set = new RuleSet(["outbound", "allow:10.0.0.0/8:22"].map(networkRule));
    const names = (text: string) => set.namesAddress(parseInetAddress(text) ?? new Uint8Array(), 22, "tcp");
    expect([names("10.1.1.1"), names("203.0.113.7")]).toEqual([true, false]);
    expect([set.hasOutside, new RuleSet([]).hasOutside]).toEqual([true, false]);
  });

  test("beside a name that is denied it is refused, also when it comes later", () => {
    const rules = ["deny:evil.example", "outbound"];
    expect(() => networkPlan({ rules, forward: [], publish: [], inject: [], log: undefined })).toThrow(
      "contradicts outbound",
    );
    const set = new RuleSet([networkRule("deny:evil.example")]);
    expect(() => set.add(networkRule("outbound"))).toThrow("contradicts outbound");
    expect(set.hasOutside).toBe(false);
  });

  test("is a word of its own", () => {
    expect(["outbound", "allow:a.b", "outbounds", "none", "host", ""].map(isNetworkRule)).toEqual([
      ...[true, true],
      ...[false, false, false, false],
    ]);
  });
});

describe("the host's name servers", () => {
  const shown = (text: string) => nameServersIn(text).map(inetAddressText);

  test("are those of its resolv.conf", () => {
    const text =
      "# nameserver 192.0.2.9\nsearch a.b\nnameserver 192.0.2.1\n  nameserver\tfe80::1%eth0 \nnameserver x\n";
    expect(shown(text)).toEqual(["192.0.2.1", "fe80::1"]);
  });

  test("are on the host itself where none is named", () => {
    expect(shown("options ndots:1\n")).toEqual(["127.0.0.1"]);
  });
});

test("the name that a query asks for", () => {
  const query = (name: string) =>
    Buffer.from(`\0\x01\x01\0\0\x01\0\0\0\0\0\0${name}\0\0\x01\0\x01`, "latin1");
  expect(nameAsked(query("\x03wWw\x04Test"))).toBe("www.test");
  expect(nameAsked(query("\x09short"))).toBeUndefined();
  expect(nameAsked(new Uint8Array(3))).toBeUndefined();
});
