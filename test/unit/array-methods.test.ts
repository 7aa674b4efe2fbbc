import { afterAll, describe, expect, test } from "bun:test";
import * as fc from "fast-check";

const NAMES = [
  "map",
  "filter",
  "some",
  "every",
  "forEach",
  "find",
  "findIndex",
  "findLast",
  "findLastIndex",
  "flatMap",
  "reduce",
  "at",
] as const;
type Method = (this: unknown, ...words: unknown[]) => unknown;
const prototype = Array.prototype as unknown as Record<string, Method>;
const before = new Map<string, Method | undefined>(NAMES.map((name) => [name, prototype[name]]));
const fromBefore = Array.from;
const entriesBefore = Object.fromEntries;
await import("../../src/base/array-methods");
const now = new Map<string, Method | undefined>([...NAMES].map((name) => [name, prototype[name]]));
const fromNow = Array.from;
const entriesNow = Object.fromEntries;
const restore = () => {
  for (const [name, method] of before)
    Object.defineProperty(Array.prototype, name, { value: method, enumerable: false });
  Array.from = fromBefore;
  Object.fromEntries = entriesBefore;
};
restore();
afterAll(restore);

/** What a method gives, and what its callback was given; or the kind of error. */
function seen(
  method: Method | undefined,
  array: unknown[],
  callback: Method | undefined,
  ...more: unknown[]
) {
  const calls: unknown[] = [];
  const told: Method | undefined =
    callback &&
    function (this: unknown, ...words) {
      calls.push([this, ...words]);
      return callback.call(this, ...words);
    };
  try {
    return { result: method?.call(array, ...(told ? [told] : []), ...more), calls };
  } catch (error) {
    return { error: (error as Error).constructor.name, calls };
  }
}

/** Arrays with holes too. */
const arrays = fc
  .array(fc.option(fc.oneof(fc.integer({ min: -2, max: 3 }), fc.string({ maxLength: 2 }))), { maxLength: 6 })
  .chain((values) =>
    fc.array(fc.nat(6), { maxLength: 3 }).map((holes) => {
      const array = [...values] as unknown[];
      for (const hole of holes) if (hole < array.length) delete array[hole];
      return array;
    }),
  );
const callbacks: Method[] = [
  (value) => value,
  (value) => [value, [value]],
  (_, index) => (index as number) % 2 === 0,
  () => false,
  (value, index) => (index === 1 ? [] : Object.assign([value], { length: 3 })),
  (before, value) => `${before}${value}`,
  () => {
    throw new RangeError("enough");
  },
];

describe("methods of arrays are ECMAScript's", () => {
  for (const name of NAMES) {
    if (name === "at") continue;
    test(name, () => {
      fc.assert(
        fc.property(
          arrays,
          fc.constantFrom(...callbacks),
          fc.constantFrom<unknown[]>([], [undefined], [{}], [7]),
          (array, callback, more) => {
            expect(seen(now.get(name), array, callback, ...more)).toEqual(
              seen(before.get(name), array, callback, ...more),
            );
          },
        ),
      );
      expect(seen(now.get(name), [1], undefined)).toEqual({ error: "TypeError", calls: [] });
      expect(now.get(name)?.name).toBe(name);
    });
  }

  test("elements that a callback adds or takes away", () => {
    for (const name of NAMES) {
      if (name === "at") continue;
      const change = (method: Method | undefined) => {
        const array: unknown[] = [1, 2, 3, 4];
        const { result, calls } = seen(method, array, (...words) => {
          if (words.includes(2)) array.pop();
          array.push(9);
          return false;
        });
        return { result, calls: calls.length, array };
      };
      expect([name, change(now.get(name))]).toEqual([name, change(before.get(name))]);
    }
  });

  test("at", () => {
    for (const place of [0, 1, 2, -1, -2, -3, 1.9, -1.9, Number.NaN, "1", undefined, Infinity, -Infinity])
      expect(now.get("at")?.call([5, 6], place)).toBe(before.get("at")?.call([5, 6], place) as number);
  });

  test("Object.fromEntries", () => {
    const symbol = Symbol("s");
    const entries = [
      ["a", 1],
      ["__proto__", 2],
      [symbol, 3],
      [7, 4],
      ["a", 5],
    ] as const;
    for (const source of [
      () => entries,
      () => new Map<PropertyKey, number>(entries),
      () => new Set(entries),
      () => [],
    ]) {
      const now = entriesNow(source());
      const before = entriesBefore(source());
      expect(Object.getOwnPropertyDescriptors(now)).toEqual(Object.getOwnPropertyDescriptors(before));
      expect(Reflect.ownKeys(now)).toEqual(Reflect.ownKeys(before));
      expect(Object.getPrototypeOf(now)).toBe(Object.prototype);
    }
    expect(() => entriesNow(null as never)).toThrow(TypeError);
    expect(() => entriesNow([undefined] as never)).toThrow(TypeError);
  });

  test("Array.from", () => {
    function* numbers() {
      yield* [3, 1];
    }
    const holed = () => {
      const array = [0, 1];
      delete array[0];
      return array;
    };
    expect(0 in fromNow(holed())).toBe(true);
    const sources: (() => Iterable<unknown> | ArrayLike<unknown>)[] = [
      holed,
      () => new Set([1, 2]),
      () => new Map([[1, 2]]),
      () => "añ😀",
      () => ({ length: 3 }),
      () => ({ length: 2, 0: "a", 1: "b" }),
      () => new Uint8Array([1, 2]),
      numbers,
    ];
    for (const source of sources) {
      expect(fromNow(source())).toEqual(fromBefore(source()));
      const pair = (value: unknown, index: number) => [value, index];
      expect(fromNow(source(), pair)).toEqual(fromBefore(source(), pair));
    }
    expect(() => fromNow(null as never)).toThrow(TypeError);
  });

  test("none is seen by those who list an array's properties", () => {
    const names: string[] = [];
    for (const name in [1]) names.push(name);
    expect(names).toEqual(["0"]);
  });
});
