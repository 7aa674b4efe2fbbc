import * as v from "valibot";

/** The words that schemas of OCI documents are made of. What Go's decoder accepts is accepted: null is nothing. */

export const text = v.pipe(
  v.string(),
  v.check((value) => !value.includes("\0"), "a NUL byte is not allowed"),
);

const whole = v.check(
  (value: number | bigint) => typeof value === "bigint" || Number.isInteger(value),
  "expected an integer",
);

/** A 64-bit integer; beyond 2^53 it is a big one. */
export const int64 = v.pipe(
  v.union([v.number(), v.bigint()], "expected an integer"),
  whole,
  v.check((value) => value >= -(2n ** 63n) && value < 2n ** 64n, "does not fit into 64 bits"),
);

function between(least: number, most: number) {
  return v.pipe(
    v.number("expected an integer"),
    v.integer("expected an integer"),
    v.check((value) => value >= least && value <= most, `expected a number from ${least} to ${most}`),
  );
}

/** An id of a user or group; the highest number means "none" to the kernel. */
export const id = between(0, 0xfffffffe);
export const uint32 = between(0, 0xffffffff);
export const int32 = between(-0x80000000, 0x7fffffff);
export { between };

export function optional<S extends v.GenericSchema>(schema: S) {
  return v.optional(
    v.pipe(
      v.nullable(schema),
      v.transform((value) => value ?? undefined),
    ),
  );
}

export function list<S extends v.GenericSchema>(schema: S) {
  return optional(v.array(schema));
}

export const flag = optional(v.boolean());
export const texts = list(text);
export const textMap = optional(v.record(v.string(), text));

/** One of a table's names. */
export function nameOf<T extends string>(table: Readonly<Record<T, unknown>>) {
  const names = Object.keys(table) as [T, ...T[]];
  return v.picklist(names, `expected one of ${names.join(", ")}`);
}
