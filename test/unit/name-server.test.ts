// Who answers for names, where a program asks by a connection.
import { expect, test } from "bun:test";
import { AF } from "../../src/linux/call/constants";
import { Changes } from "../../src/linux/file/epoll";
import { writeAllWaiting } from "../../src/linux/file/stream";
import { acceptAt, listenAt, localEndpoint, startConnection } from "../../src/linux/network/inet-socket";
import { Attempts } from "../../src/network/attempts";
import { LabelAddresses } from "../../src/network/label-addresses";
import { NameServer } from "../../src/network/name-server";
import { networkRule } from "../../src/network/rule";
import { RuleSet } from "../../src/network/rule-set";

const QUESTION = "\0\x1a\0\x01\x01\0\0\x01\0\0\0\0\0\0\x03web\x04test\0\0\x01\0\x01";

test("a connection with many questions is not answered before the others have their turn", () => {
  using listener = listenAt({ address: Uint8Array.of(127, 0, 0, 1), port: 0 });
  using asking = startConnection(localEndpoint(listener));
  const taken = acceptAt(listener)?.socket;
  if (taken === undefined) throw new Error("nobody came");
  const questions = 2000;
  writeAllWaiting(asking, QUESTION.repeat(questions));
  using changes = new Changes();
  let asked = 0;
  class Counted extends RuleSet {
    override knows(name: string): boolean {
      asked++;
      return super.knows(name);
    }
  }
  const rules = new Counted([networkRule("allow:web.test")]);
  let isOver = false;
  new NameServer(changes, rules, new LabelAddresses(), new Attempts(undefined), [AF.INET]).serve(
    taken,
    () => {
      isOver = true;
    },
  );
  changes.wait(1000);
  expect(asked).toBeGreaterThan(0);
  expect(asked).toBeLessThan(questions);
  while (asked < questions && !isOver) changes.wait(1000);
  expect(asked).toBe(questions);
  asking.close();
  while (!isOver) changes.wait(1000);
});

test("who asks twice to be called again is called once", () => {
  using changes = new Changes();
  let calls = 0;
  const call = () => {
    calls++;
  };
  changes.later(call);
  changes.later(call);
  changes.wait(0);
  changes.wait(0);
  expect(calls).toBe(1);
});
