import { asHakoError, HakoError } from "../../base/errors";
import { userNamespaceWith } from "../../drivers/namespaces/birth/mapped-user-namespace";
import { writeIdMaps } from "../../drivers/namespaces/birth/namespaces";
import { usersMaps } from "../../drivers/namespaces/birth/users-maps";
import { ImageCache } from "../../image/cache";
import { inUserNamespace, maySetUpAlone } from "../../linux/process/rootless";
import type { IdMaps } from "../../linux/process/subordinate-ids";
import { logDebug, logWarning } from "../../output/log";
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
  if (maySetUpAlone()) return idsOfRoot(wishes.userns);
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
  const lacks = "lacks" in found ? found.lacks : undefined;
  if (lacks !== undefined && userns === "auto") {
    throw new HakoError({
      code: "unsupported",
      message: `--userns auto: ${lacks}`,
      hint: "keep-id needs no more ids than your own",
    });
  }
  if ("lacks" in found) {
    logDebug(`all files of the image belong to one user: ${found.lacks}`);
    return { ...NOTHING, lacks: found.lacks };
  }
  const refused = userns === undefined ? whyRefused(found) : undefined;
  if (refused === undefined) return { ...NOTHING, maps: found };
  logWarning(`all files of the image belong to you, in place of your subordinate ids: ${refused}`);
  return { ...NOTHING, lacks: refused };
}

/** Why the helpers can't write such maps, as where no program gets more rights than its caller. What they did once they can do again. */
function whyRefused(maps: IdMaps): string | undefined {
  if (new ImageCache(maps).isUsed) return undefined;
  try {
    userNamespaceWith((pid) => writeIdMaps(pid, "/linux", maps)).close();
    return undefined;
  } catch (thrown) {
    return asHakoError(thrown).oneLine;
  }
}
