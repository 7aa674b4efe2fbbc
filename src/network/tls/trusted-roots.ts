import { createSecureContext, rootCertificates, type SecureContext } from "node:tls";
import { during, HakoError } from "../../base/errors";
import { callerVariable } from "../../linux/file/caller-environment";
import { exists, readText } from "../../linux/file/file";

/** Files in which distributions keep the certificates that they trust, in PEM, as Go looks for them (crypto/x509/root_linux.go), and NixOS has them. */
export const BUNDLE_FILES = [
  "/etc/ssl/certs/ca-certificates.crt",
  "/etc/ssl/certs/ca-bundle.crt",
  "/etc/pki/tls/certs/ca-bundle.crt",
  "/etc/ssl/ca-bundle.pem",
  "/etc/pki/tls/cacert.pem",
  "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
  "/etc/ssl/cert.pem",
] as const;

/** The certificates that this host trusts; those that the engine brings where it has no file of them. */
export function hostBundle(): string {
  const file = BUNDLE_FILES.find(exists);
  return file === undefined ? rootCertificates.join("\n") : readText(file);
}

/** What servers are checked by: what the host trusts, or SSL_CERT_FILE of the caller's says in its place, and what NODE_EXTRA_CA_CERTS adds. */
export function trustedRoots(): SecureContext {
  const [own, more] = ["SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS"].map(callersBundle);
  const ca = [...certificatesOf(own ?? hostBundle()), ...certificatesOf(more ?? "")];
  return during("--inject-header: the host's trusted certificates", () => createSecureContext({ ca }));
}

function callersBundle(variable: string): string | undefined {
  const file = callerVariable(variable);
  if (file === undefined || file === "") return undefined;
  const text = during(`${variable}=${file}`, () => readText(file));
  if (certificatesOf(text).length > 0) return text;
  throw new HakoError({ code: "config", message: `${variable}=${file}: no certificate`, path: file });
}

function certificatesOf(text: string): string[] {
  return text.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
}
