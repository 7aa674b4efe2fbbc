// Addresses that are tried one after the other, by a loop that has no timers but its own: as a machine's agent.
import { expect, spyOn, test } from "bun:test";
import type { Fd } from "../../src/linux/call/fd";
import { Changes } from "../../src/linux/file/epoll";
import { listenAt, localEndpoint, startConnection } from "../../src/linux/network/inet-socket";
import { Dial, type Dialled } from "../../src/network/dialer";

const [SILENT, OTHER] = [Uint8Array.of(127, 0, 0, 1), Uint8Array.of(127, 0, 0, 2)];

/** A listener whose queue is full: who connects gets no answer. */
class FullListener implements Disposable {
  readonly #listener = listenAt({ address: SILENT, port: 0 }, 0);
  readonly #queued: readonly Fd[] = Array.from({ length: 4 }, () => startConnection(this.place));

  get place() {
    return localEndpoint(this.#listener);
  }

  [Symbol.dispose](): void {
    for (const socket of [this.#listener, ...this.#queued]) socket.close();
  }
}

test("where the first address does not answer the next one is tried soon", () => {
  using full = new FullListener();
  const { port } = full.place;
  using _ = listenAt({ address: OTHER, port });
  using changes = new Changes();
  const ends: Dialled[] = [];
  const begin = performance.now();
  new Dial(changes, [SILENT, OTHER], port, (dialled) => ends.push(dialled));
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

test("where none answers it is over after 30 seconds", () => {
  using full = new FullListener();
  using changes = new Changes();
  const ends: Dialled[] = [];
  new Dial(changes, [SILENT], full.place.port, (dialled) => ends.push(dialled));
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
