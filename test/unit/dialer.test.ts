// Addresses that are tried one after the other, by a loop that has no timers but its own: as a machine's agent.
import { expect, spyOn, test } from "bun:test";
import { Changes } from "../../src/linux/file/epoll";
import { listenAt } from "../../src/linux/network/inet-socket";
import { Dial, type Dialled } from "../../src/network/dialer";
import { FullListener, LOOPBACK } from "./relay-sockets";

const [SILENT, OTHER] = [LOOPBACK.address, Uint8Array.of(127, 0, 0, 2)];

test("where the first address does not answer the next one is tried soon", () => {
  using full = new FullListener();
  const { port } = full.place;
  using _ = listenAt({ address: OTHER, port });
  using changes = new Changes();
  const ends: Dialled[] = [];
  const begin = performance.now();
  new Dial(changes, { addresses: [SILENT, OTHER], port }, (dialled) => ends.push(dialled));
  for (let turn = 0; ends.length === 0 && turn < 10; turn++) changes.wait(10_000);
  expect(performance.now() - begin).toBeGreaterThanOrEqual(250);
  const [end] = ends;
  if (end === undefined || "failure" in end) throw new Error(`it failed: ${end?.failure}`);
  expect(end.address).toEqual(OTHER);
  end.socket.close();
  // nothing is left of it
  const rest = performance.now();
  changes.wait(0);
  changes.wait(300);
  expect(performance.now() - rest).toBeGreaterThanOrEqual(300);
});

test("one that is given up leaves nothing behind, and says so once", () => {
  using full = new FullListener();
  using changes = new Changes();
  const ends: Dialled[] = [];
  const place = { addresses: [SILENT, OTHER], port: full.place.port };
  const dial = new Dial(changes, place, (dialled) => ends.push(dialled));
  const closed = spyOn(changes, "close");
  for (let turn = 0; turn < 2; turn++) dial[Symbol.dispose]();
  expect(closed).toHaveBeenCalledTimes(1);
  expect(ends).toEqual([{ failure: "ECANCELED" }]);
  const rest = performance.now();
  changes.wait(0);
  // neither the next address's turn nor the end of all of them comes
  changes.wait(300);
  expect(performance.now() - rest).toBeGreaterThanOrEqual(300);
});

test("where none answers it is over after 30 seconds", () => {
  using full = new FullListener();
  using changes = new Changes();
  const ends: Dialled[] = [];
  new Dial(changes, { addresses: [SILENT], port: full.place.port }, (dialled) => ends.push(dialled));
  const now = performance.now();
  const clock = spyOn(performance, "now");
  try {
    for (const [later, told] of [
      [29_000, []],
      [31_000, [{ failure: "ETIMEDOUT" as const }]],
    ] as const) {
      clock.mockReturnValue(now + later);
      changes.wait(0);
      expect(ends).toEqual([...told]);
    }
  } finally {
    clock.mockRestore();
  }
});
