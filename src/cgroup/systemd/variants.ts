import type { Variant } from "../../dbus/types";

/** Values of properties, in the types that systemd's interface names. */
export const stringVariant = (value: string): Variant => ({ signature: "s", value });
export const booleanVariant = (value: boolean): Variant => ({ signature: "b", value });
export const uint64Variant = (value: bigint): Variant => ({ signature: "t", value });
export const bytesVariant = (value: Uint8Array): Variant => ({ signature: "ay", value });

/** "infinity", and for weights "not set". */
export const SYSTEMD_INFINITY = 2n ** 64n - 1n;
