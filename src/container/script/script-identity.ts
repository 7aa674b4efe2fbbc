import { HakoError } from "../../base/errors";
import type { User } from "../../oci/config";
import { userOf } from "../user";
import type { ScriptCapabilities } from "./chosen-capabilities";
import type { ImageSettings } from "./image-settings";
import type { OneId } from "./own-ids";
import { SCRIPT_CAPABILITIES, scriptCapabilities } from "./script-capabilities";
import type { ScriptRequest, ScriptValues } from "./script-values";

/** Loaded on first use. */
const rare = {
  get ownIds() {
    return require("./own-ids") as typeof import("./own-ids");
  },
};

/** Who the program is, and what it may. */
export interface ScriptIdentity {
  user: User;
  capabilities: ScriptCapabilities;
  /** Where the container has one id, which is its maker's. */
  one: OneId | undefined;
}

export function scriptIdentity(
  values: Pick<ScriptValues, "user" | "map-root" | "userns" | "cap-add" | "cap-drop">,
  { ids, image }: Pick<ScriptRequest, "ids" | "image">,
  settings: Pick<ImageSettings, "user">,
  { rootfs, rootless, keepsWrites }: { rootfs: string; rootless: boolean; keepsWrites: boolean },
): ScriptIdentity {
  const { user: asked, "map-root": mapRoot, userns, "cap-add": add, "cap-drop": drop } = values;
  if (mapRoot && !rootless) throw HakoError.usage("--map-root is for ordinary users", "root is 0 already");
  const named = asked ?? settings.user;
  const { maps, mapsOwners, keepsId, lacks } = ids ?? {};
  if (mapsOwners && keepsWrites) throw rare.ownIds.noKeptWrites(userns);
  const one =
    rootless && maps === undefined
      ? rare.ownIds.oneId({ user: named, asked: asked !== undefined, rootfs, mapRoot, keepsId, lacks })
      : undefined;
  const user = one?.user ?? userOf(rootfs, named, image === undefined);
  if (maps !== undefined) rare.ownIds.checkMapped(user, maps);
  const usual = one === undefined || user.uid === 0 ? SCRIPT_CAPABILITIES : [];
  return { user, one, capabilities: scriptCapabilities(add, drop, rootless, usual) };
}
