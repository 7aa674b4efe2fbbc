import type { Integer } from "../../oci/json";

/** From this number on a limit is none: v1 shows the largest number of whole pages, which depends on the page size. */
export const UNLIMITED = 2 ** 62;

/** A limit as the counters have it; undefined where there is none, or nothing counts it here. */
export function countedLimit(value: Integer): number | undefined {
  return value === 0 || value >= UNLIMITED ? undefined : Number(value);
}
