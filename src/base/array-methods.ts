/**
 * JavaScriptCore implements some methods of arrays, and Object.fromEntries, in JavaScript, as source. A process parses and compiles such a method at its first
 * call, which takes some 60 us, a hundredth of a short command. The methods here are in the executable as bytecode. They do what ECMAScript
 * says (section 23.1.3), except for species: a subclass of Array gets plain arrays.
 *
 * As source it has, too, what resumes a generator, what spreads a Map or an iterator of one ([...map]), Map's forEach, and DisposableStack. What
 * short commands run has for...of, Array.from and UndoStack in their place; test/e2e/build.test.ts counts what is compiled.
 */

type Callback<T, R> = (value: T, index: number, array: readonly T[]) => R;

function bound<T, R>(callback: Callback<T, R>, self: unknown): Callback<T, R> {
  if (typeof callback !== "function") throw new TypeError(`${String(callback)} is not a function`);
  return self === undefined ? callback : (value, index, array) => callback.call(self, value, index, array);
}

const METHODS = {
  map<T, R>(this: readonly T[], callback: Callback<T, R>, self?: unknown): R[] {
    const call = typeof callback === "function" && self === undefined ? callback : bound(callback, self);
    const { length } = this;
    const result = new Array<R>(length);
    for (let index = 0; index < length; index++)
      if (index in this) result[index] = call(this[index] as T, index, this);
    return result;
  },

  filter<T>(this: readonly T[], callback: Callback<T, unknown>, self?: unknown): T[] {
    const call = typeof callback === "function" && self === undefined ? callback : bound(callback, self);
    const { length } = this;
    const result: T[] = [];
    for (let index = 0; index < length; index++) {
      if (!(index in this)) continue;
      const value = this[index] as T;
      if (call(value, index, this)) result.push(value);
    }
    return result;
  },

  some<T>(this: readonly T[], callback: Callback<T, unknown>, self?: unknown): boolean {
    const call = typeof callback === "function" && self === undefined ? callback : bound(callback, self);
    const { length } = this;
    for (let index = 0; index < length; index++)
      if (index in this && call(this[index] as T, index, this)) return true;
    return false;
  },

  every<T>(this: readonly T[], callback: Callback<T, unknown>, self?: unknown): boolean {
    const call = typeof callback === "function" && self === undefined ? callback : bound(callback, self);
    const { length } = this;
    for (let index = 0; index < length; index++)
      if (index in this && !call(this[index] as T, index, this)) return false;
    return true;
  },

  forEach<T>(this: readonly T[], callback: Callback<T, unknown>, self?: unknown): void {
    const call = typeof callback === "function" && self === undefined ? callback : bound(callback, self);
    const { length } = this;
    for (let index = 0; index < length; index++) if (index in this) call(this[index] as T, index, this);
  },

  find<T>(this: readonly T[], callback: Callback<T | undefined, unknown>, self?: unknown): T | undefined {
    const call = typeof callback === "function" && self === undefined ? callback : bound(callback, self);
    const { length } = this;
    for (let index = 0; index < length; index++) {
      const value = this[index];
      if (call(value, index, this)) return value;
    }
    return undefined;
  },

  findIndex<T>(this: readonly T[], callback: Callback<T | undefined, unknown>, self?: unknown): number {
    const call = typeof callback === "function" && self === undefined ? callback : bound(callback, self);
    const { length } = this;
    for (let index = 0; index < length; index++) if (call(this[index], index, this)) return index;
    return -1;
  },

  findLast<T>(this: readonly T[], callback: Callback<T | undefined, unknown>, self?: unknown): T | undefined {
    const call = typeof callback === "function" && self === undefined ? callback : bound(callback, self);
    for (let index = this.length - 1; index >= 0; index--) {
      const value = this[index];
      if (call(value, index, this)) return value;
    }
    return undefined;
  },

  findLastIndex<T>(this: readonly T[], callback: Callback<T | undefined, unknown>, self?: unknown): number {
    const call = typeof callback === "function" && self === undefined ? callback : bound(callback, self);
    for (let index = this.length - 1; index >= 0; index--) if (call(this[index], index, this)) return index;
    return -1;
  },

  flatMap<T, R>(this: readonly T[], callback: Callback<T, R | readonly R[]>, self?: unknown): R[] {
    const call = typeof callback === "function" && self === undefined ? callback : bound(callback, self);
    const { length } = this;
    const result: R[] = [];
    for (let index = 0; index < length; index++) {
      if (!(index in this)) continue;
      const part = call(this[index] as T, index, this);
      if (!Array.isArray(part)) result.push(part as R);
      else for (let at = 0; at < part.length; at++) if (at in part) result.push(part[at]);
    }
    return result;
  },

  reduce<T, R>(
    this: readonly T[],
    callback: (before: R, value: T, index: number, array: readonly T[]) => R,
    ...first: [R?]
  ): R {
    if (typeof callback !== "function") throw new TypeError(`${String(callback)} is not a function`);
    const { length } = this;
    let index = 0;
    let result: R | undefined;
    if (first.length > 0) result = first[0];
    else {
      while (index < length && !(index in this)) index++;
      if (index >= length) throw new TypeError("reduce of empty array with no initial value");
      result = this[index++] as unknown as R;
    }
    for (; index < length; index++)
      if (index in this) result = callback(result as R, this[index] as T, index, this);
    return result as R;
  },

  at<T>(this: readonly T[], place: number): T | undefined {
    const index = Math.trunc(place) || 0;
    return this[index < 0 ? this.length + index : index];
  },
};

/** Array.from: holes of the source become `undefined`. */
function from<T, R>(
  source: Iterable<T> | ArrayLike<T>,
  callback?: (value: T, index: number) => R,
  self?: unknown,
): R[] {
  const call = callback === undefined ? undefined : bound(callback as Callback<T, R>, self);
  const result: R[] = [];
  const add = (value: T): void => {
    result.push(call === undefined ? (value as unknown as R) : call(value, result.length, []));
  };
  if (Symbol.iterator in Object(source)) for (const value of source as Iterable<T>) add(value);
  else {
    const { length } = source as ArrayLike<T>;
    for (let index = 0; index < length; index++) add((source as ArrayLike<T>)[index] as T);
  }
  return result;
}

/** Object.fromEntries. */
function fromEntries<T>(entries: Iterable<readonly [PropertyKey, T]>): Record<PropertyKey, T> {
  const result: Record<PropertyKey, T> = {};
  // as data properties, whatever their names: __proto__ too
  for (const [key, value] of entries)
    Object.defineProperty(result, key, { value, configurable: true, enumerable: true, writable: true });
  return result;
}

for (const name of Object.keys(METHODS) as (keyof typeof METHODS)[])
  Object.defineProperty(Array.prototype, name, { value: METHODS[name], enumerable: false });
Object.defineProperty(Array, "from", { value: from, enumerable: false });
Object.defineProperty(Object, "fromEntries", { value: fromEntries, enumerable: false });

export {};
