// Listeners whose connections are taken, and what is left of them afterwards.
import { expect, spyOn, test } from "bun:test";
import type { Fd } from "../../src/linux/call/fd";
import { Changes } from "../../src/linux/file/epoll";
import { listenAt, localEndpoint, startConnection } from "../../src/linux/network/inet-socket";
import { Connections } from "../../src/network/connections";

test("one that goes while connections wait takes none of them, asks for no more turns, and leaves its ports to others", () => {
  using changes = new Changes();
  const connections = new Connections(changes);
  const listener = listenAt({ address: Uint8Array.of(127, 0, 0, 1), port: 0 });
  const place = localEndpoint(listener);
  let taken = 0;
  connections.listen(listener, (socket) => {
    taken++;
    connections.refuse(socket);
  });
  const callers = Array.from({ length: 100 }, () => startConnection(place));
  changes.wait(1000);
  // the others have their turn, too
  expect(taken).toBeGreaterThan(0);
  expect(taken).toBeLessThan(callers.length);
  const before = taken;
  connections[Symbol.dispose]();
  using other = listenAt(place);
  expect(localEndpoint(other)).toEqual(place);
  const later = spyOn(changes, "later");
  changes.wait(0);
  changes.wait(0);
  expect(later).not.toHaveBeenCalled();
  expect(taken).toBe(before);
  for (const caller of callers) caller.close();
});

/** A connection that was taken. */
function taken(changes: Changes, connections: Connections): Fd {
  const listener = listenAt({ address: Uint8Array.of(127, 0, 0, 1), port: 0 });
  const sockets: Fd[] = [];
  connections.listen(listener, (socket) => sockets.push(socket));
  using _ = startConnection(localEndpoint(listener));
  changes.wait(1000);
  const [socket] = sockets;
  if (socket === undefined) throw new Error("nothing was taken");
  return socket;
}

test("what waits for something is cancelled at the end, and for a second it is waited for", () => {
  using changes = new Changes();
  const connections = new Connections(changes);
  const socket = taken(changes, connections);
  expect(connections.isSending).toBe(false);
  let cancelled = 0;
  const isWanted = connections.waitFor(() => {
    cancelled++;
    connections.refuse(socket);
  });
  const over = connections.waitFor(() => cancelled++);
  expect([over(), over()]).toEqual([true, false]);
  expect(connections.isSending).toBe(true);
  const now = performance.now();
  const clock = spyOn(performance, "now").mockReturnValue(now + 1500);
  expect(connections.isSending).toBe(false);
  clock.mockRestore();
  connections[Symbol.dispose]();
  expect([cancelled, isWanted()]).toEqual([1, false]);
});
