import { renameFile, tryReadText, writeText } from "../../linux/file/file";
import { checkWay } from "../../state/trusted-path";

const FILE = "probe.json";

interface Kept<T> {
  key: string;
  probe: T;
}

/** The last probe's result, in a file beside the guests, under the key of what it holds for. */
export class KeptProbe<T> {
  constructor(private readonly directory: string) {}

  find(key: string): T | undefined {
    checkWay("cache of guests", this.directory);
    const text = tryReadText(`${this.directory}/${FILE}`);
    if (text === undefined) return undefined;
    const kept = parsed<Kept<T>>(text);
    return kept?.key === key ? kept.probe : undefined;
  }

  keep(key: string, probe: T): void {
    const temporary = `${this.directory}/${FILE}.${process.pid}`;
    const kept: Kept<T> = { key, probe };
    writeText(temporary, `${JSON.stringify(kept)}\n`, 0o600);
    renameFile(temporary, `${this.directory}/${FILE}`);
  }
}

/** What only this user and root can have written; undefined if it is not whole, for the host has crashed. */
function parsed<T>(text: string): T | undefined {
  try {
    return JSON.parse(text) as T;
  } catch {
    return undefined;
  }
}
