import { HakoError } from "../../base/errors";
import { userName } from "../../linux/file/passwd";
import { findHostProgram } from "../../linux/process/execute";
import { mappedId } from "../../linux/process/id-map";
import { effectiveUser } from "../../linux/process/rootless";
import { type IdMaps, subordinateRanges } from "../../linux/process/subordinate-ids";
import { KEEP_GROUPS_ANNOTATION } from "../../oci/annotations";
import type { Config, Mount, User } from "../../oci/config";
import { isBind } from "../../oci/mount-options";
import { userOf } from "../user";

export interface Ids {
  uid: number;
  gid: number;
}

/** The two ids that an ordinary user may map without help (user_namespaces(7)), and the groups that newgidmap(1) maps for the user. */
export interface OwnIds extends Ids {
  groups?: readonly number[];
}

/** Who a container's program is, and by which numbers its user namespace knows its maker's ids. */
export interface OneId {
  user: User;
  linux: Pick<NonNullable<Config["linux"]>, "uidMappings" | "gidMappings">;
  annotations: Record<string, string>;
}

/** What decides it: the caller's words, and whose files the program works with. */
export interface OneIdWishes {
  /** The text of --user, or an image's USER. */
  user: string | undefined;
  /** Whether --user said so. */
  asked: boolean;
  rootfs: string;
  mapRoot: boolean;
  /** --userns keep-id. */
  keepsId?: boolean | undefined;
  /** Why this user has no more ids, where it was asked. */
  lacks?: string | undefined;
}

/**
 * An ordinary user's container has one id, unless a config.json gives it more. With the host's files the program is who has called, as
 * outside; with a root file system of its own it is root, for whom that was made.
 */
export function oneId(
  { user, asked, rootfs, mapRoot, keepsId, lacks }: OneIdWishes,
  own: OwnIds = callersIds(),
): OneId {
  // as with podman, also in place of an image's USER
  const keeps = keepsId === true && !asked;
  const unnamed = rootfs === "/" && !mapRoot ? own : ROOT;
  const wanted = keeps ? own : user === undefined ? unnamed : withGroup(user, rootfs, own);
  if (mapRoot && wanted.uid !== 0)
    throw HakoError.usage(
      `--map-root and ${asked ? "--user" : "the image's user"} ${JSON.stringify(user)} contradict each other`,
      asked ? undefined : "--user 0 runs the program as root",
    );
  const isRoot = wanted.uid === 0 && wanted.gid === 0;
  if (!isRoot && (wanted.uid !== own.uid || wanted.gid !== own.gid)) throw otherUser(user, asked, own, lacks);
  return {
    user: { uid: wanted.uid, gid: wanted.gid },
    linux: {
      uidMappings: [{ containerID: wanted.uid, hostID: own.uid, size: 1 }],
      gidMappings: [
        { containerID: wanted.gid, hostID: own.gid, size: 1 },
        ...(isRoot
          ? []
          : (own.groups ?? mappableGroups(own)).map((id) => ({ containerID: id, hostID: id, size: 1 }))),
      ],
    },
    // as outside: they open what these groups may open
    annotations: isRoot ? {} : { [KEEP_GROUPS_ANNOTATION]: "1" },
  };
}

/** The same for a machine, whose kernel does not know the caller's other groups: what they may open the program can't. */
export function withoutCallersGroups<Of extends { config: Config }>(of: Of): Of {
  const { [KEEP_GROUPS_ANNOTATION]: _, ...annotations } = of.config.annotations ?? {};
  return { ...of, config: { ...of.config, annotations } };
}

const ROOT: Ids = { uid: 0, gid: 0 };

/** Who has called. */
export function callersIds(): Ids {
  return { uid: effectiveUser(), gid: process.getegid?.() ?? 0 };
}

/** The caller's other groups, as far as /etc/subgid gives them to the user: these have their names in the container, and their files can be changed. */
function mappableGroups({ uid, gid }: Ids): number[] {
  const others = [...new Set(process.getgroups?.() ?? [])].filter((group) => group !== gid);
  if (others.length === 0) return [];
  const owners = [userName(uid), String(uid)];
  const ranges = subordinateRanges("gid").filter(({ owner }) => owners.includes(owner));
  const found = others.filter((group) =>
    ranges.some(({ first, size }) => group >= first && group < first + size),
  );
  return found.length === 0 || findHostProgram("newgidmap") === undefined ? [] : found;
}

/** A user that was named without a group has its own one, which newgrp(1) may have changed. */
function withGroup(text: string, rootfs: string, own: Ids): Ids {
  const { uid, gid } = userOf(rootfs, text);
  return uid === own.uid && !text.includes(":") ? own : { uid, gid };
}

function otherUser(
  name: string | undefined,
  asked: boolean,
  { uid, gid }: Ids,
  lacks: string | undefined,
): HakoError {
  const whose = asked ? "--user" : "the image's user";
  return new HakoError({
    code: "unsupported",
    message: `${whose} ${JSON.stringify(name)}: a container of an ordinary user has one id, which is that user`,
    hint: `--user 0, or --user ${uid}:${gid}, runs the program as that${lacks === undefined ? "" : `; there are others with subordinate ids: ${lacks}`}`,
  });
}

/** Refuses a user whom the maps of the container's user namespace have no id for. */
export function checkMapped({ uid, gid }: Ids, { uidMappings, gidMappings }: IdMaps): void {
  const isThere = mappedId(uidMappings, uid) !== undefined && mappedId(gidMappings, gid) !== undefined;
  if (isThere) return;
  const most = Math.min(
    ...[uidMappings, gidMappings].map((rows) => rows.reduce((sum, { size }) => sum + size, 0)),
  );
  throw new HakoError({
    code: "unsupported",
    message: `user ${uid}:${gid} is none of the ids that this container has`,
    hint: `it has 0 to ${most - 1}`,
  });
}

/** A bind mount whose files' owners are, in the container, who they are on the host. */
export function withMappedOwners(mount: Mount): Mount {
  if (!isBind(mount)) return mount;
  const { options = [] } = mount;
  return { ...mount, options: [...options, options.includes("rbind") ? "ridmap" : "idmap"] };
}

/** The kernel has other names for what an overlay notes in attributes, in a user namespace: next time, without one, what is gone would be there again. */
export function noKeptWrites(userns: string | undefined): HakoError {
  return HakoError.usage(
    `--userns ${userns} and --keep-writes contradict each other`,
    "-v binds a directory to write to",
  );
}
