// Netlink messages of networks that machines take over, byte by byte (rtnetlink(7), tc(8)).
import { describe, expect, test } from "bun:test";
import {
  addressEntry,
  destinationOf,
  linkRoute,
  madeEntry,
  type NetworkEntry,
  neighbourEntry,
  withIndices,
} from "../../src/linux/network/network-entries";
import { redirections } from "../../src/linux/network/traffic-control";

const bytes = (hex: string): Buffer => Buffer.from(hex.replaceAll(" ", ""), "hex");
const made = (kind: NetworkEntry["kind"], hex: string) => madeEntry(kind, bytes(hex))?.body.toString("hex");
const told = (hex: string) => hex.replaceAll(" ", "");

/** 10.98.0.2/24, as the kernel lists it: with IFA_CACHEINFO. */
const ADDRESS =
  "02188000 02000000 08000100 0a620002 08000200 0a620002 09000300 65746830 00000000 08000800 80000000 14000600 ffffffff ffffffff 0a000000 0a000000";
const DEFAULT_ROUTE = "02000000 fe030001 00000000 08000f00 fe000000 08000500 0a620001 08000400 02000000";

describe("an address", () => {
  test("is made again as a fixed one, without its route and without asking who has it", () => {
    expect(made("address", ADDRESS)).toBe(
      told(
        "02188200 02000000 08000100 0a620002 08000200 0a620002 09000300 65746830 00000000 08000800 82020000",
      ),
    );
  });

  test("of a lease, or of loopback, is not", () => {
    expect(made("address", ADDRESS.replace("02188000", "02180000").replace("80000000", "00000000"))).toBe(
      undefined,
    );
    expect(made("address", ADDRESS.replace("02188000", "021880fe"))).toBe(undefined);
  });
});

describe("a route", () => {
  test("over a gateway is made again", () => {
    expect(made("route", DEFAULT_ROUTE)).toBe(told(DEFAULT_ROUTE));
  });

  test("that the kernel has made of an address in its table of routes is made again", () => {
    const connected = "02180000 fe02fd01 00000000 08000f00 fe000000 08000100 0a620000 08000400 02000000";
    expect(made("route", connected)).toBe(told(connected));
  });

  test("of the table of own addresses, of a router's advertisement and to ::1 is not", () => {
    const table = (number: string, protocol: string) =>
      DEFAULT_ROUTE.replace("fe030001", `${number}${protocol}0001`).replace("fe000000", `${number}000000`);
    expect(made("route", table("ff", "02"))).toBe(undefined);
    expect(made("route", table("ff", "03"))).toBeDefined();
    expect(made("route", table("fe", "09"))).toBe(undefined);
    const loopback = `0a800000 fe020001 00000000 08000f00 fe000000 14000100 ${"00".repeat(15)}01 08000400 01000000`;
    expect(made("route", loopback)).toBe(undefined);
  });

  test("leads to the interfaces of the other namespace", () => {
    const route = madeEntry("route", bytes(DEFAULT_ROUTE)) as NetworkEntry;
    expect(withIndices(route, new Map([[2, 7]]))?.body.toString("hex")).toBe(
      told(DEFAULT_ROUTE.replace(/02000000$/, "07000000")),
    );
    expect(withIndices(route, new Map([[3, 7]]))).toBe(undefined);
    const hops = (one: string, other: string) =>
      told(
        `02100000 fe030001 00000000 08000f00 fe000000 08000100 0a610000 24000900 10000000 ${one} 08000500 0a620007 10000000 ${other} 08000500 0a620008`,
      );
    const several = { kind: "route", body: bytes(hops("02000000", "03000000")) } as const;
    const indices = new Map([
      [2, 9],
      [3, 4],
    ]);
    expect(withIndices(several, indices)?.body.toString("hex")).toBe(hops("09000000", "04000000"));
    expect(withIndices(several, new Map([[2, 9]]))).toBe(undefined);
  });
});

test("a rule is made again unless the kernel has made it; a neighbour if it is fixed", () => {
  const rule = (protocol: string) =>
    `02002000 64000001 00000000 08000f00 64000000 05001500 ${protocol}000000 08000600 fd7f0000 08000200 0a620002`;
  expect(made("rule", rule("02"))).toBe(undefined);
  expect(made("rule", rule("03"))).toBe(
    told("02002000 64000001 00000000 08000f00 64000000 08000600 fd7f0000 08000200 0a620002"),
  );
  const neighbour = (state: string) =>
    `02000000 02000000 ${state}000001 08000100 0a620009 0a000200 020000000009 0000 14000300 ${"00".repeat(16)}`;
  expect(made("neighbour", neighbour("80"))).toBe(
    told("02000000 02000000 80000001 08000100 0a620009 0a000200 020000000009 0000"),
  );
  expect(made("neighbour", neighbour("02"))).toBe(undefined);
});

test("all frames of an interface go out by another: by u32, else BPF, else matchall", () => {
  const filters = redirections(2, 3).map(({ kind, body }) => [kind, body.toString("hex")]);
  // the last in its turn, for all protocols, of ingress or clsact
  const header = "00000000 02000000 00000000 f2ffffff 0003ffff";
  const mirred =
    "0b000100 6d697272 65640000 24000200 20000200 00000000 00000000 04000000 00000000 00000000 01000000 03000000" +
    "10000600 68616b6f 206d6163 68696e65";
  expect(filters).toEqual([
    [
      "u32",
      told(
        `${header} 08000100 75333200 70000200 24000500 01000100 ${"00".repeat(28)} 48000700 44000100 ${mirred}`,
      ),
    ],
    [
      "bpf",
      told(
        `${header} 08000100 62706600 60000200 06000400 01000000 0c000500 06000000 ffffffff 48000100 44000100 ${mirred}`,
      ),
    ],
    ["matchall", told(`${header} 0d000100 6d617463 68616c6c 00000000 4c000200 48000200 44000100 ${mirred}`)],
  ]);
});

describe("an entry of ours", () => {
  const [source, address] = [Buffer.from([192, 0, 0, 8]), Buffer.from([10, 98, 0, 2])];
  const hexOf = ({ body }: NetworkEntry) => body.toString("hex");

  test("is in the words in which the kernel lists it: it is known again", () => {
    const route = linkRoute(7, source, "main");
    expect(hexOf(route)).toBe(
      told("02200000 fe04fd01 00000000 08000f00 fe000000 08000100 c0000008 08000400 07000000"),
    );
    const neighbour = neighbourEntry(7, source, "0123456789ab");
    expect(hexOf(neighbour)).toBe(
      told("02000000 07000000 80000001 08000100 c0000008 0a000200 01234567 89ab0000"),
    );
    for (const entry of [route, neighbour])
      expect(madeEntry(entry.kind, entry.body)?.body.equals(entry.body)).toBe(true);
  });

  test("leads from an address in place of the namespace itself", () => {
    const way = linkRoute(9, address, "local", source);
    expect(hexOf(way)).toBe(
      told(
        "02200000 ff04fd01 00000000 08000f00 ff000000 08000100 0a620002 08000700 c0000008 08000400 09000000",
      ),
    );
    expect(destinationOf(way)).toEqual(address);
    expect(hexOf(addressEntry(9, source))).toBe(
      told("02208000 09000000 08000100 c0000008 08000200 c0000008"),
    );
  });
});
