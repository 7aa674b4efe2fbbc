// A process in a machine: what the agent sends to it, and when it has ended to what it has started.
import { expect, test } from "bun:test";
import { GuestProcess, type OfFirst } from "../../src/agent/guest-process";
import { frameHeader, TO_GUEST } from "../../src/drivers/vm/channel/stream-frames";
import { stringVector } from "../../src/linux/call/argument-memory";
import { F, O, SIG } from "../../src/linux/call/constants";
import type { Fd } from "../../src/linux/call/fd";
import { syscallOn } from "../../src/linux/call/syscall";
import { Changes } from "../../src/linux/file/epoll";
import { Pipe } from "../../src/linux/file/pipe";
import { writeAllWaiting } from "../../src/linux/file/stream";
import { socketPair } from "../../src/linux/file/unix-socket";
import { execveStep } from "../../src/linux/process/execute";
import { startTimeOf } from "../../src/linux/process/process";
import { executeChild } from "../../src/linux/steps/clone-child";

function neverWaiting(fd: Fd): Fd {
  syscallOn(fd.name, "fcntl", fd.number, F.SETFL, O.NONBLOCK);
  return fd;
}

/** What is sent to a process that ends by the signal which the host sends. */
function sentAfter(signal: number, ofFirst?: OfFirst): number[] {
  const sleep = execveStep("/bin/sleep", stringVector(["sleep", "600"]), stringVector([]));
  const pid = executeChild({ steps: [sleep], cgroup: undefined });
  const [host, port] = socketPair("port");
  using end = host;
  using changes = new Changes();
  using input = new Pipe("input");
  using output = new Pipe("output");
  const streams = { input: neverWaiting(input.write), output: neverWaiting(output.read) };
  const sent: number[] = [];
  const send = (number: number) => {
    sent.push(number);
    // nobody's any more when it has been reaped
    if (sent.length === 1) process.kill(pid, number);
  };
  const started = { pid, startTime: startTimeOf(pid) };
  using made = new GuestProcess(changes, started, streams, neverWaiting(port), send, ofFirst);
  writeAllWaiting(end, new Uint8Array(new BigUint64Array([frameHeader(TO_GUEST.signal, signal)]).buffer));
  while (!made.ended) changes.wait(1000);
  return sent;
}

test("what a command was asked with that has ended is killed behind it", () => {
  expect(sentAfter(SIG.TERM)).toEqual([SIG.TERM, SIG.KILL]);
  expect(sentAfter(SIG.INT)).toEqual([SIG.INT]);
});

test("not so with a container's first process, with which all end", () => {
  const figures = { onKill: () => {}, text: () => "", [Symbol.dispose]: () => {} };
  const ofFirst = { figures, stops: undefined } as unknown as OfFirst;
  expect(sentAfter(SIG.TERM, ofFirst)).toEqual([SIG.TERM]);
});
