import { HakoError } from "../../../base/errors";
import { bytesOf, concatenated } from "../../../linux/call/bytes";
import { O } from "../../../linux/call/constants";
import type { Fd } from "../../../linux/call/fd";
import { syscallOn } from "../../../linux/call/syscall";
import { writeAllTo } from "../../../linux/file/file";
import { openAt } from "../../../linux/file/path";
import { fileStatusOf } from "../../../linux/file/stat";

/** A file of an image: its bytes, or the file of the host that has them. Directories on the way are made. */
export interface ImageFile {
  /** Absolute. */
  path: string;
  /** Permissions. */
  mode: number;
  content: Uint8Array | { file: string };
}

/** An image: files, and empty directories. */
export interface ImageTree {
  files: readonly ImageFile[];
  directories: readonly string[];
}

/** The on-disk format (fs/erofs/erofs_fs.h), as little of it as is needed: compact inodes, nothing compressed, nothing shared. */
const BLOCK = 4096;
const BLOCK_BITS = 12;
const SUPERBLOCK_AT = 1024;
const MAGIC = 0xe0f5e1e2;
const INODE = 32;
const DIRENT = 12;
/** Inodes begin in this block. */
const INODES_AT = 1;
/** The kernel takes a number of 0 for no inode. */
const ROOT_NUMBER = 1;
const FLAT_PLAIN = 0;
const S_IFREG = 0o100000;
const S_IFDIR = 0o040000;
const FILE_TYPE = { file: 1, directory: 2 } as const;
/** i_size of a compact inode has 32 bits. */
const LARGEST = 0xffffffff;
const COPIED_AT_ONCE = 1 << 30;

interface Node {
  number: number;
  parent: Node | undefined;
  mode: number;
  /** Of a directory. */
  children: Map<string, Node> | undefined;
  content: ImageFile["content"];
  size: number;
  links: number;
  block: number;
}

class Tree {
  readonly nodes: Node[] = [];
  readonly root = this.#add(undefined, S_IFDIR | 0o755, new Map());

  #add(parent: Node | undefined, mode: number, children: Node["children"], content?: ImageFile["content"]) {
    const node: Node = {
      number: ROOT_NUMBER + this.nodes.length,
      parent,
      mode,
      children,
      content: content ?? new Uint8Array(),
      size: 0,
      links: children === undefined ? 1 : 2,
      block: 0,
    };
    this.nodes.push(node);
    if (children !== undefined && parent !== undefined) parent.links++;
    return node;
  }

  directory(path: string): Node {
    let at = this.root;
    for (const name of path.split("/").filter((each) => each !== "")) {
      const next = at.children?.get(name) ?? this.#add(at, S_IFDIR | 0o755, new Map());
      at.children?.set(name, next);
      at = next;
    }
    return at;
  }

  file({ path, mode, content }: ImageFile): void {
    const slash = path.lastIndexOf("/");
    const parent = this.directory(path.slice(0, slash));
    parent.children?.set(path.slice(slash + 1), this.#add(parent, S_IFREG | mode, undefined, content));
  }
}

/** A directory's one block: entries in the order of their names' bytes, then the names. */
function directoryBytes(directory: Node, children: ReadonlyMap<string, Node>): Uint8Array {
  const entries = [["..", directory.parent ?? directory] as const, [".", directory] as const, ...children]
    .map(([name, node]) => ({ name: bytesOf(name), node }))
    .sort((one, other) => Buffer.compare(one.name, other.name));
  const head = new DataView(new ArrayBuffer(DIRENT * entries.length));
  let nameAt = head.byteLength;
  for (const [index, { name, node }] of entries.entries()) {
    const at = DIRENT * index;
    head.setBigUint64(at, BigInt(node.number), true);
    head.setUint16(at + 8, nameAt, true);
    head.setUint8(at + 10, node.children === undefined ? FILE_TYPE.file : FILE_TYPE.directory);
    nameAt += name.length;
  }
  if (nameAt > BLOCK) throw new Error("a directory of an image needs more than one block");
  return concatenated([new Uint8Array(head.buffer), ...entries.map(({ name }) => name)]);
}

function inodeBytes({ mode, links, size, block, number }: Node): Uint8Array {
  const view = new DataView(new ArrayBuffer(INODE));
  view.setUint16(0, FLAT_PLAIN << 1, true);
  view.setUint16(4, mode, true);
  view.setUint16(6, links, true);
  view.setUint32(8, size, true);
  view.setUint32(16, block, true);
  view.setUint32(20, number, true);
  return new Uint8Array(view.buffer);
}

function superblock(inodes: number, blocks: number): Uint8Array {
  const view = new DataView(new ArrayBuffer(BLOCK));
  const at = (offset: number) => SUPERBLOCK_AT + offset;
  view.setUint32(at(0), MAGIC, true);
  view.setUint8(at(12), BLOCK_BITS);
  view.setUint16(at(14), ROOT_NUMBER, true);
  view.setBigUint64(at(16), BigInt(inodes), true);
  view.setUint32(at(36), blocks, true);
  view.setUint32(at(40), INODES_AT, true);
  return new Uint8Array(view.buffer);
}

function blocksOf(size: number): number {
  return Math.ceil(size / BLOCK);
}

function writePadded(image: Fd, bytes: Uint8Array): void {
  const whole = new Uint8Array(BLOCK * blocksOf(bytes.length));
  whole.set(bytes);
  writeAllTo(image.number, whole, image.name ?? "");
}

/** Copies a file in the kernel; what it has no more, for somebody shortens it, is an error. */
function copyPadded(image: Fd, source: Fd, size: number): void {
  for (let done = 0; done < size; ) {
    const most = Math.min(COPIED_AT_ONCE, size - done);
    const copied = syscallOn(source.name, "sendfile", image.number, source.number, 0, most);
    if (copied === 0) throw new HakoError({ code: "system", message: `${source.name} was shortened` });
    done += copied;
  }
  const rest = BLOCK * blocksOf(size) - size;
  writeAllTo(image.number, new Uint8Array(rest), image.name ?? "");
}

/** Writes an image with a file system that is read only and uncompressed: mkfs.erofs need not be there. */
export function writeErofs(image: Fd, { files, directories }: ImageTree): void {
  const tree = new Tree();
  for (const file of files) tree.file(file);
  for (const path of directories) tree.directory(path);
  using open = new OpenFiles();
  let block = INODES_AT + blocksOf(INODE * (ROOT_NUMBER + tree.nodes.length));
  for (const node of tree.nodes) {
    // names are complete, and so are numbers
    if (node.children !== undefined) node.content = directoryBytes(node, node.children);
    node.size = "file" in node.content ? open.open(node, node.content.file) : node.content.length;
    if (node.size > LARGEST) throw new Error(`a file of an image has ${node.size} bytes`);
    node.block = block;
    block += blocksOf(node.size);
  }
  writePadded(image, superblock(tree.nodes.length, block));
  writePadded(image, concatenated([new Uint8Array(INODE * ROOT_NUMBER), ...tree.nodes.map(inodeBytes)]));
  for (const node of tree.nodes) {
    const file = open.of(node);
    if (file !== undefined) copyPadded(image, file, node.size);
    else writePadded(image, node.content as Uint8Array);
  }
}

/** Files of the host that go into an image. They stay open, so that each has the size that its inode says. */
class OpenFiles {
  readonly #files = new Map<Node, Fd>();

  /** The size of the file. */
  open(node: Node, path: string): number {
    const file = openAt(undefined, path, O.RDONLY);
    this.#files.set(node, file);
    return fileStatusOf(file).size;
  }

  of(node: Node): Fd | undefined {
    return this.#files.get(node);
  }

  [Symbol.dispose](): void {
    for (const file of this.#files.values()) file.close();
  }
}
