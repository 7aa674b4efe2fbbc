import { userName } from "../../../linux/file/passwd";
import { findHostProgram } from "../../../linux/process/execute";
import { effectiveUser } from "../../../linux/process/rootless";
import { type IdMaps, mapsWithRoot, subordinateRanges } from "../../../linux/process/subordinate-ids";

/** The maps of an ordinary user who is root, with all of its subordinate ids as others; why there are none. */
export function usersMaps(): IdMaps | { lacks: string } {
  const uid = effectiveUser();
  const owners = [userName(uid), String(uid)];
  const rangesOf = (kind: "uid" | "gid") =>
    subordinateRanges(kind).filter(({ owner }) => owners.includes(owner));
  const [uids, gids] = [rangesOf("uid"), rangesOf("gid")];
  if (uids.length === 0 || gids.length === 0)
    return { lacks: `/etc/sub${uids.length === 0 ? "uid" : "gid"} has no ids for user ${owners[0]}` };
  const missing = ["newuidmap", "newgidmap"].find((name) => findHostProgram(name) === undefined);
  if (missing !== undefined) return { lacks: `${missing} is not installed` };
  return mapsWithRoot({ uid, gid: process.getegid?.() ?? 0 }, uids, gids);
}
