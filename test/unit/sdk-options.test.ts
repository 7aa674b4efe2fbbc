import { expect, test } from "bun:test";
import * as library from "../../sdk/src/index";

const { changes, container, Container, Changes, Sandbox } = library;
const NOWHERE = { executable: "/no/hako" };

/** What takes no options: what it gets is words, or nothing that could be said otherwise. */
const WITHOUT_OPTIONS = new Set(["findExecutable", "Container.allow", "Sandbox.close"]);

/** What stands before the options. */
const WORDS: Readonly<Record<string, readonly unknown[]>> = {
  container: ["x"],
  changes: ["x"],
  kill: ["TERM"],
  exec: [["true"]],
  spawn: [["true"]],
};

type Call = (...words: unknown[]) => unknown;

function* methodsOf(name: string, prototype: object, of: object): Generator<[string, Call]> {
  for (const [method, { value }] of Object.entries(Object.getOwnPropertyDescriptors(prototype)))
    if (typeof value === "function" && method !== "constructor")
      yield [`${name}.${method}`, (...words) => value.apply(of, [...(WORDS[method] ?? []), ...words])];
}

/** All that the library exports. */
function* calls(): Generator<[string, Call]> {
  for (const [name, value] of Object.entries(library)) {
    if (typeof value !== "function" || /^[A-Z]/.test(name)) continue;
    const before = name === "spawn" ? [] : (WORDS[name] ?? []);
    yield [name, (...words) => (value as Call)(...before, ...words)];
  }
  yield ["Sandbox.start", Sandbox.start as Call];
  const named = container("x", NOWHERE);
  yield* methodsOf("Container", Container.prototype, named);
  yield* methodsOf("Changes", Changes.prototype, changes("x", NOWHERE));
  yield* methodsOf("Sandbox", Sandbox.prototype, { container: named });
}

async function errorOf(call: () => unknown): Promise<unknown> {
  try {
    const given = await call();
    // what comes one by one does nothing before it is asked
    if (Object(given)[Symbol.asyncIterator])
      await (given as AsyncIterable<unknown>)[Symbol.asyncIterator]().next();
    return given;
  } catch (error) {
    return error;
  }
}

test("each call of the library refuses an option that it hasn't, and what is no object of options", async () => {
  const all = [...calls()].filter(([name]) => !WITHOUT_OPTIONS.has(name));
  expect(all.length).toBeGreaterThan(15);
  for (const [name, call] of all) {
    const odd = { noSuch: true };
    expect([name, String(await errorOf(() => call(odd)))]).toEqual([
      name,
      expect.stringMatching(/has no option "noSuch"$/),
    ]);
    for (const other of [null, "text", ["text"], Object.create(odd)])
      expect([name, await errorOf(() => call(other))]).toEqual([
        name,
        expect.objectContaining({ code: "usage" }),
      ]);
  }
});
