import type { IdMapping } from "./config";

/** The maps of an id-mapped mount. */
export interface MountIdMaps {
  uidMappings: IdMapping[];
  gidMappings: IdMapping[];
}

type Field = keyof MountIdMaps;

const FIELDS: ReadonlyMap<string, Field> = new Map([
  ["uids", "uidMappings"],
  ["gids", "gidMappings"],
]);
/**
 * FROM-TO-SIZE: the first id on the file system, the first id that it becomes, and how many. With "@" TO is an id in the container's
 * user namespace.
 */
const RANGE = /^(@?)(\d{1,10})-(\d{1,10})-(\d{1,10})$/;

/** The form of the option, for messages. */
const ID_MAP_FORM = "uids=FROM-TO-SIZE[#...];gids=FROM-TO-SIZE[#...]";

/**
 * The maps that crun's mount option `idmap=uids=0-1-10#10-11-10;gids=0-100-10` names (crun(1), "IDMAP MOUNTS"). `container` has the
 * maps of the container's user namespace, for ranges with "@". Returns a message where the text is not of this form.
 */
export function idMapsOfOption(text: string, container: Partial<MountIdMaps>): MountIdMaps | string {
  const found = new Map<Field, IdMapping[]>();
  for (const part of text.split(";")) {
    const [name = "", ranges = ""] = part.split("=", 2);
    const field = FIELDS.get(name);
    if (field === undefined || found.has(field)) return `${JSON.stringify(part)}: expected ${ID_MAP_FORM}`;
    const mappings: IdMapping[] = [];
    for (const range of ranges.split("#")) {
      const mapping = rangeOf(range, container[field] ?? []);
      if (typeof mapping === "string") return mapping;
      mappings.push(mapping);
    }
    found.set(field, mappings);
  }
  const [uidMappings, gidMappings] = [found.get("uidMappings"), found.get("gidMappings")];
  if (uidMappings === undefined || gidMappings === undefined) return `both are needed: ${ID_MAP_FORM}`;
  return { uidMappings, gidMappings };
}

function rangeOf(range: string, container: readonly IdMapping[]): IdMapping | string {
  const [, relative, ...numbers] = RANGE.exec(range) ?? [];
  const [containerID = 0, to = 0, size = 0] = numbers.map(Number);
  if (relative === undefined || size === 0) return `${JSON.stringify(range)}: expected FROM-TO-SIZE`;
  if (relative === "") return { containerID, hostID: to, size };
  const around = container.find((each) => to >= each.containerID && to < each.containerID + each.size);
  if (around === undefined)
    return `${JSON.stringify(range)}: ${to} is not mapped in the container's user namespace`;
  if (to + size > around.containerID + around.size)
    return `${JSON.stringify(range)}: goes on where another range of the container's user namespace begins, or none`;
  return { containerID, hostID: around.hostID + to - around.containerID, size };
}
