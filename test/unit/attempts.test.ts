// What a program has tried to reach: what is written, counted, and told.
import { expect, test } from "bun:test";
import { refusedLine } from "../../src/container/run/refused-lines";
import { Attempts, type NetworkAttempt } from "../../src/network/attempts";

const ADDRESS = Uint8Array.of(10, 0, 0, 5);

test("attempts are written when they are over, and refused ones are counted", () => {
  const written: NetworkAttempt[] = [];
  const attempts = new Attempts((attempt) => written.push(attempt));
  const web = { host: "web.test", port: 443, protocol: "tcp" } as const;
  const open = attempts.begin(web);
  attempts.begin({ ...web, port: 22 }).stopped({ verdict: "refused", why: "no rule" });
  attempts.begin({ ...web, port: 22 }).stopped({ verdict: "refused", why: "no rule" });
  attempts.begin(web).stopped({ verdict: "failed", why: "ECONNREFUSED" });
  attempts.unknownName("other.test", "no rule");
  open.ended(ADDRESS, 1, 2);
  expect(written.map(({ port, verdict }) => [port, verdict])).toEqual([
    [22, "refused"],
    [22, "refused"],
    [443, "failed"],
    [null, "refused"],
    [443, "allowed"],
  ]);
  expect(written.at(-1)).toMatchObject({
    name: "web.test",
    address: "10.0.0.5",
    sent: 1,
    received: 2,
    why: null,
  });
  expect(attempts.refused.map(({ host, port, count }) => [host, port, count])).toEqual([
    ["web.test", 22, 2],
    ["other.test", null, 1],
  ]);
});

test("what was refused is counted one by one up to a number", () => {
  const attempts = new Attempts(undefined);
  for (let at = 0; at < 3000; at++) attempts.unknownName(`n${at}`, "no rule");
  expect(attempts.refused.length).toBe(1000);
});

test.each([
  [
    { host: "a.b", port: 443, protocol: "tcp", why: "no rule", address: null, count: 3 },
    "a.b:443 was refused 3 times: --network allow:a.b",
  ],
  [
    { host: "a.b", port: 22, protocol: "tcp", why: "no rule", address: null, count: 1 },
    "a.b:22 was refused: --network allow:a.b:22",
  ],
  [
    { host: "a.b", port: 443, protocol: "udp", why: "no rule", address: null, count: 1 },
    "a.b:443 was refused: --network allow:a.b:443/udp",
  ],
  [
    { host: "::1", port: 22, protocol: "tcp", why: "no rule", address: null, count: 1 },
    "[::1]:22 was refused: --network allow:[::1]:22",
  ],
  [
    { host: "a.b", port: null, protocol: null, why: "no rule", address: null, count: 2 },
    "a.b was refused 2 times: --network allow:a.b",
  ],
  [
    { host: "a.b", port: 80, protocol: "tcp", why: "denied", address: null, count: 1 },
    "a.b:80 was refused: a rule denies it",
  ],
  [
    { host: "a.b", port: 80, protocol: "tcp", why: "private", address: "10.0.0.5", count: 1 },
    "a.b:80 was refused: 10.0.0.5 is private: --network allow:10.0.0.5",
  ],
  [
    { host: "n1.a.b", port: null, protocol: null, why: "too many names", address: null, count: 1 },
    "n1.a.b was refused: too many names were asked for",
  ],
] as const)("%j is told", (refused, line) => expect(refusedLine(refused)).toBe(line));
