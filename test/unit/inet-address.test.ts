// Addresses and ranges of IPv4 and IPv6, as text and as bytes.
import { describe, expect, test } from "bun:test";
import {
  inetAddressText,
  inetEndpointText,
  inetRangeHas,
  parseInetAddress,
  parseInetRange,
} from "../../src/linux/network/inet-address";
import { endpointOf, socketAddress } from "../../src/linux/network/inet-socket";

function shown(text: string): string | undefined {
  const address = parseInetAddress(text);
  return address === undefined ? undefined : inetAddressText(address);
}

describe("addresses", () => {
  const same = [
    "0.0.0.0",
    "255.255.255.255",
    "::",
    "::1",
    "1::",
    "2001:db8::1",
    "1:2:3:4:5:6:7:8",
    "fe80::1:0:0:1",
  ];
  for (const text of same) test(`${text} is shown as it was written`, () => expect(shown(text)).toBe(text));

  const others = [
    ["2001:DB8:0:0:0:0:0:1", "2001:db8::1"],
    ["2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"],
    ["0:0:0:1:0:0:0:0", "0:0:0:1::"],
    ["10:0:0:10::", "10:0:0:10::"],
    ["::ffff:192.0.2.1", "192.0.2.1"],
    ["::ffff:c000:201", "192.0.2.1"],
    ["64:ff9b::192.0.2.33", "64:ff9b::c000:221"],
    ["1:2:3:4:5:6:1.2.3.4", "1:2:3:4:5:6:102:304"],
  ] as const;
  for (const [text, as] of others) test(`${text} is ${as}`, () => expect(shown(text)).toBe(as));

  const wrong = [
    ...[
      "",
      "1.2.3",
      "1.2.3.4.5",
      "256.0.0.1",
      "01.2.3.4",
      "1.2.3.4 ",
      "0x7f.0.0.1",
      "2130706433",
      "1.2.3.-4",
      "١.2.3.4",
    ],
    ...[
      ":",
      ":::",
      "1::2::3",
      "1:2:3:4:5:6:7",
      "1:2:3:4:5:6:7:8:9",
      "12345::",
      "g::",
      "fe80::1%eth0",
      "1.2.3.4::",
    ],
    ...["1:2:3:4:5:6:7::8", ":1:2:3:4:5:6:7", "::1.2.3", "[::1]", "::1.2.3.4:5"],
  ];
  for (const text of wrong)
    test(`${JSON.stringify(text)} is none`, () => expect(parseInetAddress(text)).toBeUndefined());

  test("an endpoint goes into the kernel's structure and back", () => {
    for (const [text, port] of [
      ["192.0.2.7", 443],
      ["2001:db8::7", 65535],
    ] as const) {
      const endpoint = { address: parseInetAddress(text) ?? new Uint8Array(), port };
      expect(endpointOf(socketAddress(endpoint))).toEqual(endpoint);
    }
    expect(inetEndpointText({ address: Uint8Array.of(192, 0, 2, 7), port: 80 })).toBe("192.0.2.7:80");
    expect(inetEndpointText({ address: new Uint8Array(16), port: 80 })).toBe("[::]:80");
  });
});

describe("ranges", () => {
  const has = (range: string, address: string) => {
    const [parsed, bytes] = [parseInetRange(range), parseInetAddress(address)];
    if (parsed === undefined || bytes === undefined) throw new Error(`${range}, ${address}`);
    return inetRangeHas(parsed, bytes);
  };
  const cases = [
    ["10.0.0.0/8", "10.255.255.255", true],
    ["10.0.0.0/8", "11.0.0.0", false],
    ["172.16.0.0/12", "172.31.255.255", true],
    ["172.16.0.0/12", "172.32.0.0", false],
    ["0.0.0.0/0", "203.0.113.9", true],
    ["0.0.0.0/0", "2001:db8::1", false],
    ["::/0", "203.0.113.9", false],
    ["192.0.2.1", "192.0.2.1", true],
    ["192.0.2.1", "192.0.2.2", false],
    ["fe80::/10", "febf::1", true],
    ["fe80::/10", "fec0::1", false],
    ["127.0.0.0/8", "::ffff:127.0.0.1", true],
    ["::ffff:127.0.0.0/104", "127.9.9.9", true],
  ] as const;
  for (const [range, address, expected] of cases)
    test(`${range} ${expected ? "has" : "has not"} ${address}`, () =>
      expect(has(range, address)).toBe(expected));

  for (const text of [
    "10.0.0.1/8",
    "10.0.0.0/33",
    "10.0.0.0/",
    "10.0.0.0/08",
    "10.0.0.0/8/8",
    "::1/64",
    "a/8",
    "::/129",
    "::ffff:0.0.0.0/90",
  ])
    test(`${text} is none`, () => expect(parseInetRange(text)).toBeUndefined());
});
