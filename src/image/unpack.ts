import { during, HakoError } from "../base/errors";
import { O } from "../linux/call/constants";
import type { Fd } from "../linux/call/fd";
import { hasErrno, makeDirectory, removeFile, writeAllTo } from "../linux/file/file";
import { mkdirAllInRoot, openAt } from "../linux/file/path";
import { join } from "../linux/file/path-text";
import { fileStatusOf } from "../linux/file/stat";
import type { Blob } from "./blob";
import { isCompressed, readBlob } from "./blob";
import { DigestCheck } from "./digest";
import type { ImageConfig } from "./documents";
import { type FoundImage, findImage, type Layer } from "./find-image";
import { FreeSpace } from "./free-space";
import { LayerWriter } from "./layer";
import type { Progress } from "./progress";
import type { ImageReference } from "./reference";
import { ArchiveStore, type DirectoryStore } from "./store";
import { TarParser } from "./tar";
import { wrongArchive } from "./wrong";

/** How it is unpacked. */
export interface Unpacking {
  progress: Progress;
  /** Owners are as the archive has them; else all belongs to this user. */
  keepsOwners: boolean;
}

/** What was unpacked. */
export interface Unpacked {
  /** Of the image's configuration, or of a plain archive's bytes: "sha256:HEX". */
  id: string;
  /** undefined for a plain archive. */
  config: ImageConfig | undefined;
  /** Of its files, in bytes. */
  size: number;
}

/** The image of a layout, looked up. Its files stay open until the store is disposed of. */
export function imageOfLayout(store: DirectoryStore, { path, tag }: ImageReference): FoundImage {
  return during(`image ${path}`, () => {
    const image = findImage(store, tag, path);
    if (image === undefined)
      throw wrongArchive("it has no oci-layout and index.json", "oci:DIR is an OCI image layout");
    return image;
  });
}

/** Unpacks the image of a layout into `directory`/rootfs. */
export async function unpackLayout(image: FoundImage, directory: string, how: Unpacking): Promise<Unpacked> {
  return { id: image.id, config: image.config, size: await unpackImage(image, directory, how) };
}

/** Unpacks an archive into `directory`/rootfs, and uses `directory` for what it needs meanwhile. */
export async function unpackArchive(
  { path, tag, text }: ImageReference,
  directory: string,
  how: Unpacking,
): Promise<Unpacked> {
  const { progress } = how;
  using source = openArchive(path);
  const stored = { file: source, name: path, offset: 0, size: fileStatusOf(source).size };
  const spilled = join(directory, "archive.tar");
  // an archive of images is read in another order than its own
  using file = isCompressed(stored) ? await uncompressed(stored, spilled, directory, progress) : undefined;
  const archive = file === undefined ? stored : { ...stored, file, size: fileStatusOf(file).size };
  removeFile(spilled);
  progress.expect(archive.size);
  const store = await ArchiveStore.read(archive, (bytes) => progress.read(bytes));
  const image = findImage(store, tag, text);
  if (image !== undefined) {
    return { id: image.id, config: image.config, size: await unpackImage(image, directory, how) };
  }
  if (tag !== undefined) throw wrongArchive("it is an archive of files, not of images", "leave the tag out");
  return { ...(await unpackPlain(archive, directory, how)), config: undefined };
}

function openArchive(path: string): Fd {
  using place = openAt(undefined, path, O.PATH);
  if (fileStatusOf(place).type !== "file") throw HakoError.usage(`${path} is neither a directory nor a file`);
  return openAt(undefined, place.path, O.RDONLY | O.NONBLOCK);
}

async function uncompressed(archive: Blob, path: string, directory: string, progress: Progress): Promise<Fd> {
  const space = new FreeSpace(directory);
  const file = openAt(undefined, path, O.RDWR | O.CREAT | O.EXCL | O.NOFOLLOW, 0o600);
  try {
    progress.expect(archive.size);
    await readBlob(archive, (bytes) => progress.read(bytes), {
      stored() {},
      content(bytes) {
        space.take(bytes.length);
        writeAllTo(file.number, bytes, path);
      },
    });
    return file;
  } catch (error) {
    file.close();
    throw error;
  }
}

function openRoot(directory: string): Fd {
  const path = join(directory, "rootfs");
  makeDirectory(path, 0o755);
  return openAt(undefined, path, O.RDONLY | O.DIRECTORY | O.NOFOLLOW);
}

/** A plain archive's id is its digest. */
async function unpackPlain(
  archive: Blob,
  directory: string,
  { progress, keepsOwners }: Unpacking,
): Promise<Omit<Unpacked, "config">> {
  const space = new FreeSpace(directory);
  const hasher = new Bun.CryptoHasher("sha256");
  using root = openRoot(directory);
  using writer = new LayerWriter(root, { keepsOwners, whiteouts: undefined, space });
  const parser = new TarParser(writer);
  progress.expect(archive.size);
  await readBlob(archive, (bytes) => progress.read(bytes), {
    stored: (bytes) => hasher.update(bytes),
    content: (bytes) => parser.write(bytes),
  });
  parser.close();
  writer.close();
  return { id: `sha256:${hasher.digest("hex")}`, size: space.taken };
}

async function unpackImage(image: FoundImage, directory: string, how: Unpacking): Promise<number> {
  using root = openRoot(directory);
  const space = new FreeSpace(directory);
  how.progress.expect(image.layers.reduce((sum, { blob }) => sum + blob.size, 0));
  for (const [at, layer] of image.layers.entries()) {
    try {
      await unpackLayer(layer, at, root, space, how);
    } catch (error) {
      if (!(error instanceof HakoError)) throw error;
      throw error.with({ message: `layer ${at + 1} of ${image.layers.length}: ${error.message}` });
    }
  }
  for (const volume of Object.keys(image.config.config?.Volumes ?? {})) {
    try {
      mkdirAllInRoot(root, volume).close();
    } catch (error) {
      // a file is there: the image's program has to live with that
      if (!hasErrno(error, "ENOTDIR")) throw error;
    }
  }
  return space.taken;
}

async function unpackLayer(
  layer: Layer,
  at: number,
  root: Fd,
  space: FreeSpace,
  { progress, keepsOwners }: Unpacking,
): Promise<void> {
  const stored = layer.stored && new DigestCheck(layer.stored);
  const content = new DigestCheck(layer.content);
  const whiteouts = at === 0 ? "none below" : "below";
  using writer = new LayerWriter(root, { keepsOwners, whiteouts, space });
  const parser = new TarParser(writer);
  await readBlob(layer.blob, (bytes) => progress.read(bytes), {
    stored: (bytes) => stored?.update(bytes),
    content(bytes) {
      content.update(bytes);
      parser.write(bytes);
    },
  });
  stored?.close(layer.blob.name);
  content.close(`what ${layer.blob.name} unpacks to`);
  parser.close();
  writer.close();
}
