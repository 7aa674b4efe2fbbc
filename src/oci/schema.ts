import * as v from "valibot";

/** The words that schemas of OCI documents are made of. What Go's decoder accepts is accepted: null is nothing. */

export const text = v.pipe(
  v.string(),
  v.check((value) => !value.includes("\0"), "a NUL byte is not allowed"),
);

/** An integer of a range; beyond 2^53 it is a big one (see `parseJson`). */
function integer(least: number | bigint, most: number | bigint) {
  return v.pipe(
    v.union([v.number(), v.bigint()], "expected an integer"),
    v.check((value) => typeof value === "bigint" || Number.isInteger(value), "expected an integer"),
    v.check((value) => value >= least && value <= most, `expected a number from ${least} to ${most}`),
  );
}

const MOST_SIGNED = 2n ** 63n - 1n;
export const int64 = integer(-(2n ** 63n), MOST_SIGNED);
export const uint64 = integer(0, 2n ** 64n - 1n);
/** A limit of memory; -1 is none. */
export const bytes = integer(-1, MOST_SIGNED);

function between(least: number, most: number) {
  return v.pipe(integer(least, most), v.transform(Number));
}

/** An id of a user or group; the highest number means "none" to the kernel. */
export const id = between(0, 0xfffffffe);
export const uint32 = between(0, 0xffffffff);
export const uint16 = between(0, 0xffff);
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

/** Lists are no objects, though valibot takes them for such. */
const noList = v.pipe(
  v.unknown(),
  v.check((value) => !Array.isArray(value), "expected an object"),
);

export function object<E extends v.ObjectEntries>(entries: E) {
  return v.pipe(noList, v.object(entries));
}

/** Values by names that the document chooses. */
export function map<S extends v.GenericSchema>(schema: S) {
  return v.pipe(noList, v.record(v.string(), schema));
}

export const flag = optional(v.boolean());
export const texts = list(text);
export const textMap = optional(map(text));

/** One of a table's names. */
export function nameOf<T extends string>(table: Readonly<Record<T, unknown>>) {
  const names = Object.keys(table) as [T, ...T[]];
  return v.picklist(names, `expected one of ${names.join(", ")}`);
}
