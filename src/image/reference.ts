import { HakoError } from "../base/errors";
import { resolve } from "../linux/file/path-text";
import { IMAGE_KIND } from "../oci/image-kind";

/** What names an image on the command line. */
export interface ImageReference {
  /** As it was given. */
  text: string;
  /** A tar archive of a root file system or of images, or a directory with an OCI image layout. */
  kind: "archive" | "layout";
  /** Absolute. */
  path: string;
  /** Which of several images; undefined: there is only one, or the one that is called latest. */
  tag: string | undefined;
}

const KINDS: Readonly<Record<string, ImageReference["kind"]>> = {
  oci: "layout",
  "oci-archive": "archive",
  "docker-archive": "archive",
};

/** The word before the path, as of skopeo and podman: "oci:DIR[:TAG]". A path without one is an archive's. */
export function parseReference(text: string): ImageReference {
  const [, kind, rest = ""] = IMAGE_KIND.exec(text) ?? [];
  if (kind === undefined) return { text, kind: "archive", path: resolve(text), tag: undefined };
  const colon = rest.indexOf(":");
  const path = colon < 0 ? rest : rest.slice(0, colon);
  const tag = colon < 0 ? undefined : rest.slice(colon + 1);
  if (path === "" || tag === "")
    throw HakoError.usage(`${JSON.stringify(text)} is not ${kind}:PATH[:TAG]`, "as oci:layout:latest");
  return { text, kind: KINDS[kind] ?? "archive", path: resolve(path), tag };
}
