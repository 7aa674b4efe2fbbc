import { expect, test } from "bun:test";
import { ServingLoop } from "../../src/network/serving-loop";

test("what is left to do in turns of its own is done before the end, however many they are", async () => {
  using serving = new ServingLoop();
  let done = 0;
  const take = () => {
    done++;
    if (done < 20) serving.changes.later(take);
  };
  serving.changes.later(take);
  expect(await serving.until(Promise.resolve("over"), () => false)).toBe("over");
  expect(done).toBe(20);
});
