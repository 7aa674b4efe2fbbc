import type { Fd } from "../linux/call/fd";
import {
  getAttribute,
  listAttributes,
  removeAttribute,
  setAttribute,
} from "../linux/file/extended-attributes";
import { fileHandleOf } from "../linux/file/stat";
import type { ChangesRecord } from "./record";

/** Extended attributes of files in layers, and what they are on the host. */

const CAPABILITY = "security.capability";
/** Rights beside the mode (acl(5)). */
const ACCESS_LIST = "system.posix_acl_access";
const LISTS: readonly string[] = [ACCESS_LIST, "system.posix_acl_default"];

/** A layer's own notes begin so; what a program has written under such a name is in there with one level more (ovl_is_escaped_xattr). */
const OVERLAY = { user: "user.overlay.", trusted: "trusted.overlay." } as const;
const ESCAPED = "overlay.";

export type Attributes = ReadonlyMap<string, Uint8Array>;

/** What is taken over of a file on the host, or in a layer of these notes: a program's own attributes, access lists, capabilities. */
export function takenAttributes(file: Fd, notes: ChangesRecord["attributes"] | undefined): Attributes {
  const found = new Map<string, Uint8Array>();
  for (const name of listAttributes(file)) {
    const own = ownName(name, notes);
    const value = own === undefined ? undefined : getAttribute(file, name);
    if (own !== undefined && value !== undefined) found.set(own, value);
  }
  return found;
}

function ownName(name: string, notes: ChangesRecord["attributes"] | undefined): string | undefined {
  if (name === CAPABILITY || LISTS.includes(name)) return name;
  if (!name.startsWith("user.")) return undefined;
  if (notes !== "user" || !name.startsWith(OVERLAY.user)) return name;
  const rest = name.slice(OVERLAY.user.length);
  return rest.startsWith(ESCAPED) ? `${OVERLAY.user}${rest.slice(ESCAPED.length)}` : undefined;
}

export function hasAccessList(file: Fd): boolean {
  return listAttributes(file).includes(ACCESS_LIST);
}

export function hasCapabilities(attributes: Attributes): boolean {
  return attributes.has(CAPABILITY);
}

export function equalCapabilities(one: Attributes, other: Attributes): boolean {
  const value = one.get(CAPABILITY);
  return value === undefined ? !other.has(CAPABILITY) : equalBytes(value, other.get(CAPABILITY));
}

export function withoutCapabilities(attributes: Attributes): Attributes {
  return new Map([...attributes].filter(([name]) => name !== CAPABILITY));
}

export function equalAttributes(one: Attributes, other: Attributes): boolean {
  return one.size === other.size && [...one].every(([name, value]) => equalBytes(value, other.get(name)));
}

function equalBytes(one: Uint8Array, other: Uint8Array | undefined): boolean {
  return other !== undefined && one.length === other.length && one.every((byte, at) => byte === other[at]);
}

/** Gives a file these attributes, and no other ones of those that are taken over. A directory's default list may have given it some. */
export function replaceAttributes(file: Fd, wanted: Attributes): void {
  for (const name of takenAttributes(file, undefined).keys())
    if (!wanted.has(name)) removeAttribute(file, name);
  for (const [name, value] of wanted) setAttribute(file, name, value);
}

/** Whether a layer's directory hides all that is in the one below it. */
export function isOpaque(directory: Fd, notes: ChangesRecord["attributes"]): boolean {
  return getAttribute(directory, `${OVERLAY[notes]}opaque`)?.[0] === 0x79;
}

/** struct ovl_fb (fs/overlayfs/overlayfs.h): where the type of a file handle is, and where its bytes begin. */
const ORIGIN = { type: 4, bytes: 21 };

/** Which file of the host a layer's one began as a copy of, as `originText` has it (ovl_set_origin_fh); "" where that isn't known, undefined for a new one. */
export function originOf(file: Fd, notes: ChangesRecord["attributes"]): string | undefined {
  const value = getAttribute(file, `${OVERLAY[notes]}origin`);
  if (value === undefined) return undefined;
  return value.length <= ORIGIN.bytes
    ? ""
    : textOfHandle(value[ORIGIN.type] ?? 0, value.subarray(ORIGIN.bytes));
}

/** What the origin of a copy of a host's file would be. */
export function originText(file: Fd): string | undefined {
  const handle = fileHandleOf(file);
  return handle && textOfHandle(handle.type, handle.bytes);
}

function textOfHandle(type: number, bytes: Uint8Array): string {
  return `${type}:${bytes.toHex()}`;
}
