// --inject-header for HTTPS: a secret that is used and never seen, in connections that hako opens on their way, and in no others.
import { afterAll, beforeAll, describe, expect } from "bun:test";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { NetworkAttempt } from "../../src/network/attempts";
import { Authority } from "../../src/network/tls/authority";
import { NEEDS_WORLD, OutsideWorld, refusedLines, SERVERS } from "./outside-world";
import { NEEDS } from "./rootless-home";
import { e2e, execute, needsProgram, TIME_FACTOR } from "./support";

const PORT = 8443;
/** Where answers are cut off. */
const CUT_OFF = 8444;
/** Where nobody answers who has taken the connection. */
const SILENT = 8445;
/** Where a client's certificate is asked for, by TLS 1.3 and 1.2. */
const WANTS_CERTIFICATE = { "TLSv1.3": 8446, "TLSv1.2": 8447 } as const;
const TOKEN = "t0p-secret";
const WEB = `https://web.test:${PORT}`;
const HEADER = `Authorization:Bearer $${"{TOKEN}"}`;

let world: OutsideWorld | undefined;
const needs = [...NEEDS, ...NEEDS_WORLD, ...["curl", "openssl"].map(needsProgram)];

const made = () => {
  if (world === undefined) throw new Error("the outside world is missing");
  return world;
};
const inBox = (name: string) => join(made().home.box.dir, name);

beforeAll(async () => {
  if (needs.some((why) => why !== undefined)) return;
  world = await OutsideWorld.make();
  const authority = new Authority(["web.test", "six.test"]);
  writeFileSync(inBox("authority.pem"), authority.certificate);
  const script = join(import.meta.dir, "fixtures/https-echo.ts");
  // the last one shows another host's certificate
  for (const [address, host] of [
    [SERVERS.public, "web.test"],
    [SERVERS.v6, "six.test"],
    [SERVERS.other, "web.test"],
  ] as const) {
    const { certificate, key } = authority.credentialsOf(host);
    const [certificateFile, keyFile] = [inBox(`${host}.pem`), inBox(`${host}.key`)];
    writeFileSync(certificateFile, certificate);
    writeFileSync(keyFile, key);
    await made().outside(script, address, `${PORT}`, certificateFile, keyFile);
    if (address !== SERVERS.public) continue;
    await made().outside(join(import.meta.dir, "fixtures/silent-server.ts"), address, `${SILENT}`);
    for (const [version, at] of Object.entries(WANTS_CERTIFICATE))
      await made().outside(
        join(import.meta.dir, "fixtures/https-wants-certificate.ts"),
        ...[address, `${at}`, certificateFile, keyFile, version],
      );
    const cutOff = join(import.meta.dir, "fixtures/https-cut-off.ts");
    await made().outside(cutOff, address, `${CUT_OFF}`, certificateFile, keyFile);
  }
});
afterAll(async () => await world?.[Symbol.asyncDispose]());

/** What servers have answered with. */
function told(stdout: string): { pathname: string; headers: Record<string, string>; length: number }[] {
  const lines = stdout.replaceAll("}{", "}\n{").split("\n");
  return lines.filter((line) => line.startsWith("{")).map((line) => JSON.parse(line.replace(/}[^}]*$/, "}")));
}

/** How many seconds who is cut off has for an answer that must not come. */
const SILENCE = 2;
/** In an answer of a server. */
const ANSWER = '"pathname"';

/** A line that says texts to a host by TLS, a second apart, and shows what comes back; it waits for so many answers. `\r\n` are ends of lines. */
function sayByTls(
  texts: string | readonly string[],
  answers: number,
  { answer = ANSWER, server = "web.test", port = PORT, errors = "/dev/null" } = {},
): string {
  const printed = [texts].flat().map((text) => text.replaceAll("\r", "\\r").replaceAll("\n", "\\n"));
  const said = printed.map((text) => `printf '${text}'`).join("; sleep 1; ");
  const count = `grep -ao '${answer}' $answer | wc -l`;
  const until = `for turn in $(seq ${300 * TIME_FACTOR}); do [ "$(${count})" -lt ${answers} ] || break; sleep 0.1; done`;
  const client = `openssl s_client -quiet -no_ign_eof -verify_quiet -connect web.test:${port} -servername ${server}`;
  const waiting = answers === 0 ? `sleep ${SILENCE * TIME_FACTOR}` : until;
  return `{ answer=$(mktemp); { ${said}; ${waiting}; } | timeout ${60 * TIME_FACTOR} ${client} > $answer 2>${errors}; cat $answer; }`;
}

/** Lines of sh that are run at the same time, and what each has printed, in their order. */
function together(...lines: string[]): string {
  const begun = lines.map((line, index) => `(${line}) > /tmp/${index} &`);
  return `${begun.join("\n")}\nwait; cat ${lines.map((_, index) => `/tmp/${index}`).join(" ")}`;
}

for (const who of ["root", "user"] as const) {
  const run = (flags: readonly string[], line: string, more: Record<string, string> = {}) => {
    const [program = "", ...words] = made().words(who);
    const env = { ...made().env, TOKEN, SSL_CERT_FILE: inBox("authority.pem"), ...more };
    const usual = ["run", "--quiet", "--rootfs", "/", "-w", "/"];
    return execute(program, [...words, ...usual, ...flags, "--", "sh", "-c", line], { env });
  };
  const allowed = ["web.test", "api.web.test", "other.test", "six.test"].flatMap((host) => [
    "--network",
    `allow:${host}:${PORT}`,
  ]);
  const injected = ["web.test", "other.test", "six.test"].flatMap((host) => [
    "--inject-header",
    `${HEADER}@https://${host}:${PORT}`,
  ]);
  const flags = [...allowed, ...injected];

  describe(`--inject-header for HTTPS, ${who}`, () => {
    e2e(
      "is in each request, in place of the program's own, by IPv4 and IPv6",
      () => {
        const { stdout, stderr } = run(
          flags,
          `curl -sS ${WEB}/a ${WEB}/b -H "Authorization: mine"; head -c 3000000 /dev/zero | curl -sS --data-binary @- ${WEB}/c -o /tmp/answer
          echo; grep -o '"length":.*' /tmp/answer; curl -sS https://six.test:${PORT}/d; echo
          curl -sSZ --parallel-immediate --parallel-max 50 -o '/tmp/#1' -w '%{http_code} %{num_connects}\\n' '${WEB}/[1-50]' 2>/dev/null | sort | uniq -c`,
        );
        expect(stderr).toBe("");
        expect(told(stdout).map(({ pathname, headers }) => [pathname, headers.authorization])).toEqual([
          ["/a", `Bearer ${TOKEN}`],
          ["/b", `Bearer ${TOKEN}`],
          ["/d", `Bearer ${TOKEN}`],
        ]);
        expect(stdout).toContain('"length":3000000}');
        expect(stdout).toMatch(/ 50 200 1\n$/);
      },
      needs,
    );

    e2e(
      "programs in other languages trust it, also without variables where they look for files",
      () => {
        const clients: Record<string, string> = {
          node: `node -e 'fetch("${WEB}/node").then((r) => r.text()).then(console.log)'`,
          python3: `python3 -c 'import urllib.request as r; print(r.urlopen("${WEB}/python3").read().decode())'`,
          wget: `wget -qO- ${WEB}/wget; echo`,
        };
        const there = Object.keys(clients).filter((name) => Bun.which(name) !== null);
        for (const name of Object.keys(clients))
          if (!there.includes(name)) console.log(`skipped: ${name} is missing`);
        const lines = [
          ...there.map((name) => clients[name]),
          `env -u SSL_CERT_FILE -u CURL_CA_BUNDLE curl -sS ${WEB}/curl`,
        ];
        const { stdout, stderr } = run(flags, lines.join("\n"));
        expect(stderr).toBe("");
        expect(told(stdout).map(({ pathname, headers }) => [pathname, headers.authorization])).toEqual(
          [...there, "curl"].map((name) => [`/${name}`, `Bearer ${TOKEN}`]),
        );
      },
      needs,
    );

    e2e(
      "several at once, in chunks, after a word of the server's, and into another protocol",
      () => {
        const head = `Host: web.test:${PORT}\r\n`;
        const chunked = `POST /a HTTP/1.1\r\n${head}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n`;
        const socket = `GET /socket HTTP/1.1\r\n${head}Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n`;
        // a text of five letters, with a mask of zeros (RFC 6455 5.2)
        const frame = "\\201\\205\\0\\0\\0\\0hello";
        // asked for where the server knows of none
        const ignored = socket.replace("/socket", "/d");
        const { stdout } = run(
          flags,
          together(
            `${sayByTls(`${chunked}GET /b HTTP/1.1\r\n${head}\r\n`, 2)}; echo`,
            `curl -sS -H 'Expect: 100-continue' --data-binary abc ${WEB}/c; echo`,
            `${sayByTls([socket, frame], 1, { answer: "again hello" })} | tr -cd '[:print:]'; echo`,
            `${sayByTls(socket + frame, 1, { answer: "again hello" })} | tr -cd '[:print:]'; echo`,
            `${sayByTls(`${ignored}GET /e HTTP/1.1\r\n${head}\r\n`, 2)}; echo`,
          ),
        );
        expect(
          told(stdout).map(({ pathname, headers, length }) => [pathname, headers.authorization, length]),
        ).toEqual([
          ["/a", `Bearer ${TOKEN}`, 3],
          ["/b", `Bearer ${TOKEN}`, 0],
          ["/c", `Bearer ${TOKEN}`, 3],
          ["/d", `Bearer ${TOKEN}`, 0],
          ["/e", `Bearer ${TOKEN}`, 0],
        ]);
        const answered = stdout.split("\n").filter((line) => line.includes(`for Bearer ${TOKEN}`));
        expect(answered).toEqual([
          expect.stringContaining("again hello"),
          expect.stringContaining("again hello"),
        ]);
      },
      needs,
    );

    e2e(
      "other hosts are not opened, and the secret is nowhere in the container",
      () => {
        const issuer = (host: string) =>
          `openssl s_client -connect ${host}:${PORT} -servername ${host} < /dev/null 2>/dev/null | openssl x509 -noout -issuer`;
        const { stdout } = run(
          flags,
          `${issuer("api.web.test")}; ${issuer("web.test")}
          cat /proc/*/environ /proc/*/cmdline 2>/dev/null | grep -ac 't0[p]'
          while read -r _ _ _ _ place _; do [ ! -f "$place" ] || cat "$place"; done < /proc/self/mountinfo | grep -ac 'PRIVATE KE[Y]'`,
        );
        const own = execute("openssl", ["x509", "-in", inBox("authority.pem"), "-noout", "-subject"]).stdout;
        const [other = "", opened = "", ...counts] = stdout.trim().split("\n");
        expect(other).toBe(own.trim().replace("subject", "issuer"));
        expect(opened).toMatch(/^issuer=CN = hako [\da-f]{16}$/);
        expect(opened).not.toBe(other);
        expect(counts).toEqual(["0", "0"]);
        const id = made().home.box.id();
        const [report, log] = ["report", "log"].map((name) => join("/dev/shm", `${id}-${name}`));
        const kept = ["--keep", "--name", id, "--report", report ?? "", "--network-log", log ?? ""];
        expect(run([...flags, ...kept], `curl -sS ${WEB}/`).stdout).toContain(TOKEN);
        const told = execute("grep", [
          "-r",
          "-l",
          TOKEN,
          made().home.box.root,
          made().home.runtime,
          report ?? "",
          log ?? "",
        ]);
        for (const file of [report, log]) rmSync(file ?? "");
        const [program = "", ...words] = made().words(who);
        execute(program, [...words, "delete", id], { env: made().env });
        expect(told).toMatchObject({ stdout: "", status: 1 });
        expect(run(allowed, `curl -sS --cacert ${inBox("authority.pem")} ${WEB}/`).stdout).not.toContain(
          TOKEN,
        );
      },
      needs,
    );

    e2e(
      "what is no clear request for that host is cut off",
      () => {
        const get = `GET /attack HTTP/1.1\r\nHost: web.test:${PORT}\r\n`;
        const asked = "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
        const attacks: Record<string, string> = {
          "another host": "GET /attack HTTP/1.1\r\nHost: other.test\r\n\r\n",
          "another host as the target": `GET https://other.test/attack HTTP/1.1\r\nHost: web.test:${PORT}\r\n\r\n`,
          "two hosts": `${get}Host: other.test\r\n\r\n`,
          "no host": "GET /attack HTTP/1.0\r\n\r\n",
          "a length and chunks": `${get}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
          "a line that ends with LF": `${get}A: b\nContent-Length: 500\r\n\r\n`,
          "a folded line": `${get}A: b\r\n c\r\n\r\n`,
          "a request that is sent back": `TRACE /attack HTTP/1.1\r\nHost: web.test:${PORT}\r\n\r\n`,
          "in small letters": `trace /attack HTTP/1.1\r\nHost: web.test:${PORT}\r\n\r\n`,
          "the header as one of the connection": `${get}Connection: close, authorization\r\n\r\n`,
          "HTTP/2": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        };
        // what came before may be answered
        const first = get.replace("/attack", "/");
        const behind = [
          `${first}${asked}GET /attack HTTP/1.1\r\nHost: other.test\r\n\r\n`,
          `${first}\r\n${get}${asked}`,
        ].map((text) => `${sayByTls(text, 0)} > /dev/null`);
        const lines = Object.entries(attacks).map(
          ([name, text]) => `echo '${name}' "$(${sayByTls(text, 0)} | wc -c)"`,
        );
        const name = `echo 'another server name' "$(${sayByTls(`${get}\r\n`, 0, { server: "other.test" })} | wc -c)"`;
        const fine = `echo fine "$(${sayByTls(`${get}\r\n`.replace("attack", "fine"), 1)} | grep -c ${TOKEN})"`;
        const { stdout } = run(
          flags,
          [...lines, ...behind, name, fine]
            .map((line) => `(${line}) &`)
            .join("\n")
            .concat(`\nwait; curl -sS ${WEB}/seen`),
        );
        expect(stdout.trim().split("\n").sort()).toEqual(
          [...Object.keys(attacks), "another server name"]
            .map((each) => `${each} 0`)
            .concat("fine 1", '["/fine"]')
            .sort(),
        );
      },
      needs,
    );

    e2e(
      "an answer that was cut off doesn't look whole",
      () => {
        const get = "GET /a HTTP/1.1\r\nHost: web.test\r\nConnection: close\r\n\r\n";
        const ask = (port: number, answer: string) =>
          `${sayByTls(get, 1, { answer, port, errors: "&1" })} | tr -cd '[:print:]'; echo`;
        const more = [`allow:web.test:${CUT_OFF}`, `${HEADER}@https://web.test:${CUT_OFF}`];
        const { stdout } = run(
          [...flags, "--network", more[0] ?? "", "--inject-header", more[1] ?? ""],
          together(ask(CUT_OFF, "unexpected eof"), ask(PORT, TOKEN)),
        );
        const [cutOff, whole] = stdout.split("\n");
        expect(cutOff).toMatch(/half.*unexpected eof/);
        expect(whole).toContain(TOKEN);
        expect(whole).not.toContain("unexpected eof");
      },
      needs,
    );

    e2e(
      "HTTP/2 alone, and a client's certificate, are told as what they are",
      () => {
        const ports = Object.values(WANTS_CERTIFICATE);
        const places = ports.map((port) => [`web.test:${port}`, `https://web.test:${port}`] as const);
        const more = [...places, ["web.test:80", "http://web.test"] as const].flatMap(([rule, place]) => [
          ...["--network", `allow:${rule}`],
          ...["--inject-header", `${HEADER}@${place}`],
        ]);
        const lines = [
          "curl -sS -m 30 --http2-prior-knowledge http://web.test/",
          `openssl s_client -alpn h2 -quiet -connect web.test:${PORT} < /dev/null`,
          ...ports.map((port) => `curl -sS -m 30 https://web.test:${port}/`),
        ].map((line) => `${line} 2>/dev/null && echo answered;`);
        const [program = "", ...words] = made().words(who);
        const { stdout, stderr } = execute(
          program,
          [
            ...[...words, "run", "--rootfs", "/", "-w", "/", ...flags, ...more, "--network-log", "2"],
            ...["--", "sh", "-c", lines.join("\n")],
          ],
          { env: { ...made().env, TOKEN, SSL_CERT_FILE: inBox("authority.pem") } },
        );
        expect(stdout).toBe("");
        const told = stderr.trim().split("\n");
        const attempts = told.filter((line) => line.startsWith("{")).map((line) => JSON.parse(line));
        const { "TLSv1.2": older, "TLSv1.3": newer } = WANTS_CERTIFICATE;
        // the older version's alert says no more than a failure, and a reset may come before it
        const row = ({ port, verdict, why }: NetworkAttempt) =>
          port === older ? `${port} ${verdict}` : `${port} ${verdict} ${why}`;
        // curl may try again what was reset before it had said a word
        expect([...new Set(attempts.map(row))]).toEqual([
          "80 refused HTTP/2",
          `${PORT} refused HTTP/2`,
          `${newer} refused client certificate`,
          `${older} failed`,
        ]);
        const two = "was refused: the program speaks HTTP/2 alone, and --inject-header knows HTTP/1.1";
        expect(refusedLines({ stderr })).toEqual([
          `hako: web.test:80 ${two}`,
          `hako: web.test:${PORT} ${two}`,
          `hako: web.test:${newer} was refused: it asks for a client's certificate, of which --inject-header has none`,
        ]);
      },
      needs,
    );

    e2e(
      "a host that says nothing isn't waited for at the end",
      () => {
        const more = [`allow:web.test:${SILENT}`, `${HEADER}@https://web.test:${SILENT}`];
        const { stdout, stderr } = run(
          ["--network", more[0] ?? "", "--inject-header", more[1] ?? "", "--network-log", "2"],
          `curl -sS -m 2 https://web.test:${SILENT}/ 2>/dev/null || date +%s%N`,
        );
        const end = Date.now();
        // it would take five seconds to wait for what was sent
        expect(end - Number(stdout) / 1e6).toBeLessThan(4000 * TIME_FACTOR);
        const { verdict, why } = JSON.parse(stderr) as NetworkAttempt;
        expect([verdict, why]).toEqual(["failed", "ECANCELED"]);
      },
      needs,
    );

    e2e(
      "a host whose certificate isn't right gets nothing, and the log says why",
      () => {
        const certificate = readFileSync(inBox("authority.pem"), "utf8");
        const reasons = (words: string, more?: Record<string, string>) => {
          const line = `echo '${certificate}' > /tmp/own; curl -sS --retry 0 ${words} > /dev/null 2>&1 || echo cut off`;
          const { stdout, stderr } = run([...flags, "--network-log", "2"], line, more);
          expect(stdout).toBe("cut off\n");
          const lines = stderr.trim().split("\n");
          const attempts = lines.map((text) => JSON.parse(text) as NetworkAttempt);
          for (const { verdict, sent, received } of attempts)
            if (verdict === "failed") expect([sent, received]).toEqual([0, 0]);
          return [...new Set(attempts.map(({ verdict, why }) => `${verdict} ${why}`))];
        };
        const noneOfOwn = { SSL_CERT_FILE: "", NODE_TLS_REJECT_UNAUTHORIZED: "0" };
        expect(reasons(`https://other.test:${PORT}/`)).toEqual(["failed ERR_TLS_CERT_ALTNAME_INVALID"]);
        expect(reasons(WEB, noneOfOwn)).toEqual(["failed UNABLE_TO_VERIFY_LEAF_SIGNATURE"]);
        // a program that goes by a certificate of its own
        const pinned = `--cacert /tmp/own ${WEB}`;
        const begun = performance.now();
        expect(reasons(pinned)).toEqual([expect.stringMatching(/^allowed (ERR_SSL_\w+|ECONNRESET)$/)]);
        const began = performance.now();
        // who goes without a word is not waited for
        expect(reasons(`--cacert /dev/null ${WEB}`)).toEqual(["allowed ECONNRESET"]);
        expect(performance.now() - began).toBeLessThan(began - begun + 4000 * TIME_FACTOR);
        expect(reasons(`${pinned} --tls-max 1.2`)).toEqual(["allowed ERR_SSL_TLSV1_ALERT_UNKNOWN_CA"]);
      },
      needs,
    );

    e2e(
      "flags of one's own win over what has programs trust it, and files of the caller's are checked",
      () => {
        const bundle = "/etc/ssl/certs/ca-certificates.crt";
        const { stdout } = run(
          [...flags, "-e", "SSL_CERT_FILE=/mine", "-v", `/dev/null:${bundle}`],
          `echo $SSL_CERT_FILE $NODE_EXTRA_CA_CERTS; wc -c < ${bundle}`,
        );
        expect(stdout).toMatch(/^\/mine \/\S+\n0\n$/);
        for (const [file, why] of [
          ["/nowhere", "no such file"],
          ["/dev/null", "no certificate"],
        ] as const)
          expect(run(flags, "true", { SSL_CERT_FILE: file })).toMatchObject({
            status: 125,
            stderr: expect.stringContaining(why),
          });
        expect(run(allowed, "env | grep -c -e SSL_CERT -e CA_BUNDLE").stdout).toBe("0\n");
      },
      needs,
    );

    e2e(
      "a policy has it, and never shows its value",
      () => {
        const policy = inBox(`policy-${who}.toml`);
        const said = HEADER.replace("Bearer", "literal");
        writeFileSync(
          policy,
          `extends = "default"\nnetwork = ["allow:web.test:${PORT}"]\ninject-header = ["${said}@https://web.test:${PORT}"]\n`,
        );
        const { stdout } = run(["--policy", policy], `curl -sS ${WEB}/policy`);
        expect(told(stdout)[0]?.headers.authorization).toBe(`literal ${TOKEN}`);
        const [program = "", ...words] = made().words(who);
        for (const more of [[], ["--json"]]) {
          const shown = execute(program, [...words, "policy", "show", ...more, policy], { env: made().env });
          expect(shown.stdout).toContain(`Authorization:***@https://web.test:${PORT}`);
          expect(shown.stdout).not.toContain("literal");
        }
        writeFileSync(policy, 'inject-header = ["A:secret@"]\n');
        const wrong = run(["--policy", policy], "true");
        expect(wrong.stderr).toContain("/inject-header: --inject-header A: it is not NAME:VALUE@");
        expect(wrong.stderr).not.toContain("secret");
      },
      needs,
    );
  });
}
