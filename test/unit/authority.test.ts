// The certificates by which hako is a host to a program, as node:crypto and openssl read them.
import { afterAll, describe, expect, test } from "bun:test";
import { createPrivateKey, X509Certificate } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Authority } from "../../src/network/tls/authority";
import { objectIdentifier, octetString, unsigned, utcTime } from "../../src/network/tls/der";

const hasOpenssl = Bun.which("openssl") !== null;
if (!hasOpenssl) console.log("skipped: openssl is missing");

const directory = mkdtempSync(join(tmpdir(), "hako-authority-"));
afterAll(() => rmSync(directory, { recursive: true }));

function openssl(...words: string[]): { status: number; text: string } {
  const { exitCode, stdout, stderr } = Bun.spawnSync(["openssl", ...words]);
  return { status: exitCode, text: `${stdout}${stderr}` };
}

/** Whether openssl takes a certificate for a host's, at its strictest. */
function verified(authority: Authority, certificate: string, host: string) {
  const [ca, leaf] = [join(directory, "ca.pem"), join(directory, "leaf.pem")];
  writeFileSync(ca, authority.certificate);
  writeFileSync(leaf, certificate);
  return openssl(
    "verify",
    "-x509_strict",
    "-purpose",
    "sslserver",
    "-verify_hostname",
    host,
    "-CAfile",
    ca,
    leaf,
  );
}

describe("DER", () => {
  test.each([
    [unsigned(Uint8Array.of(0)), "020100"],
    [unsigned(Uint8Array.of(0, 0, 1)), "020101"],
    [unsigned(Uint8Array.of(0x80)), "02020080"],
    [objectIdentifier("1.2.840.10045.4.3.2"), "06082a8648ce3d040302"],
    [objectIdentifier("2.5.29.30"), "0603551d1e"],
    [octetString(new Uint8Array(0x7f)).subarray(0, 2), "047f"],
    [octetString(new Uint8Array(0x80)).subarray(0, 3), "048180"],
    [octetString(new Uint8Array(0x1234)).subarray(0, 4), "04821234"],
    [utcTime(Date.UTC(2031, 1, 3, 4, 5, 6)), `170d${Buffer.from("310203040506Z").toString("hex")}`],
  ])("%#", (der, hex) => {
    expect(der.toString("hex")).toBe(hex);
  });
});

describe("a certificate authority for some hosts", () => {
  const hosts = ["api.test", `${"a".repeat(63)}.${"b".repeat(63)}.test`];
  const authority = new Authority(hosts);

  test.each(hosts)("%s has a certificate of it, and its key", (host) => {
    const { certificate, key } = authority.credentialsOf(host);
    const [own, ca] = [new X509Certificate(certificate), new X509Certificate(authority.certificate)];
    expect([own.checkIssued(ca), own.verify(ca.publicKey), own.ca, ca.ca]).toEqual([true, true, false, true]);
    expect(own.checkPrivateKey(createPrivateKey(key))).toBe(true);
    expect([own.checkHost(host), own.checkHost("other.test"), own.checkHost(`a.${host}`)]).toEqual([
      host,
      undefined,
      undefined,
    ]);
    const days = (Date.parse(own.validTo) - Date.now()) / 86_400_000;
    expect(Math.round(days)).toBe(90);
    expect(Date.parse(own.validFrom)).toBeLessThan(Date.now());
    // made once
    expect(authority.credentialsOf(host).certificate).toBe(certificate);
  });

  test.skipIf(!hasOpenssl)("openssl takes them", () => {
    for (const host of hosts)
      expect(verified(authority, authority.credentialsOf(host).certificate, host)).toMatchObject({
        status: 0,
      });
    const { text } = openssl("x509", "-in", join(directory, "ca.pem"), "-noout", "-text");
    expect(text).toContain("X509v3 Name Constraints: critical");
    for (const part of ["DNS:api.test", "IP:0.0.0.0/0.0.0.0", "CA:TRUE, pathlen:0", "Certificate Sign"])
      expect(text).toContain(part);
  });

  test("no other host, also where it would vouch for one", () => {
    expect(() => authority.credentialsOf("other.test")).toThrow();
    const names = ["api.test"];
    const tricked = new Authority(names);
    names.push("other.test");
    const { certificate } = tricked.credentialsOf("other.test");
    if (!hasOpenssl) return;
    const { status, text } = verified(tricked, certificate, "other.test");
    expect(status).not.toBe(0);
    expect(text).toContain("permitted subtree violation");
  });

  test("another run's is not trusted", () => {
    const other = new Authority(hosts);
    const certificate = new X509Certificate(other.credentialsOf("api.test").certificate);
    expect(certificate.checkIssued(new X509Certificate(authority.certificate))).toBe(false);
  });
});
