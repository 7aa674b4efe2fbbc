import { asHakoError, type HakoError } from "../base/errors";
import { MappingStore } from "../state/mapping";
import { type Container, readContainer } from "../state/record";

/** Does something with each other container of a container's sandbox. One that was deleted meanwhile is none. */
export function withOthers(
  { root, record }: Container,
  action: (other: Container) => void,
  failed: (error: HakoError) => void,
): void {
  for (const id of new MappingStore(root).othersOf(record)) {
    try {
      action(readContainer(root, id));
    } catch (thrown) {
      const error = asHakoError(thrown);
      if (error.code !== "not-found") failed(error);
    }
  }
}
