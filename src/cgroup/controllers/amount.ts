import type { Integer } from "../../oci/json";

/** Whether a limit is asked for: clients whose type has no way to leave it out send 0. */
export function isSet(value: Integer | undefined): value is Integer {
  return value !== undefined && BigInt(value) !== 0n;
}

/** Whether it is one that restricts: a negative one is no limit, which is true already where there is no controller. */
export function isLimit(value: Integer | undefined): value is Integer {
  return isSet(value) && BigInt(value) > 0n;
}
