// Who answers for names, where a program asks by a connection.
import { expect, test } from "bun:test";
import { AF } from "../../src/linux/call/constants";
import { Changes } from "../../src/linux/file/epoll";
import { writeAllWaiting } from "../../src/linux/file/stream";
import { acceptAt, listenAt, localEndpoint, startConnection } from "../../src/linux/network/inet-socket";
import { Attempts } from "../../src/network/attempts";
import { LabelAddresses } from "../../src/network/label-addresses";
import { nameAsked } from "../../src/network/name-answers";
import { NameServer } from "../../src/network/name-server";
import { networkRule } from "../../src/network/rule";
import { RuleSet } from "../../src/network/rule-set";

const QUESTION = "\0\x1a\0\x01\x01\0\0\x01\0\0\0\0\0\0\x03web\x04test\0\0\x01\0\x01";

test("a connection with many questions is not answered before the others have their turn", () => {
  using listener = listenAt({ address: Uint8Array.of(127, 0, 0, 1), port: 0 });
  using asking = startConnection(localEndpoint(listener));
  const taken = acceptAt(listener);
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

test("what is no host's name is told in letters, and no wildcard has it", () => {
  const label = (text: string) => `${String.fromCharCode(text.length)}${text}`;
  const ask = (...labels: string[]) =>
    nameAsked(
      Buffer.from(`\0\0\0\0\0\x01${"\0".repeat(6)}${labels.map(label).join("")}\0\0\x01\0\x01`, "latin1"),
    );
  expect(ask("\x1b[31m\n", "evil")).toBe("\\027[31m\\010.evil");
  expect(ask("\x9b", "a.b", "c\\")).toBe("\\155.a\\046b.c\\092");
  const rules = new RuleSet([networkRule("allow:*.web.test")]);
  expect(rules.knows(ask("api", "WEB", "test") ?? "")).toBe(true);
  for (const first of ["other.test\0", "x\\", "a.b"])
    expect(rules.knows(ask(first, "web", "test") ?? "")).toBe(false);
});
