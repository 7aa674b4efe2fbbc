import { during } from "../../base/errors";
import { textOf } from "../../linux/call/bytes";
import { O } from "../../linux/call/constants";
import { openAt, openIfThere } from "../../linux/file/path";
import { fileStatusOf } from "../../linux/file/stat";
import { readAllWaiting } from "../../linux/file/stream";
import { BUNDLE_FILES, hostBundle } from "../../network/tls/trusted-roots";
import type { EnvironmentLine } from "../../oci/environment";
import { CERTIFICATES } from "../../state/root";
import { type OwnFile, resolvedDestination } from "./mount-order";

/** Variables by which programs are told of a file with the certificates that they trust; some bring certificates of their own, and ask for no other. */
const VARIABLES = [
  // OpenSSL, Go, Ruby, rustls
  "SSL_CERT_FILE",
  "NODE_EXTRA_CA_CERTS",
  "REQUESTS_CA_BUNDLE",
  "PIP_CERT",
  "CURL_CA_BUNDLE",
  "GIT_SSL_CAINFO",
  "CARGO_HTTP_CAINFO",
  "AWS_CA_BUNDLE",
  "DENO_CERT",
] as const;

/** What has the programs of a root file system trust one certificate authority more: in place of its bundles of certificates there is one with it. */
export function authorityTrust(
  rootfs: string,
  certificate: string,
): { file: OwnFile; env: EnvironmentLine[] } {
  using root = openAt(undefined, rootfs, O.PATH | O.DIRECTORY);
  const bundles = new Map<string, string>();
  for (const path of BUNDLE_FILES) {
    const place = resolvedDestination(root, path);
    if (bundles.has(place)) continue;
    using there = openIfThere(root, place, O.PATH | O.NOFOLLOW);
    // an image may have anything there
    if (there === undefined || fileStatusOf(there).type !== "file") continue;
    using file = openAt(undefined, there.path, O.RDONLY);
    bundles.set(place, textOf(during(`${rootfs} ${path}`, () => readAllWaiting(file))));
  }
  const [text = hostBundle()] = bundles.values();
  const places = bundles.size === 0 ? [BUNDLE_FILES[0]] : [...bundles.keys()];
  return {
    file: { name: CERTIFICATES, text: `${text.trimEnd()}\n${certificate}`, places },
    env: VARIABLES.map((name): EnvironmentLine => `${name}=${places[0]}`),
  };
}
