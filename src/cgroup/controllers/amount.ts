import type { Integer } from "../../oci/json";

/** Whether a limit is given. 0 is not: clients in languages without optional numbers send it for what they leave out. */
export function isSet(value: Integer | undefined): value is Integer {
  return value !== undefined && BigInt(value) !== 0n;
}

/** Whether a limit restricts anything. A negative one means "no limit", which holds anyway where the controller is missing. */
export function isLimit(value: Integer | undefined): value is Integer {
  return isSet(value) && BigInt(value) > 0n;
}
