import { readFileSync, realpathSync } from "node:fs";
import { resolve } from "node:path";
import { type Config, parseConfig } from "./config";
export function checkedConfig(path: string): { config: Config; bundle: string; rootfs: string } {
  const bundle = realpathSync(path);
  const file = `${bundle}/config.json`;
  const config = parseConfig(readFileSync(file, "utf8"), file);
  return { config, bundle, rootfs: resolve(bundle, config.root?.path ?? "") };
}
