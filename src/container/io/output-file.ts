import { F } from "../../linux/call/constants";
import { Fd, FdList } from "../../linux/call/fd";
import { syscallOn } from "../../linux/call/syscall";
import { openToAppend } from "../../linux/file/file";
import { errorsGoTo } from "../../output/standard-error";

const [OUTPUT, ERROR] = [1, 2];

/**
 * Has a file, which is made or written on at its end, as this process's standard output and error, for a container to inherit, while `action` makes
 * it. What hako itself has to say goes where it went before.
 */
export function withOutputTo<T>(path: string, action: () => T): T {
  using kept = new FdList();
  using file = openToAppend(path);
  const before = [OUTPUT, ERROR].map((number) => {
    const copy = new Fd(syscallOn("standard output", "fcntl", number, F.DUPFD_CLOEXEC, ERROR + 1));
    kept.add(copy);
    return { number, copy };
  });
  const lead = (from: Fd, to: number) => syscallOn(path, "dup3", from.number, to, 0);
  try {
    errorsGoTo(before[1]?.copy.number ?? ERROR);
    for (const { number } of before) lead(file, number);
    return action();
  } finally {
    for (const { number, copy } of before) lead(copy, number);
    errorsGoTo(ERROR);
  }
}
