import { during, HakoError } from "../../base/errors";
import type { Variant } from "../../dbus/types";
import { UNIT_PROPERTY_PREFIX } from "../../oci/annotations";
import { pointer } from "../../oci/json";
import type { Property } from "./manager";
import { parseVariant } from "./variant-text";
import { uint64Variant } from "./variants";

const SECOND_US = 1_000_000;

/** Properties of the unit that annotations ask for. */
export function annotatedProperties(annotations: Readonly<Record<string, string>>): Property[] {
  return Object.entries(annotations)
    .filter(([key]) => key.startsWith(UNIT_PROPERTY_PREFIX))
    .map(([key, value]) =>
      during(`config ${pointer(["annotations", key])}`, () =>
        property(key.slice(UNIT_PROPERTY_PREFIX.length), parseVariant(value)),
      ),
    );
}

function property(name: string, value: Variant): Property {
  if (!/^[A-Za-z]{3,}$/.test(name)) {
    throw new HakoError({
      code: "config",
      message: `${JSON.stringify(name)} is not the name of a property: three letters or more`,
    });
  }
  // unit files say TimeoutStopSec, the interface says TimeoutStopUSec
  return /[a-z]Sec$/.test(name) ? [name.replace(/Sec$/, "USec"), microseconds(value)] : [name, value];
}

function microseconds({ signature, value }: Variant): Variant {
  const isNumber = typeof value === "number" || typeof value === "bigint";
  if (!isNumber || value < 0) {
    throw new HakoError({ code: "config", message: `type ${signature} is not a number of seconds` });
  }
  const count = typeof value === "bigint" ? value * BigInt(SECOND_US) : BigInt(Math.round(value * SECOND_US));
  if (count >= 2n ** 64n) throw new HakoError({ code: "config", message: `${value} seconds are too many` });
  return uint64Variant(count);
}
