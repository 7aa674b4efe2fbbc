declare const HAKO_VERSION: string | undefined;
declare const HAKO_COMMIT: string | undefined;

/** The newest runtime spec that hako knows. */
export const SPEC_VERSION = "1.3.0";
/** Set by build.ts; "development" when run from the sources. */
export const VERSION = typeof HAKO_VERSION === "undefined" ? "development" : HAKO_VERSION;
export const COMMIT = typeof HAKO_COMMIT === "undefined" ? "unknown" : HAKO_COMMIT;

/** The text of --version. go-runc and dockerd read it: the first line must begin with "runc version ". */
export function versionText(): string {
  return `runc version ${VERSION}-hako\ncommit: ${COMMIT}\nspec: ${SPEC_VERSION}\nbun: ${Bun.version}\n`;
}
