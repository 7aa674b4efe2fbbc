// Images for tests, written byte by byte: the archives of docker, podman and the image spec, and what somebody hostile would write.
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { gzipSync } from "node:zlib";
import { Header } from "tar/header";

export interface Entry {
  name: string;
  type?: Header["type"];
  data?: string | Uint8Array;
  link?: string;
  mode?: number;
  uid?: number;
  gid?: number;
  mtime?: number;
  /** What its header says of its size. */
  size?: number;
  pax?: Record<string, string | Uint8Array>;
}

function padded(bytes: Uint8Array): Buffer {
  return Buffer.concat([bytes, Buffer.alloc((512 - (bytes.length % 512)) % 512)]);
}

function header(entry: Entry, size: number): Buffer {
  const { name, type = "File", link, mode = 0o644, uid = 0, gid = 0, mtime = 1_600_000_000 } = entry;
  const block = Buffer.alloc(512);
  const path = name.length > 90 ? "long" : name;
  new Header({
    path,
    type,
    linkpath: link ?? "",
    mode,
    uid,
    gid,
    size,
    mtime: new Date(mtime * 1000),
  }).encode(block);
  return block;
}

function paxRecord(key: string, value: string | Uint8Array): Buffer {
  const rest = Buffer.concat([Buffer.from(` ${key}=`), Buffer.from(value), Buffer.from("\n")]);
  let length = rest.length + 1;
  while (`${length}`.length + rest.length !== length) length++;
  return Buffer.concat([Buffer.from(`${length}`), rest]);
}

/** A tar archive, without the blocks at its end. */
export function tarParts(entries: readonly Entry[]): Buffer {
  const parts: Buffer[] = [];
  for (const entry of entries) {
    const data = Buffer.from(entry.data ?? "");
    const pax = { ...(entry.name.length > 90 ? { path: entry.name } : {}), ...entry.pax };
    const records = Object.entries(pax).map(([key, value]) => paxRecord(key, value));
    if (records.length > 0) {
      const all = Buffer.concat(records);
      parts.push(header({ name: "pax", type: "ExtendedHeader" }, all.length), padded(all));
    }
    parts.push(header(entry, entry.size ?? data.length), padded(data));
  }
  return Buffer.concat(parts);
}

export function tarOf(entries: readonly Entry[]): Buffer {
  return Buffer.concat([tarParts(entries), Buffer.alloc(1024)]);
}

export function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

const APPLETS = [
  "sh",
  "cat",
  "ls",
  "id",
  "pwd",
  "env",
  "touch",
  "stat",
  "sleep",
  "echo",
  "find",
  "mkdir",
  "rm",
  "readlink",
];

/** A root file system with busybox. */
export function busyboxEntries(): Entry[] {
  const busybox = Bun.which("busybox");
  if (busybox === null) throw new Error("busybox is not installed");
  return [
    { name: "bin/", type: "Directory", mode: 0o755 },
    { name: "bin/busybox", data: readFileSync(busybox), mode: 0o755 },
    ...APPLETS.map((name): Entry => ({ name: `bin/${name}`, type: "SymbolicLink", link: "busybox" })),
    { name: "etc/passwd", data: "root:x:0:0::/root:/bin/sh\napp:x:1000:1000::/home/app:/bin/sh\n" },
    { name: "etc/group", data: "root:x:0:\napp:x:1000:\n" },
  ];
}

export interface ImageParts {
  layers: Buffer[];
  config?: Record<string, unknown>;
}

function configOf({ layers, config = {} }: ImageParts): Buffer {
  const diffIds = layers.map((layer) => `sha256:${sha256(layer)}`);
  const architecture = process.arch === "arm64" ? "arm64" : "amd64";
  return Buffer.from(
    JSON.stringify({ os: "linux", architecture, config, rootfs: { type: "layers", diff_ids: diffIds } }),
  );
}

/** As `docker save` writes it. */
export function dockerArchive(image: ImageParts, tags = ["box:latest"]): Buffer {
  const config = configOf(image);
  const name = `${sha256(config)}.json`;
  const layers = image.layers.map((layer, index) => ({ name: `layer${index}/layer.tar`, data: layer }));
  const manifest = [{ Config: name, RepoTags: tags, Layers: layers.map((layer) => layer.name) }];
  return tarOf([
    { name, data: config },
    ...layers,
    { name: "manifest.json", data: JSON.stringify(manifest) },
  ]);
}

/** The files of an OCI image layout, with layers in gzip. */
export function layoutFiles(images: Readonly<Record<string, ImageParts>>): Record<string, Buffer> {
  const files: Record<string, Buffer> = { "oci-layout": Buffer.from('{"imageLayoutVersion":"1.0.0"}') };
  const add = (bytes: Buffer, mediaType: string) => {
    const hex = sha256(bytes);
    files[`blobs/sha256/${hex}`] = bytes;
    return {
      mediaType: `application/vnd.oci.image.${mediaType}`,
      digest: `sha256:${hex}`,
      size: bytes.length,
    };
  };
  const manifests = Object.entries(images).map(([tag, image]) => {
    const config = add(configOf(image), "config.v1+json");
    const layers = image.layers.map((layer) => add(gzipSync(layer), "layer.v1.tar+gzip"));
    const manifest = add(
      Buffer.from(JSON.stringify({ schemaVersion: 2, config, layers })),
      "manifest.v1+json",
    );
    return { ...manifest, annotations: { "org.opencontainers.image.ref.name": tag } };
  });
  files["index.json"] = Buffer.from(JSON.stringify({ schemaVersion: 2, manifests }));
  return files;
}

export function writeFiles(directory: string, files: Readonly<Record<string, Uint8Array>>): void {
  for (const [name, bytes] of Object.entries(files)) {
    mkdirSync(dirname(join(directory, name)), { recursive: true });
    writeFileSync(join(directory, name), bytes);
  }
}
