import type { Variant } from "../../dbus/types";

/** Values of properties, in the types that systemd's interface names. */
export const text = (value: string): Variant => ({ signature: "s", value });
export const flag = (value: boolean): Variant => ({ signature: "b", value });
export const uint64 = (value: bigint): Variant => ({ signature: "t", value });
export const bytes = (value: Uint8Array): Variant => ({ signature: "ay", value });

/** "infinity", and for weights "not set". */
export const UNLIMITED = 2n ** 64n - 1n;
