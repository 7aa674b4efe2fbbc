// How ports of a container's loopback are reached (src/network/loopback.ts), and what a machine's agent may say of them.
import { expect, test } from "bun:test";
import * as v from "valibot";
import type { LoopbackPorts } from "../../src/drivers/interface/driver";
import { ANSWERS } from "../../src/drivers/vm/channel/agent-protocol";
import type { Fd } from "../../src/linux/call/fd";
import { inetAddressText } from "../../src/linux/network/inet-address";
import { MachineLoopback } from "../../src/network/loopback";

test("in a machine its agent is asked once, and the gateway serves what leads out", () => {
  const asked: LoopbackPorts[] = [];
  const served = new Map<number, (socket: Fd) => void>();
  const network = {
    gateway: { open: () => [] },
    serveOwn: (port: number, taken: (socket: Fd) => void) => void served.set(port, taken),
  };
  const published = [{ inside: 3000 }, { inside: 3001 }, { inside: 3000 }];
  const loopback = new MachineLoopback(network, [{ inside: 5432 }], published, (ports) => {
    asked.push(ports);
    return [40_001, 40_002, 40_003];
  });
  expect(asked).toEqual([{ forwarded: [5432], published: [3000, 3001, 3000] }]);
  const taken = () => undefined;
  loopback.listen(5432, taken);
  expect(served.get(5432)).toBe(taken);
  const { addresses, port } = loopback.placeOf(3001);
  expect([addresses.map(inetAddressText), port]).toEqual([["198.19.255.254"], 40_002]);
  expect(() => loopback.placeOf(5432)).toThrow("5432 is not published");
});

test.each([[[]], [[40_001, 40_002]]])("an agent that tells of %j for one port is not believed", (told) => {
  const network = { gateway: { open: () => [] }, serveOwn: () => undefined };
  expect(() => new MachineLoopback(network, [], [{ inside: 3000 }], () => told)).toThrow("ports of 1");
});

test("what an agent tells are ports", () => {
  for (const port of [0, 65_536, 1.5, "80", null])
    expect(v.safeParse(ANSWERS.ports, { published: [port] }).success).toBeFalse();
  expect(v.safeParse(ANSWERS.ports, { published: [1, 65_535] }).success).toBeTrue();
});
