// Listeners whose connections are taken, and what is left of them afterwards.
import { expect, spyOn, test } from "bun:test";
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
