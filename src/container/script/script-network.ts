import { HakoError } from "../../base/errors";
import { exists } from "../../linux/file/file";
import { missingNamespaceHint, namespaceFile } from "../../linux/network/named-namespace";

/** The file of the network namespace that `--network NAME|PATH` says, which has to be there: `none` or `host` may have been meant. */
export function scriptNetwork(word: string): string {
  const quoted = JSON.stringify(word);
  if (word.includes("/") && !word.startsWith("/"))
    throw HakoError.usage(`--network: ${quoted} is neither none nor host nor a name nor an absolute path`);
  const path = namespaceFile(word);
  if (exists(path)) return path;
  const named = word.includes("/");
  throw new HakoError({
    code: named ? "config" : "usage",
    message: named
      ? `--network ${path}: no such file or directory`
      : `--network: ${quoted} is neither none nor host, and there is no ${path}`,
    hint: missingNamespaceHint(word, ["none", "host"]),
    path,
  });
}
