import { randomBytes } from "../../../linux/kernel/random";
import { type IdRange, idRangesOf } from "../../../linux/process/id-map";
import { effectiveUser } from "../../../linux/process/rootless";
import type { IdMaps } from "../../../linux/process/subordinate-ids";
import { usersMaps } from "../../namespaces/birth/users-maps";

/** Ids that nobody has: not of users, and not of what systemd gives to containers and services (systemd's UIDS-GIDS.md, "unused"). */
const UNUSED = { first: 0x70000000, size: 0x10000000 } as const;

/** Who a confined process is: the maps of its user namespace, and its ids in that. */
export interface ConfinedIds {
  maps: IdMaps;
  uid: number;
  gid: number;
}

/**
 * The user namespace of a confined process has all ids that this process may give, by their own numbers: so owners of files are what they are,
 * for every container of a machine, and a right over files is none over the host. The process's own id is one that nobody else has, where there is such a
 * one. `group` is the group that it needs.
 */
export function confinedIds(group: number | undefined): ConfinedIds {
  const maps = asTheyAre(effectiveUser() === 0 ? ownMaps() : ordinaryMaps());
  const uid = unusedId(maps.uidMappings);
  const free = unusedId(maps.gidMappings);
  return { maps, uid, gid: group !== undefined && holds(maps.gidMappings, group) ? group : free };
}

/** Of an ordinary user: its own id, and its subordinate ones where it has some. */
function ordinaryMaps(): IdMaps {
  const maps = usersMaps();
  if (!("lacks" in maps)) return maps;
  const own = (id: number): IdRange[] => [{ containerID: id, hostID: id, size: 1 }];
  return { uidMappings: own(effectiveUser()), gidMappings: own(process.getegid?.() ?? 0) };
}

/** Of root: those that there are in its user namespace. */
function ownMaps(): IdMaps {
  const ranges = (kind: "uid" | "gid") =>
    idRangesOf("self", kind).map(({ containerID, size }) => ({ containerID, hostID: containerID, size }));
  return { uidMappings: ranges("uid"), gidMappings: ranges("gid") };
}

function asTheyAre({ uidMappings, gidMappings }: IdMaps): IdMaps {
  const same = ({ hostID, size }: IdRange): IdRange => ({ containerID: hostID, hostID, size });
  return { uidMappings: uidMappings.map(same), gidMappings: gidMappings.map(same) };
}

function holds(ranges: readonly IdRange[], id: number): boolean {
  return ranges.some(({ hostID, size }) => id >= hostID && id < hostID + size);
}

/** One of those that nobody has, at random; else the last one of these. */
function unusedId(ranges: readonly IdRange[]): number {
  const [random = 0] = new Uint32Array(randomBytes(4).buffer);
  const unused = UNUSED.first + (random % UNUSED.size);
  const { hostID = 0, size = 1 } = ranges.at(-1) ?? {};
  return holds(ranges, unused) ? unused : hostID + size - 1;
}
