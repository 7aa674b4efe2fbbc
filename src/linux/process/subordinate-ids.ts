import { tryReadText } from "../file/file";
import type { IdRange } from "./id-map";

/** A range of ids of the host. */
export interface HostRange {
  first: number;
  size: number;
}

/** A range that a file gives to somebody, by name or number. */
export interface OwnedRange extends HostRange {
  owner: string;
}

/** Maps of a user namespace. */
export interface IdMaps {
  uidMappings: IdRange[];
  gidMappings: IdRange[];
}

const FILES = { uid: "/etc/subuid", gid: "/etc/subgid" } as const;
/** (uid_t) -1 is no id. */
const MOST_IDS = 0xffffffff;

/** The rows of a file of subordinate ids (subuid(5)): whose a range is, by name or number; rows that are none are passed over. */
export function parseSubordinate(text: string): OwnedRange[] {
  return text.split("\n").flatMap((line) => {
    const [, owner = "", first, size] = /^([^:#\s][^:]*):(\d{1,10}):(\d{1,10})\s*$/.exec(line) ?? [];
    const range = { owner, first: Number(first), size: Number(size) };
    return first === undefined || range.size === 0 || range.first + range.size > MOST_IDS ? [] : [range];
  });
}

/** All ranges that this host's file names. */
export function subordinateRanges(kind: keyof typeof FILES): OwnedRange[] {
  return parseSubordinate(tryReadText(FILES[kind]) ?? "");
}

/** Maps in which `own` is 0, and the ranges are the ids from 1 on. */
export function mapsWithRoot(
  own: { uid: number; gid: number },
  uids: readonly HostRange[],
  gids: readonly HostRange[],
): IdMaps {
  return { uidMappings: inARow(own.uid, uids), gidMappings: inARow(own.gid, gids) };
}

function inARow(own: number, ranges: readonly HostRange[]): IdRange[] {
  const rows: IdRange[] = [{ containerID: 0, hostID: own, size: 1 }];
  let next = 1;
  for (const { first, size } of ranges) {
    rows.push({ containerID: next, hostID: first, size });
    next += size;
  }
  return rows;
}
