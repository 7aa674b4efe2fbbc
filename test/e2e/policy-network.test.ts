// What a policy says of the network, and what more a container is allowed while it runs.
import { afterAll, beforeAll, describe, expect } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { NEEDS_WORLD, OutsideWorld, SERVERS, SILENCE, say, sayByUdp } from "./outside-world";
import { NEEDS } from "./rootless-home";
import { e2e, execute, executeLater, needsProgram, TIME_FACTOR, until } from "./support";

/** Where requests are answered by what they were. */
const ECHO = 8080;
let world: OutsideWorld | undefined;
const needs = [...NEEDS, ...NEEDS_WORLD];
beforeAll(async () => {
  if (needs.some((why) => why !== undefined)) return;
  world = await OutsideWorld.make();
  const script = join(import.meta.dir, "fixtures/request-echo.ts");
  for (const address of [SERVERS.public, SERVERS.other]) await world.outside(script, address, `${ECHO}`);
});
afterAll(async () => await world?.[Symbol.asyncDispose]());

const made = () => {
  if (world === undefined) throw new Error("the outside world is missing");
  return world;
};

for (const who of ["root", "an ordinary user"] as const) {
  const hako = (...args: string[]) => (who === "root" ? made().hako(...args) : made().asUser(...args));

  describe(`a policy's network, ${who}`, () => {
    e2e(
      "rules of a file, with those of flags; nothing else is reached, by whatever way",
      () => {
        const { dir } = made().home.box;
        const policy = join(dir, "policy.toml");
        writeFileSync(
          policy,
          'extends = "default"\nnetwork = ["allow:web.test", "allow:rebind.test", "allow:meta.test"]\n',
        );
        const lines = {
          "of the policy": say("web.test", 80),
          "of a flag": say("other.test", 5432),
          "another port": say("web.test", 5432),
          "a name of the same address": say("api.web.test", 80),
          "the address itself": say(SERVERS.public, 80),
          "the host's loopback by an allowed name": say("rebind.test", 80),
          metadata: say(SERVERS.metadata, 80),
          "metadata by an allowed name": say("meta.test", 80),
          "a name server outside": sayByUdp(SERVERS.public, 53, SILENCE),
          IPv6: say(`${SERVERS.v6}`, 80),
        };
        const line = Object.values(lines).join("; ");
        const flags = ["--policy", policy, "--network", "allow:other.test:5432", "-w", "/", "--quiet"];
        const { stdout, stderr } = hako("run", ...flags, "--", "bash", "-c", line);
        const answers = stdout.trim().split("\n");
        const reached = Object.keys(lines).filter(
          (_, index) => !["refused", "nothing"].includes(answers[index] ?? ""),
        );
        expect({ reached, stderr, count: answers.length }).toEqual({
          reached: ["of the policy", "of a flag"],
          stderr: "",
          count: Object.keys(lines).length,
        });
      },
      needs,
    );

    e2e(
      "policy allow: a container that runs reaches more",
      async () => {
        const { box } = made().home;
        const id = box.id();
        const line = `${say("web.test", 80)}; echo begun >&2; read go; ${say("other.test", 5432)}; ${say("web.test", 443)}`;
        const out = join(box.dir, `${id}.err`);
        const words = made().words(who === "root" ? "root" : "user");
        const run = `"$@" run --quiet --rootfs / -w / --network allow:web.test:80 --name ${id} -- bash -c '${line}' 2> ${out}`;
        const shell = `(until test -e ${box.dir}/${id}.go; do sleep 0.1; done; echo) | ${run}`;
        const running = executeLater("sh", ["-c", shell, "sh", ...words], undefined, made().env);
        await until("it has begun", () => Bun.spawnSync(["grep", "-q", "begun", out]).exitCode === 0, 60_000);
        const refused = hako("policy", "allow", id, "other.test:none");
        expect(refused).toMatchObject({ status: 2, stderr: expect.stringContaining("is not a port") });
        expect(hako("policy", "allow", id, "deny:web.test").status).toBe(2);
        expect(hako("policy", "allow", id)).toMatchObject({
          status: 2,
          stderr: expect.stringContaining("missing RULE"),
        });
        expect(hako("policy", "allow", id, "other.test:5432", "allow:web.test:443")).toMatchObject({
          status: 0,
          stderr: "",
        });
        writeFileSync(join(box.dir, `${id}.go`), "");
        const { stdout } = await running;
        expect(stdout.trim().split("\n")).toEqual([
          expect.not.stringMatching("refused"),
          expect.not.stringMatching("refused"),
          expect.not.stringMatching("refused"),
        ]);
        expect(hako("policy", "allow", id, "web.test")).toMatchObject({ status: 1 });
      },
      needs,
    );

    e2e("--inject-header: a secret that is used and never seen", () => {
      const env = { ...made().env, TOKEN: "t0p" };
      const [program = "", ...words] = made().words(who === "root" ? "root" : "user");
      const run = (flags: string[], line: string) =>
        execute(
          program,
          [...words, "run", "--quiet", "--rootfs", "/", "-w", "/", ...flags, "--", "sh", "-c", line],
          { env },
        );
      const url = `http://web.test:${ECHO}`;
      const flags = ["--network", `allow:web.test:${ECHO}`, "--network", `allow:other.test:${ECHO}`];
      const header = ["--inject-header", `Authorization:Bearer $${"{TOKEN}"}@web.test:${ECHO}`];
      const requests = `curl -sS ${url}/a ${url}/b -H "Authorization: mine"; curl -sS --data-binary @/etc/passwd ${url}/c`;
      const { stdout, stderr } = run(
        [...flags, ...header],
        `${requests}; curl -sS http://other.test:${ECHO}/d; env; cat /proc/*/environ /proc/*/cmdline 2>/dev/null | grep -ac 't0[p]'`,
      );
      expect(stderr).toBe("");
      const answers = stdout
        .replaceAll("}{", "}\n{")
        .split("\n")
        .filter((text) => text.startsWith("{"));
      const told = answers.map((text) => JSON.parse(text.replace(/}[^}]*$/, "}")));
      expect(told.map(({ pathname, headers }) => [pathname, headers.authorization])).toEqual([
        ["/a", "Bearer t0p"],
        ["/b", "Bearer t0p"],
        ["/c", "Bearer t0p"],
        // another one, of the same server
        ["/d", undefined],
      ]);
      expect(told[2].body).toContain("root:");
      expect(stdout.trimEnd()).toEndWith("\n0");
      const without = run(flags, requests);
      expect(without.stdout).not.toContain("t0p");
      expect(run(["--network", "allow:other.test", ...header], "true")).toMatchObject({
        status: 2,
        stderr: expect.not.stringContaining("t0p"),
      });
      expect(run(header, "true").status).toBe(2);
    }, [...needs, needsProgram("curl")]);

    e2e(
      "--inject-header: behind a request for a websocket only what the server says is one isn't looked at",
      () => {
        const [program = "", ...words] = made().words(who === "root" ? "root" : "user");
        const head = (path: string, more = "", host = "web.test") =>
          `GET ${path} HTTP/1.1\\r\\nHost: ${host}:${ECHO}\\r\\n${more}\\r\\n`;
        const asked =
          "Connection: Upgrade\\r\\nUpgrade: websocket\\r\\nSec-WebSocket-Version: 13\\r\\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\\r\\n";
        // a text of five letters, and a word to close, with masks of zeros (RFC 6455 5.2)
        const frames = "\\201\\205\\0\\0\\0\\0hello\\210\\200\\0\\0\\0\\0";
        const close = "Connection: close\\r\\n";
        // bash writes line by line, and is told where hako has cut the connection off meanwhile
        const exchange = (...texts: string[]) =>
          `(exec 3<>/dev/tcp/web.test/${ECHO}; ${texts.map((text) => `printf '${text}' >&3 2>/dev/null`).join("; sleep 0.5; ")}; timeout ${10 * TIME_FACTOR} cat <&3 2>/dev/null) | tr -cd '[:print:]'; echo`;
        const lines = [
          exchange(head("/socket", asked) + frames),
          exchange(head("/socket", asked), frames),
          exchange(head("/a", asked) + head("/b", close)),
          exchange(head("/a", asked), head("/b", close)),
          exchange(head("/a", asked) + head("/b", close, "other.test")),
          exchange(head("/a") + head("/socket", asked) + frames),
        ];
        const { stdout, stderr } = execute(
          program,
          [
            ...[
              ...words,
              "run",
              "--quiet",
              "--rootfs",
              "/",
              "-w",
              "/",
              "--network",
              `allow:web.test:${ECHO}`,
            ],
            ...["--inject-header", `Authorization:Bearer t0p@web.test:${ECHO}`, "--", "bash", "-c"],
            lines.join("\n"),
          ],
          { env: made().env },
        );
        const told = stdout.split("\n").map((line) => {
          const paths = [...line.matchAll(/"pathname":"(\S+?)"/g)].map(([, path]) => path);
          const words = [...line.matchAll(/for Bearer t0p|again hello/g)].map(([word]) => word);
          return [...paths, ...words, line.split('"Bearer t0p"').length - 1];
        });
        expect({ stderr, told }).toEqual({
          stderr: "",
          told: [
            ["for Bearer t0p", "again hello", 0],
            ["for Bearer t0p", "again hello", 0],
            ["/a", "/b", 2],
            ["/a", "/b", 2],
            // the first request may have been answered before
            expect.not.arrayContaining(["/b"]),
            expect.not.arrayContaining(["for Bearer t0p"]),
            [0],
          ],
        });
      },
      needs,
    );

    e2e(
      "policy allow: not by the program itself, where hako's state is in what it writes",
      () => {
        const { dir } = made().home.box;
        const state = `find ${dir} -name rules -o -name state.json 2> /dev/null`;
        const flags = ["--quiet", "--rootfs", "/", "-w", "/", "--write", dir, "--network", "allow:web.test"];
        const run = hako("run", ...flags, "--", "sh", "-c", `${state}; ls ${dir} | grep -c .`);
        expect(run).toMatchObject({ status: 0, stderr: "", stdout: expect.stringMatching(/^\d+\n$/) });
      },
      needs,
    );

    e2e(
      "policy allow: one without rules can't be given some",
      () => {
        const id = made().home.box.id();
        expect(
          hako("run", "--detach", "--rootfs", "/", "-w", "/", "--name", id, "--", "sleep", "60").status,
        ).toBe(0);
        const { status, stderr } = hako("policy", "allow", id, "web.test");
        hako("delete", "--force", id);
        expect(status).toBe(1);
        expect(stderr).toContain("it has no rules that more could be added to");
      },
      needs,
    );
  });
}
