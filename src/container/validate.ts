import { asHakoError } from "../errors";
import { containerId } from "./id";
import { MappingStore } from "./mapping";
import { hasDirectory } from "./record";

/** What keeps a new container from having this id. */
export function idProblems(root: string, text: string): string[] {
  try {
    const id = containerId(text);
    const inUse = `container id "${id}" is already in use, a unique id should be provided`;
    if (hasDirectory(root, id)) return [inUse];
    return new MappingStore(root).get(id) === undefined ? [] : [`${inUse} (see hako mapping get ${id})`];
  } catch (thrown) {
    return [asHakoError(thrown).oneLine];
  }
}
