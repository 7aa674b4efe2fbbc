// A server of the Model Context Protocol in a sandbox, as the settings of its clients have it: {"command": "hako", "args": ["run", "--policy", "agent", "--", ...]}.
import { describe, expect } from "bun:test";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, existsSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { Box, e2e, execute, HAKO, needsHako, until } from "./support";
import { WHO, type Workplace } from "./workplace";

const SERVER = join(import.meta.dir, "fixtures/mcp-server.mjs");
const POLICY = ["run", "--policy", "agent", "--"];

interface Answer {
  result?: {
    content?: [{ text: string }];
    isError?: boolean;
    tools?: { name: string }[];
    serverInfo?: object;
  };
  error?: { code: number };
}

/** As much of a client as the protocol asks for. */
class Client implements AsyncDisposable {
  readonly server: ChildProcess;
  readonly lines: string[] = [];
  readonly #waiting = new Map<number, (answer: Answer) => void>();
  stderr = "";

  constructor(place: Workplace, server: string) {
    const [command = "", ...words] = [...place.words, ...POLICY, process.execPath, server];
    this.server = spawn(command, words, { env: place.env, cwd: place.project, stdio: "pipe" });
    const { stdout, stderr } = this.server;
    if (stdout === null || stderr === null) throw new Error("a server without streams");
    stderr.on("data", (chunk: Buffer) => {
      this.stderr += chunk.toString("utf8");
    });
    createInterface({ input: stdout }).on("line", (line) => {
      this.lines.push(line);
      const { id, ...answer } = JSON.parse(line);
      this.#waiting.get(id)?.(answer);
    });
  }

  send(message: object): void {
    this.server.stdin?.write(`${JSON.stringify({ jsonrpc: "2.0", ...message })}\n`);
  }

  async ask(method: string, params: object = {}): Promise<Answer> {
    const id = this.#waiting.size + 1;
    const answer = new Promise<Answer>((resolve) => this.#waiting.set(id, resolve));
    this.send({ id, method, params });
    return await answer;
  }

  async call(name: string, given: object): Promise<{ text: string | undefined; isError: boolean }> {
    const { result } = await this.ask("tools/call", { name, arguments: given });
    return { text: result?.content?.[0].text, isError: result?.isError === true };
  }

  /** How hako ends when nobody writes to the server any more. */
  async close(): Promise<number | null> {
    this.server.stdin?.end();
    if (this.server.exitCode === null) await once(this.server, "exit");
    return this.server.exitCode;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

/** The server, where the ordinary user may read it. */
function serverIn(place: Workplace): string {
  const file = join(place.home, "server.mjs");
  copyFileSync(SERVER, file);
  return file;
}

for (const [who, workplace, needs] of WHO)
  describe(`an MCP server by the policy agent, of ${who}`, () => {
    e2e(
      "speaks with its client as without a sandbox, and has the project alone",
      async () => {
        using place = workplace();
        const { project } = place;
        await using client = new Client(place, serverIn(place));
        const started = await client.ask("initialize", {
          ...{ protocolVersion: "2025-06-18", capabilities: {} },
          clientInfo: { name: "test", version: "1" },
        });
        expect(started.result?.serverInfo).toEqual({ name: "files", version: "1.0.0" });
        client.send({ method: "notifications/initialized" });
        const { result } = await client.ask("tools/list");
        expect(result?.tools?.map(({ name }) => name)).toEqual(["read", "write", "echo"]);
        expect((await client.ask("resources/list")).error?.code).toBe(-32601);
        expect(await client.call("read", { path: "src/deep/er/file" })).toEqual({
          text: "text\n",
          isError: false,
        });
        // no message is cut, joined or changed: longer than pipes are, and many at once
        const long = "é\u{1f980}\\n\u0000 ".repeat(150_000);
        expect((await client.call("echo", { text: long })).text === long).toBe(true);
        const many = Array.from({ length: 300 }, (_, index) => client.call("echo", { text: `${index}\n` }));
        expect((await Promise.all(many)).every(({ text }, index) => text === `${index}\n`)).toBe(true);
        // what the policy says
        expect((await client.call("write", { path: "made", text: "x" })).isError).toBe(false);
        expect(existsSync(join(project, "made"))).toBe(true);
        for (const path of [`${place.ssh}/id`, "/etc/shadow"])
          expect((await client.call("read", { path })).text ?? "").not.toMatch(/secret|root:/);
        expect(await client.call("read", { path: ".env" })).toEqual({ text: "", isError: false });
        for (const path of [".git/hooks/pre-commit", ".git/config"])
          expect([path, (await client.call("write", { path, text: "x" })).isError]).toEqual([path, true]);
        // it may seem to be written, to memory
        await client.call("write", { path: `${place.home}/outside`, text: "x" });
        expect(existsSync(`${place.home}/outside`)).toBe(false);
        expect(await client.close()).toBe(0);
        expect(client.lines.every((line) => line.startsWith('{"jsonrpc":"2.0","id":'))).toBe(true);
        expect(client.stderr).toStartWith("the server is there\n");
      },
      needs,
    );
  });

/** A client that only starts a server, by these words, and waits. */
const CALLER = `
const { spawn } = await import("node:child_process");
const server = spawn(process.argv[1], process.argv.slice(2), { stdio: ["pipe", "pipe", "inherit"] });
server.stdout.once("data", () => console.log("ready"));
server.stdin.write('{"jsonrpc": "2.0", "id": 1, "method": "tools/list"}\\n');`;

describe("an MCP server whose client is killed", () => {
  for (const [kind, flags, args] of [
    ["that reads to the end of its input", [], []],
    ["that never ends by itself, with --die-with-parent", ["--die-with-parent"], ["deaf"]],
  ] as const)
    e2e(`is gone: one ${kind}`, async () => {
      using box = new Box();
      execute("mkdir", [box.path("project")]);
      const words = [HAKO, "--root", box.root, "run", "--policy", "agent", ...flags, "--"];
      const client = spawn(process.execPath, ["-e", CALLER, ...words, process.execPath, SERVER, ...args], {
        ...{ cwd: box.path("project"), stdio: ["ignore", "pipe", "ignore"] },
      });
      await once(client.stdout as NonNullable<typeof client.stdout>, "data");
      expect(box.ok("list", "-q").stdout).not.toBe("");
      client.kill("SIGKILL");
      await until("no container is left", () => box.ok("list", "-q").stdout === "");
    }, [needsHako]);
});
