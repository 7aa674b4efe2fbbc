// Ports of a container in a machine, which its agent serves.
import { expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { GuestPorts } from "../../src/agent/guest-ports";
import { Changes } from "../../src/linux/file/epoll";

test("of a process that has ended nothing is left open", () => {
  using changes = new Changes();
  const opened = () => readdirSync("/proc/self/fd").length;
  const before = opened();
  // above the highest number that a process may have (PID_MAX_LIMIT)
  expect(() => new GuestPorts(changes, (4 << 20) + 1)).toThrow("ns/net");
  expect(opened()).toBe(before);
});
