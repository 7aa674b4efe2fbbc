/**
 * A client of D-Bus (D-Bus Specification 0.43), as small as systemd's interface needs it. The libraries on npm (dbus-next and its
 * forks, dbus-native) live on the event loop, while hako's commands wait in system calls and must not lose control
 * between two steps of a container; and they load an XML parser and stream packages that nothing here needs.
 */

/** A value as its signature says: y n q i u are numbers, x t bigints, b booleans, s o g texts, ay bytes, d numbers. */
export type Value = number | bigint | boolean | string | Uint8Array | Variant | readonly Value[];

/** A value that brings its signature along. */
export interface Variant {
  signature: string;
  value: Value;
}

/** One complete type of a signature. */
export type Type =
  | { kind: "basic"; code: BasicCode }
  | { kind: "variant" }
  | { kind: "array"; element: Type }
  /** A dict entry is a struct of two, in braces. */
  | { kind: "struct"; fields: readonly Type[] };

/** Basic types with their size, which is their alignment too; texts are aligned as the length before them. */
export const BASIC_SIZES = {
  y: 1,
  n: 2,
  q: 2,
  i: 4,
  u: 4,
  b: 4,
  x: 8,
  t: 8,
  d: 8,
  s: 4,
  o: 4,
  g: 1,
} as const;
export type BasicCode = keyof typeof BASIC_SIZES;

export function isBasic(code: string): code is BasicCode {
  return Object.hasOwn(BASIC_SIZES, code);
}

/** A value of the type begins at a multiple of this many bytes from the start of its message. */
export function alignmentOf(type: Type): number {
  if (type.kind === "basic") return BASIC_SIZES[type.code];
  if (type.kind === "variant") return 1;
  return type.kind === "array" ? 4 : 8;
}
