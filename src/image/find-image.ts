import { HakoError } from "../base/errors";
import { type Blob, blobBytes } from "./blob";
import { checkDigest, type Digest, parseDigest } from "./digest";
import {
  type DockerImage,
  type ImageConfig,
  type ImageDescriptor,
  parseDockerManifest,
  parseImageConfig,
  parseIndex,
  parseManifest,
} from "./documents";
import type { ImageStore } from "./store";
import { wrongArchive } from "./wrong";

/** Documents are small: a manifest of the largest images has some KiB. */
const LARGEST_DOCUMENT = 4 << 20;
const DEEPEST_INDEX = 8;
const REF_NAMES = ["org.opencontainers.image.ref.name", "io.containerd.image.name"];

export interface Layer {
  blob: Blob;
  /** Of the blob as it is stored; an archive of docker's does not say it. */
  stored: Digest | undefined;
  /** Of what it unpacks to. */
  content: Digest;
}

/** An image that was found, with nothing unpacked. */
export interface FoundImage {
  /** Of its configuration: docker's and podman's image id. */
  id: string;
  config: ImageConfig;
  layers: Layer[];
}

/** The image of a tag; undefined for a tar archive of something else. */
export function findImage(store: ImageStore, tag: string | undefined, what: string): FoundImage | undefined {
  const isLayout = store.find("oci-layout") !== undefined && store.find("index.json") !== undefined;
  const manifest = store.find("manifest.json");
  // docker's newer archives are both: theirs has the names as people write them
  if (manifest !== undefined) {
    const images = dockerImages(manifest, isLayout);
    if (images !== undefined) return dockerImage(store, images, tag, what);
  }
  return isLayout ? layoutImage(store, tag, what) : undefined;
}

/** undefined: any root file system may have a file of this name. */
function dockerImages(blob: Blob, isLayout: boolean): DockerImage[] | undefined {
  try {
    return parseDockerManifest(blobBytes(blob, LARGEST_DOCUMENT), blob.name);
  } catch (error) {
    if (error instanceof HakoError && error.code === "config" && !isLayout) return undefined;
    throw error;
  }
}

function several(what: string, names: readonly string[], example: string): HakoError {
  return HakoError.usage(`${what} has ${names.length} images: ${names.join(", ")}`, example);
}

function dockerImage(
  store: ImageStore,
  images: readonly DockerImage[],
  tag: string | undefined,
  what: string,
): FoundImage {
  const hint = `name one: docker-archive:FILE:TAG`;
  const named = (image: DockerImage) => image.RepoTags ?? [];
  const wanted = images.filter(
    (image) => tag === undefined || named(image).some((name) => isNamed(name, tag)),
  );
  const [image, ...more] = wanted;
  const names = images.flatMap((each) => (named(each).length > 0 ? named(each) : [each.Config]));
  if (image === undefined) throw noImage(what, tag, names);
  if (more.length > 0) throw several(what, names, hint);
  const blob = blobOf(store, image.Config);
  const bytes = blobBytes(blob, LARGEST_DOCUMENT);
  const [, hex] = /^(?:blobs\/sha256\/)?([0-9a-f]{64})(?:\.json)?$/.exec(image.Config) ?? [];
  if (hex === undefined) throw wrongArchive(`${image.Config} is not the name of an image's configuration`);
  checkDigest(bytes, { algorithm: "sha256", hex }, image.Config);
  const config = parseImageConfig(bytes, image.Config);
  const contents = contentsOf(config, image.Layers.length);
  const layers = image.Layers.map((name, at) => {
    const digest = /^blobs\/(sha256|sha512)\/([0-9a-f]+)$/.exec(name);
    const stored = digest === null ? undefined : parseDigest(`${digest[1]}:${digest[2]}`);
    return { blob: blobOf(store, name), stored, content: contents[at] ?? never(name) };
  });
  return { id: `sha256:${hex}`, config, layers };
}

/** "busybox" is "docker.io/library/busybox:latest". */
function isNamed(name: string, tag: string): boolean {
  const [, last = ""] = /([^/]*)$/.exec(tag) ?? [];
  const whole = last.includes(":") ? tag : `${tag}:latest`;
  return name === tag || name === whole || name.endsWith(`/${whole}`) || name.endsWith(`:${tag}`);
}

function noImage(what: string, tag: string | undefined, names: readonly string[]): HakoError {
  const message = tag === undefined ? `${what} has no image` : `${what} has no image ${JSON.stringify(tag)}`;
  const hint = names.length === 0 ? undefined : `it has ${names.join(", ")}`;
  return new HakoError({ code: "not-found", message, hint });
}

function layoutImage(store: ImageStore, tag: string | undefined, what: string): FoundImage {
  const index = blobOf(store, "index.json");
  const entries = parseIndex(blobBytes(index, LARGEST_DOCUMENT), "index.json");
  const { digest } = chosen(entries, tag, what);
  const manifestBytes = manifestOf(store, digest, what, 0);
  const manifest = parseManifest(manifestBytes.bytes, manifestBytes.digest);
  const bytes = checkedBytes(store, manifest.config);
  const config = parseImageConfig(bytes, manifest.config.digest);
  const contents = contentsOf(config, manifest.layers.length);
  const layers = manifest.layers.map((layer, at) => ({
    blob: blobOfDescriptor(store, layer),
    stored: parseDigest(layer.digest),
    content: contents[at] ?? never(layer.digest),
  }));
  return { id: manifest.config.digest, config, layers };
}

function chosen(entries: readonly ImageDescriptor[], tag: string | undefined, what: string): ImageDescriptor {
  const name = ({ annotations }: ImageDescriptor) => REF_NAMES.flatMap((key) => annotations?.[key] ?? []);
  const names = entries.flatMap((entry) => name(entry).slice(0, 1));
  const tagged = (wanted: string) => entries.filter((entry) => name(entry).some((each) => each === wanted));
  const wanted =
    tag !== undefined
      ? entries.filter((entry) => name(entry).some((each) => each === tag || isNamed(each, tag)))
      : entries.length === 1
        ? entries
        : tagged("latest").length > 0
          ? tagged("latest")
          : entries;
  if (wanted.length === 1 && wanted[0] !== undefined) return wanted[0];
  if (wanted.length === 0) throw noImage(what, tag, names);
  const here = wanted.filter(isForThisMachine);
  if (here.length === 1 && here[0] !== undefined) return here[0];
  throw several(what, names, "name one: oci:DIR:TAG");
}

const ARCHITECTURE = process.arch === "arm64" ? "arm64" : "amd64";

function isForThisMachine({ platform }: ImageDescriptor): boolean {
  return platform?.os === "linux" && platform.architecture === ARCHITECTURE;
}

/** The manifest that a digest leads to; of an index that of this machine. */
function manifestOf(
  store: ImageStore,
  digest: string,
  what: string,
  depth: number,
): { bytes: Uint8Array; digest: string } {
  const blob = blobOf(store, pathOf(digest));
  const bytes = blobBytes(blob, LARGEST_DOCUMENT);
  checkDigest(bytes, parseDigest(digest), blob.name);
  if (!/"manifests"\s*:/.test(new TextDecoder().decode(bytes))) return { bytes, digest };
  if (depth === DEEPEST_INDEX) throw wrongArchive(`${what}: indexes of indexes`);
  const entries = parseIndex(bytes, digest);
  const entry = entries.length === 1 ? entries[0] : entries.find(isForThisMachine);
  if (entry !== undefined) return manifestOf(store, entry.digest, what, depth + 1);
  const others = entries.map(({ platform }) => `${platform?.os}/${platform?.architecture}`);
  throw new HakoError({
    code: "not-found",
    message: `${what} has no image for linux/${ARCHITECTURE}`,
    hint: `it has ${others.join(", ")}`,
  });
}

function pathOf(digest: string): string {
  const { algorithm, hex } = parseDigest(digest);
  return `blobs/${algorithm}/${hex}`;
}

function blobOf(store: ImageStore, name: string): Blob {
  const blob = store.find(name);
  if (blob === undefined) throw wrongArchive(`${name} is missing`);
  return blob;
}

function blobOfDescriptor(store: ImageStore, { digest, size }: ImageDescriptor): Blob {
  const blob = blobOf(store, pathOf(digest));
  if (blob.size !== size) throw wrongArchive(`${blob.name} has ${blob.size} bytes, not ${size}`);
  return blob;
}

function checkedBytes(store: ImageStore, descriptor: ImageDescriptor): Uint8Array {
  const blob = blobOfDescriptor(store, descriptor);
  const bytes = blobBytes(blob, LARGEST_DOCUMENT);
  checkDigest(bytes, parseDigest(descriptor.digest), blob.name);
  return bytes;
}

function contentsOf({ rootfs, os, architecture }: ImageConfig, layers: number): Digest[] {
  if ((os ?? "linux") !== "linux") throw wrongArchive(`it is an image for ${os}`);
  if (![ARCHITECTURE, undefined, null, ""].includes(architecture))
    throw new HakoError({
      code: "unsupported",
      message: `it is an image for ${architecture}, not ${ARCHITECTURE}`,
    });
  if (rootfs.diff_ids.length !== layers)
    throw wrongArchive(`it has ${layers} layers, and its configuration ${rootfs.diff_ids.length}`);
  return rootfs.diff_ids.map(parseDigest);
}

function never(what: string): never {
  throw wrongArchive(`${what} is a layer too many`);
}
