// Requests through a sandbox's network filter to a server of the host: one after the other, many at once, a long answer by fetch(), and one by
// read(2), each on a connection of its own. A part of scripts/bench-sandboxes; as a program it is the client, which runs in the sandbox.
import { networkInterfaces } from "node:os";
import { trySyscall } from "../src/linux/call/syscall";
import { Changes } from "../src/linux/file/epoll";
import { parseInetAddress } from "../src/linux/network/inet-address";
import { startConnection } from "../src/linux/network/inet-socket";
import type { Values } from "./bench-measure";
import type { Sandbox } from "./bench-sandboxes";

const IN_TURN_MS = 2000;
const TOGETHER = 32;
const SHORT_BYTES = 5;
const MEBIBYTE = 1024 * 1024;
/** fetch() keeps its answer, and takes as long for it as the way there. */
const FETCHED_BYTES = 512 * MEBIBYTE;
const READ_BYTES = 2048 * MEBIBYTE;
const EAGAIN = -11;

/** What the client measures, and how a table shows it. */
export const RATES: readonly [string, string, number][] = [
  ["inTurn", "requests/s in turn", 0],
  ["atOnce", `requests/s, ${TOGETHER} at once`, 0],
  ["fetched", "MB/s, fetch()", 0],
  ["read", "MB/s, read(2)", 0],
];

/** An address of the host that is not loopback's. */
export function addressOfHost(): string | undefined {
  return Object.values(networkInterfaces())
    .flatMap((all) => all ?? [])
    .find(({ family, internal }) => family === "IPv4" && !internal)?.address;
}

/** A server of HTTP that is no faster than its clients have to be: who asks for /N gets N bytes. `place` is its address and port. */
export function requestServer(hostname: string): Disposable & { place: string } {
  const bytes = new Uint8Array(MEBIBYTE);
  type Asking = Bun.Socket<{ left: number }>;
  const send = (socket: Asking) => {
    for (const { data } = socket; data.left > 0; ) {
      const most = Math.min(bytes.length, data.left);
      const sent = socket.write(bytes, 0, most);
      data.left -= Math.max(0, sent);
      if (sent < most) return;
    }
    socket.end();
  };
  const server = Bun.listen<{ left: number }>({
    hostname,
    port: 0,
    socket: {
      data: (socket, request) => {
        const asked = Number(/^GET \S*\/(\d+) /.exec(request.toString("latin1"))?.[1] ?? 0);
        const first = "x".repeat(Math.min(asked, SHORT_BYTES));
        socket.data = { left: asked - first.length };
        // a short answer is one segment
        socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${asked}\r\nConnection: close\r\n\r\n${first}`);
        send(socket);
      },
      drain: send,
      error: () => undefined,
    },
  });
  return { place: `${hostname}:${server.port}`, [Symbol.dispose]: () => server.stop(true) };
}

export async function measureRequests({ run }: Sandbox, place: string): Promise<Values> {
  const child = Bun.spawn(run([process.execPath, "run", import.meta.path, place], place), {
    stdio: ["ignore", "pipe", "pipe"],
  });
  const [stdout, stderr, status] = await Promise.all([
    child.stdout.text(),
    child.stderr.text(),
    child.exited,
  ]);
  if (status !== 0) throw new Error(`status ${status}: ${stderr.trim()}`);
  return JSON.parse(stdout);
}

async function request(url: string): Promise<number> {
  const answer = await fetch(url, { keepalive: false, headers: { connection: "close" } });
  if (!answer.ok) throw new Error(`${url}: status ${answer.status}`);
  return (await answer.arrayBuffer()).byteLength;
}

/** Requests a second, so many at once. */
async function rate(url: string, count: number): Promise<number> {
  const start = performance.now();
  let done = 0;
  const one = async () => {
    for (; performance.now() - start < IN_TURN_MS; done++) await request(url);
  };
  await Promise.all(Array.from({ length: count }, one));
  return (done * 1000) / (performance.now() - start);
}

/** Megabytes a second of what takes and returns so many bytes. */
async function throughput(bytes: number, receive: () => number | Promise<number>): Promise<number> {
  const start = performance.now();
  const received = await receive();
  if (received < bytes) throw new Error(`${received} bytes came of ${bytes}`);
  return received / 1000 / (performance.now() - start);
}

/** Reads an answer by a connection of its own, and keeps nothing; undefined where there is no way but a proxy's. */
function readAnswer(place: string, bytes: number): number | undefined {
  const [host = "", port] = place.split(":");
  const address = parseInetAddress(host);
  if (address === undefined) throw new Error(`${place}: no address`);
  using changes = new Changes();
  let socket: ReturnType<typeof startConnection>;
  try {
    socket = startConnection({ address, port: Number(port) });
  } catch {
    return undefined;
  }
  const asking = new TextEncoder().encode(`GET /${bytes} HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
  const buffer = new Uint8Array(MEBIBYTE);
  let [received, isAsked, isOver] = [0, false, false];
  changes.watch(socket, () => {
    if (!isAsked) isAsked = trySyscall("write", socket.number, asking, asking.length) > 0;
    for (;;) {
      const came = trySyscall("read", socket.number, buffer, buffer.length);
      if (came > 0) received += came;
      else {
        isOver = came !== EAGAIN;
        return;
      }
    }
  });
  while (!isOver) changes.wait(1000);
  changes.close(socket);
  return received > 0 ? received : undefined;
}

async function client(place: string): Promise<void> {
  const url = `http://${place}`;
  const short = `${url}/${SHORT_BYTES}`;
  await request(short);
  const [inTurn, atOnce] = [await rate(short, 1), await rate(short, TOGETHER)];
  const fetched = await throughput(FETCHED_BYTES, () => request(`${url}/${FETCHED_BYTES}`));
  const isReached = readAnswer(place, SHORT_BYTES) !== undefined;
  const read = isReached
    ? { read: await throughput(READ_BYTES, () => readAnswer(place, READ_BYTES) ?? 0) }
    : {};
  console.log(JSON.stringify({ inTurn, atOnce, fetched, ...read }));
}

if (import.meta.main) await client(process.argv[2] ?? "");
