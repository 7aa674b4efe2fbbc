import * as v from "valibot";
import { asHakoError } from "../base/errors";
import { textOf } from "../linux/call/bytes";
import { parseDocument } from "../oci/json";
import { isText } from "../oci/schema";
import { wrongArchive } from "./wrong";

/** Documents of the image spec (image-layout.md, manifest.md, image-index.md, config.md), and of docker's archives. What isn't used isn't looked at. */

const text = v.custom<string>(isText, "expected a text");
const texts = v.array(text);
const annotations = v.nullish(v.record(text, text));

const descriptor = v.object({
  mediaType: v.nullish(text),
  digest: text,
  size: v.pipe(v.number(), v.safeInteger(), v.minValue(0)),
  annotations,
  platform: v.nullish(v.object({ os: text, architecture: text, variant: v.nullish(text) })),
});
export type ImageDescriptor = v.InferOutput<typeof descriptor>;

const index = v.object({ manifests: v.array(descriptor) });
const manifest = v.object({ config: descriptor, layers: v.array(descriptor) });
const dockerManifest = v.array(v.object({ Config: text, RepoTags: v.nullish(texts), Layers: texts }));
export type DockerImage = v.InferOutput<typeof dockerManifest>[number];

const imageConfig = v.object({
  os: v.nullish(text),
  architecture: v.nullish(text),
  config: v.nullish(
    v.object({
      Env: v.nullish(texts),
      Entrypoint: v.nullish(texts),
      Cmd: v.nullish(texts),
      WorkingDir: v.nullish(text),
      User: v.nullish(text),
      StopSignal: v.nullish(text),
      Volumes: v.nullish(v.record(text, v.unknown())),
    }),
  ),
  rootfs: v.object({ diff_ids: texts }),
});
export type ImageConfig = v.InferOutput<typeof imageConfig>;

function parsed<T>(schema: v.GenericSchema<unknown, T>, bytes: Uint8Array, what: string): T {
  let document: unknown;
  try {
    document = parseDocument(textOf(bytes), what);
  } catch (error) {
    throw asHakoError(error).with({ code: "config" });
  }
  const result = v.safeParse(schema, document);
  if (result.success) return result.output;
  const [issue] = result.issues;
  throw wrongArchive(`${what}: ${v.getDotPath(issue) ?? "the document"}: ${issue.message}`);
}

export function parseIndex(bytes: Uint8Array, what: string): ImageDescriptor[] {
  return parsed(index, bytes, what).manifests;
}

export function parseManifest(bytes: Uint8Array, what: string): v.InferOutput<typeof manifest> {
  return parsed(manifest, bytes, what);
}

export function parseImageConfig(bytes: Uint8Array, what: string): ImageConfig {
  return parsed(imageConfig, bytes, what);
}

export function parseDockerManifest(bytes: Uint8Array, what: string): DockerImage[] {
  return parsed(dockerManifest, bytes, what);
}
