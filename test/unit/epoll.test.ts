// Descriptors that are watched, closed, and watched again.
import { expect, test } from "bun:test";
import { Fd } from "../../src/linux/call/fd";
import { syscall } from "../../src/linux/call/syscall";
import { Changes, EPOLL } from "../../src/linux/file/epoll";
import { writeAllWaiting } from "../../src/linux/file/stream";
import { socketPair } from "../../src/linux/file/unix-socket";

test("one that is closed while another process has it tells nothing more, nor what takes its number", () => {
  using changes = new Changes();
  const [first, other] = socketPair("first");
  using end = other;
  let called = 0;
  changes.watch(first, () => called++);
  const { number } = first;
  // as a child has it
  using kept = new Fd(syscall("dup", number));
  writeAllWaiting(end, "x");
  changes.close(first);
  changes.wait(0);
  const [second, silent] = socketPair("second");
  using _ = silent;
  expect([second.number, kept.number === number]).toEqual([number, false]);
  const told: number[] = [];
  changes.watch(second, (events) => told.push(events));
  for (let turn = 0; turn < 3; turn++) {
    writeAllWaiting(end, "y");
    changes.wait(0);
  }
  expect(called).toBe(0);
  expect(told).toEqual([EPOLL.OUT]);
  changes.close(second);
});

test("what is to be called after a time is called once, by a wait that is no longer, unless it is cancelled", () => {
  using changes = new Changes();
  const called: string[] = [];
  const begin = performance.now();
  changes.after(40, () => {
    called.push("second");
    // due as well
    cancelThird();
  });
  const cancelThird = changes.after(40, () => called.push("third"));
  changes.after(20, () => called.push("first"));
  changes.after(1, () => called.push("none"))();
  for (let turn = 0; called.length < 2 && turn < 100; turn++) changes.wait(20_000);
  const took = performance.now() - begin;
  expect(took).toBeGreaterThanOrEqual(40);
  expect(took).toBeLessThan(10_000);
  changes.wait(60);
  expect(performance.now() - begin).toBeGreaterThanOrEqual(100);
  expect(called).toEqual(["first", "second"]);
});

test("what is due when a wait comes too late is called in the order of its time", () => {
  using changes = new Changes();
  const called: string[] = [];
  changes.after(100, () => called.push("second"));
  changes.after(1, () => called.push("first"));
  Bun.sleepSync(110);
  changes.wait(0);
  expect(called).toEqual(["first", "second"]);
});

test("one that ends another's watch, which has changed as well", () => {
  using changes = new Changes();
  const pairs = [socketPair("one"), socketPair("other")];
  let called = 0;
  for (const [index, [watched]] of pairs.entries())
    changes.watch(watched, () => {
      called++;
      const other = pairs[1 - index]?.[0];
      if (other !== undefined) changes.close(other);
    });
  changes.wait(0);
  expect(called).toBe(1);
  for (const pair of pairs) for (const fd of pair) fd.close();
});
