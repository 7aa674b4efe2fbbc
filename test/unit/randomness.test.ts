// Where random numbers come from. What a runtime keeps of them in its own memory is in the memory of a machine that was saved, and so the same in
// all machines that are restored from it: all of hako asks the kernel, for what the agent loads is most of it.
import { expect, test } from "bun:test";
import { randomBytes } from "../../src/linux/kernel/random";
import { readSources } from "./sources";

const OTHERS = /\bMath\.random\b|\bcrypto\.\w|\brandomUUID|\bgetRandomValues\b|\brandomBytes\b|\brandomInt\b/;

/** Its keys are made and used in one process on the host, which is never part of a machine that is saved. */
const OF_THE_HOST = "network/tls/authority.ts";

test("no file but one has a source of random numbers", () => {
  const others = readSources().filter(({ path, text, modules, imports }) => {
    const own = imports.includes("linux/kernel/random.ts") ? text.replaceAll(/\brandomBytes\b/g, "") : text;
    const isOther = modules.some((name) => /^(node:)?crypto$/.test(name)) && path !== OF_THE_HOST;
    return OTHERS.test(own) || isOther;
  });
  expect(others.map(({ path }) => path)).toEqual(["linux/kernel/random.ts"]);
  for (const text of ["Math.random()", "crypto.getRandomValues(x)", "globalThis.crypto.randomUUID()"])
    expect(text).toMatch(OTHERS);
});

test("the kernel's random bytes are so many, and others each time", () => {
  expect(randomBytes(64)).toHaveLength(64);
  expect(randomBytes(64)).not.toEqual(randomBytes(64));
});
