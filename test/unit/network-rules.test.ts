// Rules of a filtered network: what they are, and what they let through.
import { describe, expect, test } from "bun:test";
import { HakoError } from "../../src/base/errors";
import { parseInetAddress } from "../../src/linux/network/inet-address";
import { LABELS_V4, LABELS_V6, LabelAddresses, numbered } from "../../src/network/label-addresses";
import { networkPlan } from "../../src/network/network-plan";
import { reservedAs } from "../../src/network/reserved-ranges";
import { networkRule } from "../../src/network/rule";
import { RuleSet } from "../../src/network/rule-set";

function address(text: string) {
  const found = parseInetAddress(text);
  if (found === undefined) throw new Error(text);
  return found;
}

/** "allowed", or why not. */
function asked(
  rules: readonly string[],
  host: string,
  port: number,
  protocol: "tcp" | "udp" = "tcp",
): string {
  const set = new RuleSet(rules.map(networkRule));
  return set.refusal({ host: parseInetAddress(host) ?? host, port, protocol }) ?? "allowed";
}

describe("a rule", () => {
  const NONE: string[] = [
    ...[
      "example.com",
      "allow:",
      "allow:*",
      "allow:*.",
      "allow:a..b",
      "allow:a b",
      "allow:-a.b",
      "allow:a-.b",
    ],
    ...["allow:x:0", "allow:x:65536", "allow:x:2-1", "allow:x:1,", "allow:x:http", "allow:x:", "allow:x/udp"],
    ...[
      "allow:1.2.3",
      "allow:127.1",
      "allow:0x7f.1",
      "allow:10.0.0.1/8",
      "allow:10.0.0.0/33",
      "allow:[::1",
      "allow:1::2::3",
    ],
    ...[
      "allow:localhost",
      "allow:a.localhost:80",
      `allow:${"a".repeat(64)}.com`,
      `allow:${"abcdefg.".repeat(32)}com`,
    ],
    ...[
      "allow:a.*.com",
      "allow:a/tcp/udp",
      "deny:",
      "ALLOW:a.com",
      "allow:bücher.example",
      "allow:a\nb",
      "allow:a\0b",
    ],
  ];
  for (const text of NONE)
    test(`${JSON.stringify(text)} is none`, () => expect(() => networkRule(text)).toThrow(HakoError));

  const ROWS: [rule: string, host: string, port: number, protocol: "tcp" | "udp", allowed: boolean][] = [
    ["allow:example.com", "example.com", 443, "tcp", true],
    ["allow:example.com", "example.com", 80, "tcp", true],
    ["allow:example.com", "example.com", 22, "tcp", false],
    ["allow:example.com", "example.com", 443, "udp", false],
    ["allow:example.com", "www.example.com", 443, "tcp", false],
    ["allow:Example.COM.", "example.com", 443, "tcp", true],
    ["allow:*.example.com:22", "git.example.com", 22, "tcp", true],
    ["allow:*.example.com:22", "a.b.example.com", 22, "tcp", true],
    ["allow:*.example.com:22", "example.com", 22, "tcp", false],
    ["allow:*.example.com:22", "evilexample.com", 22, "tcp", false],
    ["allow:db:5432", "db", 5432, "tcp", true],
    ["allow:a.b:53/udp", "a.b", 53, "udp", true],
    ["allow:a.b:53/udp", "a.b", 53, "tcp", false],
    ["allow:a.b:8000-8010,22", "a.b", 8010, "tcp", true],
    ["allow:a.b:8000-8010,22", "a.b", 22, "tcp", true],
    ["allow:a.b:8000-8010,22", "a.b", 8011, "tcp", false],
    ["allow:192.0.2.1", "192.0.2.1", 443, "tcp", true],
    ["allow:192.0.2.1", "192.0.2.2", 443, "tcp", false],
    ["allow:10.0.0.0/8:5432", "10.255.0.1", 5432, "tcp", true],
    ["allow:10.0.0.0/8:5432", "11.0.0.1", 5432, "tcp", false],
    ["allow:[2001:db8::/32]:22", "2001:db8::7", 22, "tcp", true],
    ["allow:2001:db8::7", "2001:db8::7", 443, "tcp", true],
    ["allow:[::ffff:192.0.2.1]:22", "192.0.2.1", 22, "tcp", true],
    // what an address is called decides: a name that has it is another rule's
    ["allow:192.0.2.1", "example.com", 443, "tcp", false],
    ["allow:example.com", "192.0.2.1", 443, "tcp", false],
  ];
  for (const [rule, host, port, protocol, allowed] of ROWS)
    test(`${rule} and ${host}:${port}/${protocol}`, () =>
      expect(asked([rule], host, port, protocol)).toBe(allowed ? "allowed" : "no rule"));

  test("one that denies wins, wherever it stands, for both protocols where it names none", () => {
    const rules = ["deny:bad.example.com", "allow:*.example.com:1-65535", "allow:bad.example.com:9/udp"];
    expect(asked(rules, "bad.example.com", 443)).toBe("denied");
    expect(asked(rules, "bad.example.com", 9, "udp")).toBe("denied");
    expect(asked(rules, "good.example.com", 443)).toBe("allowed");
    expect(asked(["allow:10.0.0.0/8", "deny:10.1.0.0/16"], "10.1.2.3", 80)).toBe("denied");
  });

  test("rules may become more, and those who serve are told before they hold", () => {
    const set = new RuleSet([]);
    const told: boolean[] = [];
    set.onAdded(() => told.push(set.knows("a.b")));
    set.add(networkRule("allow:a.b"));
    expect([told, set.knows("a.b")]).toEqual([[false], true]);
  });
});

describe("what a name leads to", () => {
  const set = new RuleSet(
    ["allow:example.com:80,5432", "allow:10.1.0.0/16:5432", "deny:8.8.4.4"].map(networkRule),
  );
  const ROWS: [address: string, port: number, verdict: string][] = [
    ["93.184.215.14", 80, "allowed"],
    ["2606:2800:220::1", 80, "allowed"],
    ["127.0.0.1", 80, "loopback"],
    ["::1", 80, "loopback"],
    ["0.0.0.0", 80, "this host"],
    ["169.254.169.254", 80, "metadata"],
    ["fd00:ec2::254", 80, "metadata"],
    ["169.254.1.1", 80, "link-local"],
    ["10.1.2.3", 80, "private"],
    ["10.1.2.3", 5432, "allowed"],
    ["10.2.2.3", 5432, "private"],
    ["64:ff9b::a00:1", 80, "private"],
    ["64:ff9b::808:808", 80, "allowed"],
    ["::ffff:192.168.1.1", 80, "private"],
    ["2002:a00:1::", 80, "reserved"],
    ["198.18.1.0", 80, "reserved"],
    ["8.8.4.4", 80, "denied"],
  ];
  for (const [text, port, verdict] of ROWS)
    test(`${text}:${port} ${verdict}`, () =>
      expect(set.refusalOfAnswer(address(text), port, "tcp") ?? "allowed").toBe(verdict as "allowed"));

  test("reserved ranges end where they end", () => {
    for (const text of [
      "9.255.255.255",
      "11.0.0.0",
      "172.15.255.255",
      "172.32.0.0",
      "126.255.255.255",
      "128.0.0.0",
    ])
      expect([text, reservedAs(address(text))]).toEqual([text, undefined]);
  });
});

describe("addresses that stand for names", () => {
  test("each name has one, of both families, and each of these one name", () => {
    const labels = new LabelAddresses();
    const names = Array.from({ length: 600 }, (_, at) => `n${at}.example.com`);
    const numbers = names.map((name) => labels.numberOf(name));
    expect(new Set(numbers).size).toBe(600);
    expect(labels.numberOf("n7.example.com")).toBe(numbers[7]);
    for (const [at, name] of names.entries())
      for (const range of [LABELS_V4, LABELS_V6])
        expect(labels.nameOf(numbered(range, numbers[at] ?? 0))).toBe(name);
  });

  test("others stand for none", () => {
    const labels = new LabelAddresses();
    labels.numberOf("a.b");
    for (const text of [
      "198.18.1.1",
      "198.17.1.0",
      "198.19.1.0",
      "198.18.0.1",
      "10.0.1.0",
      "fd00:6861:6b6f::1:0:100",
      "fd00::100",
    ])
      expect([text, labels.nameOf(address(text))]).toEqual([text, undefined]);
    expect(labels.nameOf(address("198.18.1.0"))).toBe("a.b");
    expect(labels.nameOf(address("fd00:6861:6b6f::100"))).toBe("a.b");
  });

  test("their number has an end", () => {
    const labels = new LabelAddresses();
    for (let at = 0; at < 4096; at++) labels.numberOf(`n${at}`);
    expect(labels.numberOf("one more")).toBeUndefined();
    expect(labels.numberOf("n4095")).toBeDefined();
  });
});

describe("ports that lead elsewhere", () => {
  const plan = (forward: string[], publish: string[] = []) =>
    networkPlan({ rules: [], forward, publish, inject: [], log: undefined });

  test("--forward", () => {
    expect(plan(["5432", "db.internal:5432", "80:192.0.2.1:8080", "[::1]:22"])?.forwarded).toEqual([
      { inside: 5432, host: "localhost", port: 5432 },
      { inside: 5432, host: "db.internal", port: 5432 },
      { inside: 80, host: address("192.0.2.1"), port: 8080 },
      { inside: 22, host: address("::1"), port: 22 },
    ]);
    const ports = [
      "",
      "x",
      "0",
      "65536",
      "99999999999",
      "-1",
      "080",
      " 80",
      "80-90",
      "a:b",
      "a:",
      ":1",
      "1:2:3:4",
      "a:0",
    ];
    const hosts = [
      "a b",
      "a\nb",
      "a\0b",
      "\x1b[31m",
      "../a",
      "*",
      "*.a",
      "a..b",
      "münchen.de",
      "[::zz]",
      "[]",
      "x".repeat(64),
    ];
    for (const wrong of [...ports, ...hosts.map((host) => `${host}:80`)])
      expect(() => plan([wrong])).toThrow("--forward");
  });

  test("--publish", () => {
    const loopback = address("127.0.0.1");
    expect(plan([], ["3000", "8080:3000", "0.0.0.0:80:8080", "[::]:80", "127.0.0.2:80"])?.published).toEqual([
      { address: loopback, port: 3000, inside: 3000 },
      { address: loopback, port: 8080, inside: 3000 },
      { address: address("0.0.0.0"), port: 80, inside: 8080 },
      { address: address("::"), port: 80, inside: 80 },
      { address: address("127.0.0.2"), port: 80, inside: 80 },
    ]);
    const hostile = [
      "-1",
      "80-90",
      "080:80",
      "127.0.0.1\n:80",
      "127.0.0.1\0:80",
      "[]:80",
      "[::1%lo]:80",
      "80:80\n",
    ];
    for (const wrong of [
      "",
      "x",
      "0",
      "1:2:3",
      "host:80:80",
      "1.2.3:80",
      "256.0.0.1:80",
      "80:65536",
      ...hostile,
    ])
      expect(() => plan([], [wrong])).toThrow("--publish");
  });

  test("nothing that is served is no plan, and has no log", () => {
    expect(plan([])).toBeUndefined();
    expect(() => networkPlan({ rules: [], forward: [], publish: [], inject: [], log: "x" })).toThrow(
      "--network-log",
    );
  });
});
