import { asHakoError, HakoError } from "../../base/errors";
import { UndoStack } from "../../base/undo";
import { readLayout } from "../../cgroup/hierarchy/layout";
import { parseReference } from "../../image/reference";
import { unpackReference } from "../../image/unpack-reference";
import {
  hasErrno,
  makeDirectories,
  makeNewDirectory,
  removeTree,
  renameFile,
  writeText,
} from "../../linux/file/file";
import { basename, dirname, join, resolve } from "../../linux/file/path-text";
import { effectiveUser, isRootless } from "../../linux/process/rootless";
import { STOP_SIGNAL } from "../../oci/annotations";
import type { Config } from "../../oci/config";
import { defaultConfig } from "../../oci/default";
import { logWarning } from "../../output/log";
import { userOf } from "../user";
import { imageSettings, type ScriptImage } from "./image-settings";

/**
 * `hako unpack`: a bundle with an image's files and a config.json that runs it. It is made beside its place, and renamed: a bundle that is there
 * is whole.
 */
export async function unpackBundle(image: string, directory: string): Promise<void> {
  const place = resolve(directory);
  const temporary = join(dirname(place), `.${basename(place)}.hako-unpacking`);
  try {
    makeDirectories(dirname(place));
    if (!makeNewDirectory(temporary, 0o700)) {
      throw new HakoError({
        code: "exists",
        message: `${temporary} exists`,
        hint: "another hako unpacks there; one that was killed has left it: remove it then",
      });
    }
    using undo = new UndoStack((error) => logWarning(error.oneLine));
    undo.defer(temporary, () => removeTree(temporary));
    const { config } = await unpackReference(parseReference(image), temporary, !isRootless());
    const text = JSON.stringify(
      bundleConfig({ text: image, rootfs: join(temporary, "rootfs"), config }),
      null,
      "\t",
    );
    writeText(join(temporary, "config.json"), `${text}\n`, 0o644);
    putInPlace(temporary, place);
    undo.commit();
  } catch (thrown) {
    const error = asHakoError(thrown);
    throw error.with({ message: `unpack ${image}: ${error.message}` });
  }
}

/** rename(2) takes the place of an empty directory. */
function putInPlace(temporary: string, place: string): void {
  try {
    renameFile(temporary, place);
  } catch (error) {
    if (!hasErrno(error, "ENOTEMPTY", "EEXIST", "ENOTDIR")) throw error;
    throw new HakoError({ code: "exists", message: `${place} is there already, and not an empty directory` });
  }
}

/** A config.json for an image: hako's own, with what the image says. */
function bundleConfig(image: ScriptImage): Config {
  const rootless = effectiveUser() !== 0;
  const base = defaultConfig({ rootless, cgroupNamespace: readLayout().version === "v2" });
  const { env, entrypoint, cmd, workdir, user, stopSignal } = imageSettings(image);
  const command = [...entrypoint, ...cmd];
  return {
    ...base,
    root: { path: "rootfs", readonly: false },
    process: {
      ...base.process,
      terminal: false,
      args: command.length > 0 ? command : ["sh"],
      env: [...(base.process?.env ?? []).filter((line) => !isSet(line, env)), ...env],
      user: userOf(image.rootfs, user),
      cwd: workdir ?? "/",
    },
    ...(stopSignal === undefined ? {} : { annotations: { [STOP_SIGNAL]: stopSignal } }),
  };
}

function isSet(line: string, lines: readonly string[]): boolean {
  const name = line.slice(0, line.indexOf("=") + 1);
  return lines.some((each) => each.startsWith(name));
}
