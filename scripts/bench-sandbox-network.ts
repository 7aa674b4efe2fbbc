// Requests through a sandbox's network filter to a server of the host: one after the other, many at once, and a long answer; each on a
// connection of its own. A part of scripts/bench-sandboxes; as a program it is the client, which runs in the sandbox.
import { networkInterfaces } from "node:os";
import type { Values } from "./bench-measure";
import type { Sandbox } from "./bench-sandboxes";

const IN_TURN_MS = 2000;
const TOGETHER = 32;
const LONG_BYTES = 512 * 1024 * 1024;

/** What the client measures, and how a table shows it. */
export const RATES: readonly [string, string, number][] = [
  ["inTurn", "requests/s in turn", 0],
  ["atOnce", `requests/s, ${TOGETHER} at once`, 0],
  ["megabytes", "MB/s", 0],
];

/** An address of the host that is not loopback's. */
export function addressOfHost(): string | undefined {
  return Object.values(networkInterfaces())
    .flatMap((all) => all ?? [])
    .find(({ family, internal }) => family === "IPv4" && !internal)?.address;
}

/** A server; `place` is its address and port. */
export function requestServer(hostname: string): Disposable & { place: string } {
  const long = new Uint8Array(LONG_BYTES);
  const server = Bun.serve({
    hostname,
    port: 0,
    fetch: ({ url }) => new Response(url.endsWith("/long") ? long : "short"),
  });
  return { place: `${hostname}:${server.port}`, [Symbol.dispose]: () => void server.stop(true) };
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

async function throughput(url: string): Promise<number> {
  const start = performance.now();
  const bytes = await request(url);
  return bytes / 1000 / (performance.now() - start);
}

async function client(place: string): Promise<void> {
  const url = `http://${place}/`;
  await request(url);
  const [inTurn, atOnce] = [await rate(url, 1), await rate(url, TOGETHER)];
  console.log(JSON.stringify({ inTurn, atOnce, megabytes: await throughput(`${url}long`) }));
}

if (import.meta.main) await client(process.argv[2] ?? "");
