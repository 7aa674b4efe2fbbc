import { HakoError } from "../../base/errors";
import { usersMaps } from "../../drivers/namespaces/birth/users-maps";
import { effectiveUser, inUserNamespace } from "../../linux/process/rootless";
import type { IdMaps } from "../../linux/process/subordinate-ids";
import { logDebug } from "../../output/log";
import { ClaimedIds } from "../../state/claimed-ids";

/** What `--userns` makes of a container's ids. */
export interface ScriptIds {
  /** Of a user namespace with more ids than one. */
  maps: IdMaps | undefined;
  /** The maps are a range of root's, and files that are shown in the container keep their owners: mounts map them. */
  mapsOwners: boolean;
  /** The one id is the caller's own. */
  keepsId: boolean;
  /** Why there are no maps, where they were looked for. */
  lacks: string | undefined;
}

export interface IdWishes {
  /** The word of --userns: host, auto or keep-id. */
  userns: string | undefined;
  mapRoot: boolean;
  isImage: boolean;
}

const NOTHING = { maps: undefined, mapsOwners: false, keepsId: false, lacks: undefined };

/** Disposed of when the container is there, whose processes have the ids then. */
export function scriptIds(wishes: IdWishes): ScriptIds & Disposable {
  if (effectiveUser() === 0) return idsOfRoot(wishes.userns);
  return { ...idsOfUser(wishes), [Symbol.dispose]() {} };
}

function idsOfRoot(userns: string | undefined): ScriptIds & Disposable {
  if (userns === "keep-id")
    throw HakoError.usage("--userns keep-id is for ordinary users", "root is 0 already");
  if (userns !== "auto") return { ...NOTHING, [Symbol.dispose]() {} };
  if (inUserNamespace()) {
    throw new HakoError({
      code: "unsupported",
      message: "--userns auto: this root is one of a user namespace, and has no ranges of ids to give",
      hint: "leave it out: the container is in that user namespace",
    });
  }
  const range = ClaimedIds.claim();
  return { ...NOTHING, maps: range.maps, mapsOwners: true, [Symbol.dispose]: () => range[Symbol.dispose]() };
}

function idsOfUser({ userns, mapRoot, isImage }: IdWishes): ScriptIds {
  if (userns === "host") {
    throw new HakoError({
      code: "unsupported",
      message: "--userns host: an ordinary user has the rights to mount in a user namespace alone",
      hint: "keep-id has your own id in it, auto subordinate ones too",
    });
  }
  if (userns !== undefined && mapRoot)
    throw HakoError.usage(`--map-root and --userns ${userns} contradict each other`);
  if (userns === "keep-id") return { ...NOTHING, keepsId: true };
  if (mapRoot || (userns === undefined && !isImage)) return NOTHING;
  const found = usersMaps();
  if (!("lacks" in found)) return { ...NOTHING, maps: found };
  if (userns === "auto") {
    throw new HakoError({
      code: "unsupported",
      message: `--userns auto: ${found.lacks}`,
      hint: "keep-id needs no more ids than your own",
    });
  }
  logDebug(`all files of the image belong to one user: ${found.lacks}`);
  return { ...NOTHING, lacks: found.lacks };
}
